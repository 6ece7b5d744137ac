package httpapi

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/strata/app/cache"
	"example.com/strata/app/telemetry"
)

// block locks the table of listings, and others, so that loads wait in the database, and has one wait there, which is all that there may be. What it returns ends that.
func (s *service) block(t *testing.T, also ...string) (release func()) {
	t.Helper()
	s.exec(t, `BEGIN`)
	for _, table := range append([]string{"listings"}, also...) {
		s.exec(t, `LOCK TABLE `+table+` IN ACCESS EXCLUSIVE MODE`)
	}
	var blocked sync.WaitGroup
	blocked.Go(func() { _ = s.get(t, "/v1/listings/30") })
	soon(t, "a load is under way", func() bool {
		_, by := s.sum(t, telemetry.MetricCacheLoadsInFlight, telemetry.LabelClass)
		return by["all"] == 1
	})
	release = sync.OnceFunc(func() {
		_, _ = s.owner.Exec(context.Background(), `ROLLBACK`)
		blocked.Wait()
	})
	t.Cleanup(release)
	return release
}

func TestReadsBeyondTheLoadsAreShedOverHTTP(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped, MaxLoads: 1, LoadWait: time.Millisecond}, func(c *Config) { c.AuditInterval = -1 })
	s.get(t, "/v1/listings/3")
	s.get(t, "/v1/listings/4")
	if got := s.write(t, "PATCH", "/v1/listings/4", `{"price_minor": 77}`); got.status != http.StatusOK {
		t.Fatalf("PATCH: %d %s", got.status, got.body)
	}
	release := s.block(t)
	for path, why := range map[string]string{"/v1/listings/5": "not read yet", "/v1/listings/4": "invalidated"} {
		got := s.get(t, path)
		if p := got.problem(t); p.Status != 503 || p.Type != "/problems/overloaded" || got.header.Get("Retry-After") == "" || got.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s, %s: %+v %v", path, why, p, got.header)
		}
	}
	if got := s.get(t, "/v1/listings/3"); got.status != http.StatusOK {
		t.Errorf("what is fresh: status %d", got.status)
	}
	if _, by := s.sum(t, telemetry.MetricRefused, telemetry.LabelReason); by["loads"] != 2 {
		t.Errorf("%v refusals are counted, want 2", by["loads"])
	}
	release()
	if got := s.get(t, "/v1/listings/5"); got.status != http.StatusOK {
		t.Errorf("afterwards: status %d", got.status)
	}
}

func TestAnAnswerThatWasNotInvalidatedStandsInForOneThatIsShed(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped, MaxLoads: 1, LoadWait: time.Millisecond}, func(c *Config) { c.AuditInterval = -1 })
	before := s.get(t, "/v1/listings/3")
	s.get(t, "/v1/listings/4")
	if got := s.write(t, "PATCH", "/v1/listings/4", `{"price_minor": 77}`); got.status != http.StatusOK {
		t.Fatalf("PATCH: %d %s", got.status, got.body)
	}
	s.block(t, "change_log") // so that the ledger goes blind, and no kept answer is proven any more
	soon(t, "the answer says that it may be old", func() bool {
		got := s.get(t, "/v1/listings/3")
		if got.status != http.StatusOK || got.body != before.body {
			t.Fatalf("status %d: %s", got.status, got.body)
		}
		return strings.Contains(got.header.Get("Cache-Status"), "detail=stale")
	})
	for path, why := range map[string]string{"/v1/listings/5": "not read yet", "/v1/listings/4": "invalidated"} { // the controls
		if p := s.get(t, path).problem(t); p.Type != "/problems/overloaded" {
			t.Errorf("%s, %s: %+v", path, why, p)
		}
	}
}

func TestXForwardedForIsBelievedOfTrustedProxiesOnly(t *testing.T) {
	const connection, proxy = "0.0.0.0", "10.1.2.3" // the first is where Fiber's test requests come from
	for _, tt := range []struct {
		name, trusted string
		first, then   string // X-Forwarded-For of who uses up the rate, and of who comes then
		same          bool   // they are one client
	}{
		{"untrusted", "", "192.0.2.1", "192.0.2.2", true},
		{"others are trusted", "192.0.2.0/24", "192.0.2.1", "192.0.2.2", true},
		{"trusted", connection + "/32", "192.0.2.1", "192.0.2.2", false},
		{"the same", connection + "/32", "192.0.2.1", "192.0.2.1", true},
		{"invented before", connection + "/32", "192.0.2.1", "203.0.113.9, 192.0.2.1", true},
		{"by two proxies", connection + "/32 10.0.0.0/8", "192.0.2.1, " + proxy, "192.0.2.2, " + proxy, false},
		{"by a second that is not trusted", connection + "/32", "192.0.2.1, " + proxy, "192.0.2.2, " + proxy, true},
		{"one network of IPv6", connection + "/32", "2001:db8::1", "2001:db8::2", true},
		{"two networks of IPv6", connection + "/32", "2001:db8::1", "2001:db8:0:1::1", false},
		{"no address", connection + "/32", "unknown", "nonsense", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newService(t, cache.Config{Strategy: cache.None}, func(c *Config) {
				c.ReadRate = 1
				for _, prefix := range strings.Fields(tt.trusted) {
					c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(prefix))
				}
			})
			status := 0
			for i := 0; i < 30 && status != 429; i++ {
				status = s.get(t, "/v1/listings/1", "X-Forwarded-For", tt.first).status
			}
			if status != 429 {
				t.Fatalf("thirty at once have status %d at last, want 429", status)
			}
			if got := s.get(t, "/v1/listings/1", "X-Forwarded-For", tt.then).status; (got == 429) != tt.same {
				t.Errorf("the other one has status %d; they are one client: %v", got, tt.same)
			}
		})
	}
}
