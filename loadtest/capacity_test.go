package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestProbeSaysWhatItsLimitWas(t *testing.T) {
	const ok, slow = 10 * time.Millisecond, 80 * time.Millisecond
	for _, test := range []struct {
		name string
		probe
		want string
	}{
		{"all in time", probe{rate: 100, achieved: 100, p99: ok, answerP99: ok}, ""},
		{"slow answers", probe{rate: 100, achieved: 100, p99: slow, answerP99: slow, generator: 0.2, served: 1.5}, limitLatency},
		{"slow answers while the generator keeps the processors busy", probe{rate: 100, achieved: 100, p99: slow, answerP99: slow, generator: 1.2, served: 0.7}, limitGenerator},
		{"late requests", probe{rate: 100, achieved: 100, p99: slow, answerP99: ok, served: 1}, limitGenerator},
		{"too few requests", probe{rate: 100, achieved: 90, p99: ok, answerP99: ok, served: 1}, limitGenerator},
		{"a failure", probe{rate: 100, achieved: 100, p99: ok, answerP99: ok, errors: 1}, limitErrors},
	} {
		if got := test.limit(); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestSearchFindsWhereTheServiceGivesUp(t *testing.T) {
	for _, test := range []struct {
		name            string
		start, capacity float64
		steps           int
		from, to        float64
		limit           string
	}{
		{"above the start", 100, 1000, 12, 900, 1000, limitLatency},
		{"below the start", 100, 30, 12, 27, 30, limitLatency},
		{"nowhere", 100, 0, 5, 0, 0, limitLatency},
		{"out of steps", 100, 1e9, 4, 800, 800, limitCeiling},
		{"beyond what is tried", 60_000, 1e9, 10, 60_000, 60_000, limitCeiling},
	} {
		tries := 0
		best, limit, err := search(t.Context(), test.start, test.steps, func(_ context.Context, rate float64) (probe, error) {
			tries++
			p := probe{rate: rate, achieved: rate, p99: time.Millisecond, answerP99: time.Millisecond, served: 1}
			if rate > test.capacity {
				p.p99, p.answerP99 = time.Second, time.Second
			}
			return p, nil
		})
		if err != nil || limit != test.limit || best.rate < test.from || best.rate > test.to || tries > test.steps {
			t.Errorf("%s: got %.0f, %q, %v after %d tries, want %.0f to %.0f, %q, no error after at most %d", test.name, best.rate, limit, err, tries,
				test.from, test.to, test.limit, test.steps)
		}
	}
}

func TestSearchForgivesOneBadSecond(t *testing.T) {
	bad := true
	best, _, err := search(t.Context(), 100, 2, func(_ context.Context, rate float64) (probe, error) {
		p := probe{rate: rate, achieved: rate, p99: time.Millisecond, answerP99: time.Millisecond}
		if bad {
			p.p99, p.answerP99, bad = 2*latencyLimit, 2*latencyLimit, false
		}
		return p, nil
	})
	if err != nil || best.rate != 100 {
		t.Errorf("got %.0f, %v, want 100, no error", best.rate, err)
	}
}

func TestProbeAttacksWithTheTraffic(t *testing.T) {
	var reads, writes, strangers atomic.Int64
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v1/"):
			reads.Add(1)
		case r.Method == http.MethodPatch && r.Header.Get("Authorization") == "Bearer secret":
			writes.Add(1)
		default:
			strangers.Add(1)
		}
	}))
	t.Cleanup(service.Close)
	a := &attacker{
		traffic: &traffic{seed: 1, listings: 100, hot: 10, cities: []string{"a", "b"}, writes: 0.2}, prices: make([]int64, 101),
		url: service.URL, token: "secret", served: func() (float64, error) { return 0, nil },
	}
	p, err := a.probe(t.Context(), 500, time.Second)
	if err != nil || p.errors > 0 {
		t.Fatalf("got %v and %d errors, want none", err, p.errors)
	}
	// Vegeta ends with the time, however many requests are late: the number depends on the machine, the shares do not.
	if n := reads.Load() + writes.Load(); n == 0 || strangers.Load() > 0 || writes.Load()*3 > n || writes.Load()*10 < n {
		t.Errorf("got %d reads, %d writes and %d other requests; want a fifth to be writes and no others", reads.Load(), writes.Load(), strangers.Load())
	}
	if p.generator <= 0 || p.p99 <= 0 || p.p99 < p.answerP99 {
		t.Errorf("got %+v, want CPU time and latencies", p)
	}

	if rate, err := a.saturate(t.Context(), 2, 300*time.Millisecond); err != nil || rate <= 0 {
		t.Errorf("saturated, it answered %v requests/s, %v, want some", rate, err)
	}

	broken := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(broken.Close)
	a.url = broken.URL
	if p, err = a.probe(t.Context(), 100, 300*time.Millisecond); err != nil || p.limit() != limitErrors {
		t.Errorf("a service without the API: got %v, limit %q, want errors", err, p.limit())
	}
}
