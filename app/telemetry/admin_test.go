package telemetry

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/trace"
)

// startAdmin serves until the test ends, and returns the server and where it is.
func startAdmin(t *testing.T, tel *Telemetry, ready func(context.Context) error) (*Admin, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a := NewAdmin(tel, ready)
	served := make(chan error, 1)
	go func() { served <- a.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := a.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return a, "http://" + l.Addr().String()
}

func get(t *testing.T, url, accept string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestProbesTellStartingFromReadyFromDraining(t *testing.T) {
	asked := 0
	var wrong error
	a, url := startAdmin(t, newTelemetry(t, io.Discard, nil), func(context.Context) error { asked++; return wrong })
	check := func(when string, livez, readyz, startupz int) {
		t.Helper()
		for path, want := range map[string]int{"/livez": livez, "/readyz": readyz, "/startupz": startupz} {
			if got, body := get(t, url+path, ""); got != want {
				t.Errorf("%s: %s answers %d %q, want %d", when, path, got, body, want)
			}
		}
	}
	check("starting", 200, 503, 503)
	if asked != 0 {
		t.Error("readiness was checked before the start")
	}
	a.SetStarted()
	check("ready", 200, 200, 200)
	wrong = errors.Join(errors.New("feed: no poll for 3s"), errors.New("postgres: dial postgres://app:hunter2@db/strata: refused"))
	check("not ready", 200, 503, 200)
	_, body := get(t, url+"/readyz", "")
	if want := "not ready: feed: no poll for 3s\nnot ready: postgres: dial postgres://app:[hidden]@db/strata: refused\n"; body != want {
		t.Errorf("/readyz says %q, want %q", body, want)
	}
	wrong = nil
	before := asked
	a.SetDraining()
	check("draining", 200, 503, 200)
	if asked != before {
		t.Error("readiness was checked while draining")
	}
}

func TestReadinessThatHangsIsNotReady(t *testing.T) {
	a, url := startAdmin(t, newTelemetry(t, io.Discard, nil), func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
	a.SetStarted()
	if code, body := get(t, url+"/readyz", ""); code != http.StatusServiceUnavailable {
		t.Errorf("/readyz answers %d %q, want 503", code, body)
	}
	if code, _ := get(t, url+"/livez", ""); code != http.StatusOK {
		t.Errorf("/livez answers %d, want 200", code)
	}
}

func TestMetricsHaveExemplarsInOpenMetrics(t *testing.T) {
	tel := newTelemetry(t, io.Discard, nil)
	h := promauto.With(tel.Registry).NewHistogram(LatencyHistogram(MetricHTTPDuration, "h"))
	Observe(trace.ContextWithRemoteSpanContext(t.Context(), remote(t, sampledParent)), h, 0.003)
	_, url := startAdmin(t, tel, nil)

	_, body := get(t, url+"/metrics", "application/openmetrics-text; version=1.0.0")
	want := `http_server_request_duration_seconds_bucket{le="0.005"} 1 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.003`
	if !strings.Contains(body, want) {
		t.Errorf("no line in /metrics begins with %s", want)
	}
	for _, name := range []string{"go_goroutines", "go_sched_latencies_seconds_bucket", "process_cpu_seconds_total", MetricBuildInfo} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("/metrics lacks %s", name)
		}
	}
}

func TestProfilesAreServedButNotTheCommandLine(t *testing.T) {
	_, url := startAdmin(t, newTelemetry(t, io.Discard, nil), nil)
	for path, want := range map[string]int{
		"/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/goroutine?debug=1": 200, "/debug/pprof/profile?seconds=1": 200,
		"/debug/pprof/cmdline": 404, // flags may hold passwords
	} {
		if got, _ := get(t, url+path, ""); got != want {
			t.Errorf("%s answers %d, want %d", path, got, want)
		}
	}
}
