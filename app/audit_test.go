package main

import (
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// auditing makes the service audit an answer every so often: as often as it can, here.
func auditing(strategy string) func(*Config) {
	return func(c *Config) {
		c.HTTP.AuditInterval = time.Nanosecond
		c.Cache.Strategy = strategy
	}
}

// audits is how many answers were audited with a result.
func (s *service) audits(t testing.TB, result string) float64 {
	t.Helper()
	return sum(s.metrics(t), "strata_audit_total", "result", result)
}

// readUntil reads a path until audits of it have a result.
func (s *service) readUntil(t testing.TB, path, result string) {
	t.Helper()
	eventually(t, "an audit says "+result, func() bool {
		s.want(t, path)
		return s.audits(t, result) > 0
	})
}

// unlogged changes what no feed learns of. A trigger that is off would be noticed, so it takes the log's owner, who takes the row
// out of it again.
func unlogged(t *testing.T, owner, sql string) {
	t.Helper()
	execOn(t, owner, sql+`; DELETE FROM change_log WHERE xid = pg_current_xact_id()`)
}

func TestAuditFindsAChangeThatTheLogDoesNotKnow(t *testing.T) {
	owner, app := seeded(t, 200)
	s := serve(t, app, auditing("stamped"))
	s.want(t, "/v1/listings/7")
	s.readUntil(t, "/v1/listings/7", "same")
	s.readUntil(t, "/v1/listings?city=lisbon", "same")
	if got := s.audits(t, "stale"); got != 0 {
		t.Fatalf("%v stale answers before anything was changed", got)
	}
	unlogged(t, owner, `UPDATE listings SET price_minor = price_minor + 1 WHERE id = 7`)
	s.readUntil(t, "/v1/listings/7", "stale")
	for _, want := range []string{"audit found a stale answer", `"missed":"price_minor: `, `"view_listing":{"key":"7","stamp":"`, `"data_listing":{"key":"7","stamp":"`, `"tags":["listing:7"]`} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, s.log)
		}
	}
	if got := sum(s.metrics(t), "strata_audit_stale_age_seconds", "strategy", "stamped"); got != 1 {
		t.Errorf("%v ages of lies were observed, want 1", got)
	}
	price := listingIn(t, s.want(t, "/v1/listings/7", "Cache-Control: no-cache")).PriceMinor
	for range 3 { // from now on its class is read from the database, here and by whoever finds the entry in Redis
		a := s.want(t, "/v1/listings/7")
		if got := listingIn(t, a).PriceMinor; got != price || strings.Contains(a.header.Get("Cache-Status"), "hit") {
			t.Errorf("after the audit: price %d, %s; want %d, past the caches", got, a.header.Get("Cache-Status"), price)
		}
	}
	if got := listingIn(t, serve(t, app).want(t, "/v1/listings/7")).PriceMinor; got != price {
		t.Errorf("another replica serves price %d out of Redis, want %d", got, price)
	}
}

func TestAuditComparesWhatIsMeantWhateverTheCodingAndTheConditions(t *testing.T) {
	owner, app := seeded(t, 200)
	s := serve(t, app, auditing("stamped"))
	for _, path := range []string{"/v1/cities", "/v1/cities/lisbon/stats", "/v1/listings?city=lisbon&facets=type", "/v1/listings/7", "/v1/listings/4711"} {
		for _, coding := range []string{"identity", "gzip", "br", "zstd"} {
			before := s.audits(t, "same")
			eventually(t, path+" is audited in "+coding, func() bool {
				s.ask(t, "GET", path, "", "Accept-Encoding: "+coding)
				return s.audits(t, "same") > before
			})
		}
		if tag := s.ask(t, "GET", path, "").header.Get("ETag"); tag != "" {
			before := s.audits(t, "same")
			eventually(t, path+" is audited where the client has it", func() bool {
				if a := s.ask(t, "GET", path, "", "If-None-Match: "+tag); a.status != http.StatusNotModified {
					t.Fatalf("%s: status %d", path, a.status)
				}
				return s.audits(t, "same") > before
			})
		}
	}
	if got := s.audits(t, "stale") + s.audits(t, "changed") + s.audits(t, "error"); got != 0 {
		t.Errorf("%v audits of an idle database found something:\n%s", got, s.log)
	}
	// The control: what is compressed, or said to be the same, is compared all the same.
	tag := s.want(t, "/v1/listings/7").header.Get("ETag")
	unlogged(t, owner, `UPDATE listings SET price_minor = price_minor + 1`)
	eventually(t, "a 304 is found out", func() bool {
		s.ask(t, "GET", "/v1/listings/7", "", "If-None-Match: "+tag)
		return s.audits(t, "stale") == 1
	})
	eventually(t, "a compressed page is found out", func() bool {
		s.ask(t, "GET", "/v1/listings?city=lisbon&facets=type", "", "Accept-Encoding: zstd")
		return s.audits(t, "stale") == 2
	})
}

func TestAuditExcusesChangesThatTheLogKnows(t *testing.T) {
	_, app := seeded(t, 200)
	s := serve(t, app, auditing("stamped"))
	for i := range 200 {
		path := "/v1/listings/7"
		s.want(t, path)
		s.want(t, path)
		if a := s.ask(t, "PATCH", path, `{"price_minor": `+strings.Repeat("1", 1+i%8)+`}`, "Authorization: Bearer "+writeToken); a.status != http.StatusOK {
			t.Fatal(a)
		}
	}
	s.readUntil(t, "/v1/listings/7", "same")
	if got := s.audits(t, "stale") + s.audits(t, "error"); got != 0 {
		t.Errorf("%v audits of a service whose every change is logged found something:\n%s", got, s.log)
	}
}

func TestAuditFindsWhatTTLServesAfterAChange(t *testing.T) {
	_, app := seeded(t, 200)
	s := serve(t, app, auditing("ttl"))
	s.want(t, "/v1/listings/7")
	s.readUntil(t, "/v1/listings/7", "same")
	s.ask(t, "PATCH", "/v1/listings/7", `{"price_minor": 5}`, "Authorization: Bearer "+writeToken)
	s.readUntil(t, "/v1/listings/7", "stale")
	if got := sum(s.metrics(t), "strata_audit_stale_age_seconds", "strategy", "ttl"); got < 1 {
		t.Error("it was not observed how old the lie was")
	}
}

func TestAuditsAreCountedAsNothingElse(t *testing.T) {
	_, app := seeded(t, 200)
	s := serve(t, app, auditing("stamped"))
	asked := 0
	for s.audits(t, "same") < 3 {
		s.want(t, "/v1/listings/7")
		asked++
	}
	m := s.metrics(t)
	if answers, requests := sum(m, "strata_answers_total"), sum(m, "http_server_request_duration_seconds"); answers != float64(asked) || requests != float64(asked) {
		t.Errorf("%v answers and %v requests counted, want %d", answers, requests, asked)
	}
	if loads, queries := sum(m, "strata_cache_loads_total"), sum(m, "db_client_operation_duration_seconds", "strategy", "stamped"); loads != 1 || queries != 1 {
		t.Errorf("%v loads and %v queries of requests, want 1 of each", loads, queries)
	}
	if got := sum(m, "db_client_operation_duration_seconds", "strategy", "audit"); got < 3 {
		t.Errorf("%v queries of audits, want 3 or more", got)
	}
}

func TestMetricsPassPromtoolsChecks(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed (Debian: apt-get install prometheus)")
	}
	_, app := seeded(t, 200)
	s := serve(t, app)
	s.want(t, "/v1/listings/1")
	s.want(t, "/v1/cities/lisbon/stats")
	command := exec.Command(promtool, "check", "metrics")
	command.Stdin = strings.NewReader(s.scrape(t, "text/plain"))
	out, err := command.CombinedOutput()
	if failed := (*exec.ExitError)(nil); err != nil && !errors.As(err, &failed) {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		switch {
		case line == "", strings.HasPrefix(line, "go_"): // the library's
		case strings.HasPrefix(line, "db_client_connection_count "): // OpenTelemetry's name
		default:
			t.Error(line)
		}
	}
}

func TestExemplarsOfTheScrapeLeadToTracesThatAreKept(t *testing.T) {
	received := receive(t)
	_, app := seeded(t, 200)
	s := serve(t, app)
	s.want(t, "/v1/listings/1", traced(77))
	s.want(t, "/v1/listings/2")
	scrape := s.scrape(t, "application/openmetrics-text; version=1.0.0")
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if tree(received.received(), traceID(77)) == "" {
		t.Fatal("the trace was not kept")
	}
	for _, metric := range []string{"http_server_request_duration_seconds", "strata_cache_load_duration_seconds", "db_client_operation_duration_seconds", "strata_cache_operation_duration_seconds"} {
		found := false
		for _, line := range strings.Split(scrape, "\n") {
			_, exemplar, ok := strings.Cut(line, " # ")
			if !ok || !strings.HasPrefix(line, metric+"_bucket") {
				continue
			}
			found = true
			if !strings.Contains(exemplar, traceID(77)) {
				t.Errorf("an exemplar leads to a trace that nobody kept: %s", line)
			}
		}
		if !found {
			t.Errorf("%s has no exemplar", metric)
		}
	}
	if !strings.HasSuffix(scrape, "# EOF\n") {
		t.Error("the scrape is not OpenMetrics")
	}
}
