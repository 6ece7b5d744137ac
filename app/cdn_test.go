package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// nginxConfig is a shared cache as a CDN is one: it obeys what the answers say, and asks again with their ETag. The arguments are a
// directory, its own address, and that of the service.
const nginxConfig = `
daemon off;
master_process off;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log info;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	proxy_cache_path %[1]s/cache keys_zone=strata:1m;
	server {
		listen %[2]s;
		location / {
			proxy_pass %[3]s;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header CDN-Loop test;
			proxy_cache strata;
			proxy_cache_revalidate on;
			proxy_cache_background_update on;
			add_header CDN-Status $upstream_cache_status always;
		}
	}
}
`

// nginx starts one in front of a service, and returns a client of it. It ends with the test.
func nginx(t *testing.T, origin *service) *service {
	t.Helper()
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // not on everybody's PATH
	}
	if _, err := os.Stat(program); err != nil {
		t.Skip("there is no nginx: make test installs it, or install Debian's package nginx")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, address, origin.http), 0o600); err != nil {
		t.Fatal(err)
	}
	process, err := stack.Launch(exec.Command(program, "-e", filepath.Join(dir, "error.log"), "-p", dir, "-c", config))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		process.Stop(t.Context())
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("nginx: %s", log)
		}
	})
	front := &service{http: "http://" + address, log: origin.log}
	eventually(t, "nginx listens", func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return front
}

// through asks for a path, as identity unless the header lines say otherwise, and returns the answer and what the CDN did for it.
func (s *service) through(t testing.TB, path string, header ...string) (answer, string) {
	t.Helper()
	a := s.ask(t, http.MethodGet, path, "", append([]string{"Accept-Encoding: identity"}, header...)...)
	return a, a.header.Get("CDN-Status")
}

func TestACDNKeepsAnswersAndRevalidatesThemByETag(t *testing.T) {
	_, app := seeded(t, 200)
	origin := serve(t, app, func(c *Config) { c.Views.SharedMaxAge = time.Second })
	cdn := nginx(t, origin)
	const path = "/v1/listings/1"
	first, status := cdn.through(t, path)
	if status != "MISS" || first.status != http.StatusOK || first.header.Get("Surrogate-Key") != "listing:1" {
		t.Fatalf("%s: %d %v", status, first.status, first.header)
	}
	eventually(t, "a hit", func() bool { a, status := cdn.through(t, path); return status == "HIT" && a.body == first.body })
	before := notModified(t, origin)
	eventually(t, "a revalidation", func() bool { a, status := cdn.through(t, path); return status == "REVALIDATED" && a.body == first.body })
	if got := notModified(t, origin); got <= before {
		t.Errorf("the service has answered 304 %v times, before %v", got, before)
	}
	change := `{"price_minor": 4711}`
	if got := origin.ask(t, http.MethodPatch, path, change, "Authorization: Bearer "+writeToken); got.status != http.StatusOK {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	eventually(t, "the change, once the lifetime is over", func() bool { a, _ := cdn.through(t, path); return a.body != first.body })
}

func TestACDNKeepsEachCodingForItself(t *testing.T) {
	_, app := seeded(t, 200)
	origin := serve(t, app, func(c *Config) { c.Views.SharedMaxAge = time.Hour })
	cdn := nginx(t, origin)
	const path = "/v1/listings?limit=50"
	for _, coding := range []string{"identity", "gzip", "br", "zstd"} {
		first, missed := cdn.through(t, path, "Accept-Encoding: "+coding)
		again, hit := cdn.through(t, path, "Accept-Encoding: "+coding)
		if missed != "MISS" || hit != "HIT" || first.body != again.body || first.header.Get("ETag") != again.header.Get("ETag") {
			t.Errorf("%s: %s, then %s", coding, missed, hit)
		}
		if got := again.header.Get("Content-Encoding"); got != coding && (coding != "identity" || got != "") {
			t.Errorf("%s: Content-Encoding %q", coding, got)
		}
	}
	// What a client has seen the effect of is not answered with what others were given before.
	if _, status := cdn.through(t, path, "Strata-Seen: 3"); status != "MISS" {
		t.Errorf("with Strata-Seen: %s", status)
	}
}

func TestACDNAnswersWhileTheServiceIsStopped(t *testing.T) {
	for name, tc := range map[string]struct {
		staleIfError time.Duration
		status       int
	}{"as long as it may": {time.Hour, http.StatusOK}, "and not where it may not": {0, http.StatusBadGateway}} {
		t.Run(name, func(t *testing.T) {
			_, app := seeded(t, 200)
			origin := serve(t, app, func(c *Config) { c.Views.SharedMaxAge, c.Views.StaleIfError = time.Second, tc.staleIfError })
			cdn := nginx(t, origin)
			const path = "/v1/cities"
			first, _ := cdn.through(t, path)
			if err := origin.stop(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the lifetime is over", func() bool { _, status := cdn.through(t, path); return status != "HIT" })
			if got, status := cdn.through(t, path); got.status != tc.status || (tc.status == http.StatusOK) != (got.body == first.body && status == "STALE") {
				t.Errorf("%s: status %d", status, got.status)
			}
		})
	}
}

func TestACDNKeepsNoErrorsAndNothingForCredentials(t *testing.T) {
	_, app := seeded(t, 200)
	cdn := nginx(t, serve(t, app, func(c *Config) { c.Views.SharedMaxAge = time.Hour }))
	for range 2 {
		if got, status := cdn.through(t, "/v1/listings/999999"); got.status != http.StatusNotFound || status != "MISS" {
			t.Errorf("404: %d, %s", got.status, status)
		}
		if got, status := cdn.through(t, "/v1/listings/2", "Authorization: Bearer x"); got.status != http.StatusOK || status != "MISS" {
			t.Errorf("with credentials: %d, %s", got.status, status)
		}
	}
}

// notModified returns how often the service has answered 304.
func notModified(t testing.TB, s *service) float64 {
	t.Helper()
	n := 0.0
	for _, m := range s.metrics(t)["http_server_request_duration_seconds"].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetName() == "http_response_status_code" && strings.HasPrefix(label.GetValue(), "304") {
				n += float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return n
}
