package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"example.com/strata/app/cache"
	"example.com/strata/app/telemetry"
)

func TestAKeyMakesACreationHappenOnce(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	body := goodBody(t, nil)
	first := s.write(t, "POST", "/v1/listings", body, "Idempotency-Key", "k1")
	again := s.write(t, "POST", "/v1/listings", body, "Idempotency-Key", `"k1"`)
	if first.status != 201 || again.status != 201 || again.body != first.body {
		t.Fatalf("status %d, then %d: %s and %s", first.status, again.status, first.body, again.body)
	}
	for _, name := range []string{"Location", "ETag", "Strata-Seen", "Content-Type"} {
		if first.header.Get(name) == "" || again.header.Get(name) != first.header.Get(name) {
			t.Errorf("%s: %q, then %q", name, first.header.Get(name), again.header.Get(name))
		}
	}
	if p := s.write(t, "POST", "/v1/listings", goodBody(t, map[string]any{"title": "Other"}), "Idempotency-Key", "k1").problem(t); p.Type != "/problems/idempotency-mismatch" || p.Status != 422 {
		t.Errorf("another body: %+v", p)
	}
	if other := s.write(t, "POST", "/v1/listings", body, "Idempotency-Key", "k1", "Authorization", "Bearer battery-staple"); other.status != 201 || other.body == first.body {
		t.Errorf("somebody else's key: status %d", other.status)
	}
	if unkeyed := s.write(t, "POST", "/v1/listings", body); unkeyed.body == first.body { // the control
		t.Error("without a key nothing new was made")
	}
	_, by := s.sum(t, telemetry.MetricIdempotentRequests, telemetry.LabelResult)
	if by["first"] != 2 || by["replayed"] != 1 || by["mismatch"] != 1 {
		t.Errorf("counted: %v", by)
	}
	log := s.log.String()
	for _, want := range []string{`"writer":"tester"`, `"outcome":"created"`, `"outcome":"replayed"`, `"outcome":"idempotency-mismatch"`, `"version":1`, `"request_id":"`} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if strings.Contains(log, testToken) {
		t.Error("the log shows a token")
	}
}

func TestAClientOverItsRateIsToldWhenToComeAgain(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped}, func(c *Config) { c.ReadRate = 1 })
	s.get(t, "/v1/cities")
	var last reply
	for i := 0; i < 30 && last.status != 429; i++ {
		last = s.get(t, "/v1/listings/999999")
	}
	if p := last.problem(t); p.Type != "/problems/rate-limited" || last.header.Get("Retry-After") == "" || last.header.Get("RateLimit-Policy") != `"reads";q=10;w=10` {
		t.Errorf("%+v %v", p, last.header)
	}
	for range 50 {
		if got := s.get(t, "/v1/cities"); got.status != 200 {
			t.Fatalf("a read out of the views has status %d", got.status)
		}
	}
	if got := s.write(t, "PATCH", "/v1/listings/1", `{}`); got.status != 200 {
		t.Errorf("a write, which has no rate: %d", got.status)
	}
}

func TestEveryAnswerHasTheFieldsThatProtectIt(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	s.get(t, "/v1/cities")
	for name, got := range map[string]reply{
		"hit": s.get(t, "/v1/cities"), "miss": s.get(t, "/v1/listings/5"), "problem": s.get(t, "/nowhere"), "page": s.get(t, "/docs"),
		"write": s.write(t, "PATCH", "/v1/listings/1", `{}`), "refused write": s.do(t, "POST", "/v1/listings", ""), "method": s.do(t, "BREW", "/", ""),
	} {
		if got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Referrer-Policy") != "no-referrer" || got.header.Get("Server") != "" {
			t.Errorf("%s: %v", name, got.header)
		}
		if read := name == "hit" || name == "miss" || name == "problem" || name == "page"; read != (got.header.Get("Access-Control-Allow-Origin") == "*") {
			t.Errorf("%s: Access-Control-Allow-Origin is %q", name, got.header.Get("Access-Control-Allow-Origin"))
		}
	}
	if got := s.get(t, "/docs"); !strings.Contains(got.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Error("the page has no Content-Security-Policy")
	}
	for id, kept := range map[string]bool{"abc-1.2_3": true, "a b": false, strings.Repeat("x", 65): false, "<b>": false} {
		for range 2 { // a miss, which gets an id in any case, and a hit
			if got := s.get(t, "/v1/listings/6", "X-Request-Id", id).header.Get("X-Request-Id"); (got == id) != kept {
				t.Errorf("X-Request-Id %q is answered with %q", id, got)
			}
		}
		if got := s.get(t, "/nowhere", "X-Request-Id", id).header.Get("X-Request-Id"); got == "" || (got == id) != kept {
			t.Errorf("X-Request-Id %q of a refusal is answered with %q", id, got)
		}
	}
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		got := s.do(t, "OPTIONS", "/v1/listings", "", "Origin", "https://elsewhere.example", "Access-Control-Request-Method", method)
		if got.status != 204 || got.header.Get("Access-Control-Allow-Methods") != "GET, HEAD" {
			t.Errorf("preflight of %s: %d %v", method, got.status, got.header)
		}
	}
}
