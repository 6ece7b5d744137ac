package ratelimit

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"example.com/strata/app/remote"
	"example.com/strata/app/telemetry"
	"example.com/strata/deploy/local"
)

var stack *local.Stack

func TestMain(m *testing.M) {
	var err error
	if stack, err = local.Start(context.Background(), local.Config{Log: func(line string) { fmt.Fprintln(os.Stderr, line) }}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if err := stack.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// newLimiter returns a limiter whose clock stands still.
func newLimiter(t *testing.T, redisURL string) (l *Limiter, forward func(time.Duration)) {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.Config{LogLevel: "error"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	redis, err := remote.Open(remote.Config{URL: redisURL, Timeout: 5 * time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if redis != nil {
		t.Cleanup(func() { _ = redis.Close() })
	}
	l = New(redis, tel)
	now := time.Now()
	l.present = func() time.Time { return now }
	return l, func(d time.Duration) { now = now.Add(d) }
}

// takeUntilRefused returns how many requests were allowed before the first that was not.
func takeUntilRefused(t *testing.T, l *Limiter, p Policy, client string) (n int64, last Verdict) {
	t.Helper()
	for ; n <= 2*p.Quota; n++ {
		if last = l.Take(t.Context(), p, client); !last.Allowed {
			return n, last
		}
	}
	return n, last
}

func TestAClientGetsItsQuotaAndThenHasToWait(t *testing.T) {
	l, forward := newLimiter(t, "")
	p := Policy{"reads", 100}
	if n, v := takeUntilRefused(t, l, p, "a"); n != 100 || v.Retry != 100*time.Millisecond {
		t.Errorf("%d allowed, then retry in %v; want 100 and 100ms", n, v.Retry)
	}
	if n, _ := takeUntilRefused(t, l, p, "b"); n != 100 {
		t.Errorf("another client was allowed %d, want 100", n)
	}
	if n, _ := takeUntilRefused(t, l, Policy{"writes", 10}, "a"); n != 10 {
		t.Errorf("by another policy %d were allowed, want 10", n)
	}
	forward(time.Second)
	if n, _ := takeUntilRefused(t, l, p, "a"); n != 10 {
		t.Errorf("a tenth of the window later %d were allowed, want 10", n)
	}
	forward(time.Hour)
	if n, _ := takeUntilRefused(t, l, p, "a"); n != 100 {
		t.Errorf("an hour later %d were allowed, want 100", n)
	}
}

func TestReplicasShareAQuotaThroughRedis(t *testing.T) {
	a, _ := newLimiter(t, stack.RedisURL)
	b, _ := newLimiter(t, stack.RedisURL)
	p := Policy{"shared", 5_000} // grows back by one in two milliseconds: more slowly than a busy machine asks
	began := time.Now()
	n, _ := takeUntilRefused(t, a, p, "x")
	m, v := takeUntilRefused(t, b, p, "x")
	most := p.Quota + int64(time.Since(began)/(Window/time.Duration(p.Quota))) + 1
	if n < p.Quota || n+m > most {
		t.Errorf("together %d and %d were allowed, want %d to %d", n, m, p.Quota, most)
	}
	if v.Retry <= 0 || v.Retry > Window {
		t.Errorf("retry in %v", v.Retry)
	}
	// The control: replicas that do not share grant the quota each.
	c, _ := newLimiter(t, "")
	if n, _ := takeUntilRefused(t, c, p, "x"); n != p.Quota {
		t.Errorf("alone %d were allowed, want %d", n, p.Quota)
	}
}

func TestWithoutRedisEachReplicaCountsForItself(t *testing.T) {
	l, _ := newLimiter(t, "redis://127.0.0.1:1/0")
	if n, v := takeUntilRefused(t, l, Policy{"reads", 40}, "a"); n != 40 || v.Retry <= 0 {
		t.Errorf("%d allowed, retry in %v; want 40", n, v.Retry)
	}
}

func TestManyClientsAreForgottenAgain(t *testing.T) {
	l, _ := newLimiter(t, "")
	for i := range 3 * mostKnown {
		l.budgetOf(Policy{"reads", 1}, fmt.Sprint(i))
	}
	if got := len(l.young) + len(l.old); got > 2*mostKnown {
		t.Errorf("%d clients are remembered, want %d at most", got, 2*mostKnown)
	}
}
