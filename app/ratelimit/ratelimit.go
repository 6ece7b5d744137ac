// Package ratelimit counts what clients ask for against a rate each. Replicas share the count through Redis; while Redis is away, each
// counts for itself.
package ratelimit

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"example.com/strata/app/remote"
	"example.com/strata/app/telemetry"
)

// Window is the time that a quota is for: a client may ask for all of it at once, and it grows back evenly.
const Window = 10 * time.Second

const (
	batches    = 20      // a replica takes a twentieth of a quota out of Redis at a time, so that it asks twice a second and client at most
	leaseLives = Window  // a batch that its client did not use by then is thrown away
	mostKnown  = 1 << 16 // clients that a replica remembers at least the last so many of
)

// Policy is a limit: so many requests in a Window, for each client.
type Policy struct {
	Name  string // part of the key in Redis, and of the header fields
	Quota int64
}

// Verdict says whether a request is within its client's rate.
type Verdict struct {
	Allowed bool
	Left    int64         // of the quota, as far as this replica knows; not less than it promised before
	Retry   time.Duration // until the next request may be allowed; 0 if this one is
}

// Limiter judges requests. It may be used by any number of goroutines.
type Limiter struct {
	script  *remote.Script
	checks  [2][2]prometheus.Counter // by store and result
	present func() time.Time

	mu         sync.Mutex
	young, old map[client]*budget // two generations: when young is full it becomes old, and what was not asked for since is forgotten
}

type client struct{ policy, name string }

// budget is what a replica may still give to a client without asking anybody.
type budget struct {
	mu      sync.Mutex
	granted int64     // requests of the last batch that are left
	left    int64     // in Redis, behind the batch
	until   time.Time // when the batch is void
	closed  time.Time // nothing is granted before, so nobody needs to be asked
	shared  bool      // the batch came out of Redis
	full    time.Time // in this process' own count, for when Redis is away: when the whole quota will have grown back
}

// The stores and results, as labels' values.
const (
	inMemory, inRedis = 0, 1
	refused, allowed  = 0, 1
)

// New returns a Limiter that shares its counts through Redis, which may be nil.
func New(redis *remote.Redis, tel *telemetry.Telemetry) *Limiter {
	l := &Limiter{script: remote.NewScript(redis, take), present: time.Now, young: make(map[client]*budget)}
	checks := promauto.With(tel.Registry).NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricRateLimitChecks,
		Help: "Requests counted against their client's rate, by where the count is kept. memory: Redis is away, so that each replica grants the whole rate.",
	}, []string{telemetry.LabelStore, telemetry.LabelResult})
	for store, name := range [...]string{inMemory: "memory", inRedis: "redis"} {
		for result, word := range [...]string{refused: "refused", allowed: "allowed"} {
			l.checks[store][result] = checks.WithLabelValues(name, word)
		}
	}
	return l
}

// Take counts one request of a client, whose name may be in a buffer that is used again. It asks Redis for a batch of requests when the last one is used up.
func (l *Limiter) Take(ctx context.Context, p Policy, name string) Verdict {
	b := l.budgetOf(p, name)
	b.mu.Lock()
	defer b.mu.Unlock()
	now := l.present()
	if now.Before(b.closed) {
		l.count(b.shared, false)
		return Verdict{Retry: b.closed.Sub(now)}
	}
	if b.granted == 0 || !now.Before(b.until) {
		l.refill(ctx, b, p, name, now)
	}
	if b.granted == 0 {
		l.count(b.shared, false)
		return Verdict{Retry: b.closed.Sub(now)}
	}
	b.granted--
	l.count(b.shared, true)
	return Verdict{Allowed: true, Left: b.granted + b.left}
}

func (l *Limiter) count(shared, ok bool) {
	store, result := inMemory, refused
	if shared {
		store = inRedis
	}
	if ok {
		result = allowed
	}
	l.checks[store][result].Inc()
}

// take is the generic cell rate algorithm: one number a client, the moment when its whole quota will have grown back. It grants as many of the
// requests wanted as there are, by the clock of Redis. It returns how many, how many are left, and the microseconds until there is one if there is none.
const take = `
local interval, window, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = math.max(now, tonumber(redis.call('GET', KEYS[1]) or 0))
local room = math.max(0, math.floor((now + window - full) / interval))
local granted = math.min(wanted, room)
if granted == 0 then
	return {0, 0, math.ceil(full + interval - window - now)}
end
full = full + granted * interval
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return {granted, room - granted, 0}`

// refill gets a new batch: out of Redis, or if that does not answer, out of this process' own count by the same algorithm.
func (l *Limiter) refill(ctx context.Context, b *budget, p Policy, name string, now time.Time) {
	wanted, interval := max(1, p.Quota/batches), max(1, Window.Microseconds()/p.Quota)
	b.until, b.granted, b.left = now.Add(leaseLives), 0, 0
	numbers, err := l.script.Run(ctx, "rate:"+p.Name+":"+name, interval, interval*p.Quota, wanted)
	if b.shared = err == nil && len(numbers) == 3; b.shared {
		b.granted, b.left = numbers[0], numbers[1]
		b.closed = now.Add(time.Duration(numbers[2]) * time.Microsecond)
		return
	}
	each := time.Duration(interval) * time.Microsecond
	if b.full.Before(now) {
		b.full = now
	}
	room := int64(now.Add(each*time.Duration(p.Quota)).Sub(b.full) / each)
	if b.granted = min(wanted, max(0, room)); b.granted == 0 {
		b.closed = b.full.Add(each).Add(-each * time.Duration(p.Quota))
		return
	}
	b.full, b.left = b.full.Add(each*time.Duration(b.granted)), room-b.granted
}

// budgetOf returns a client's budget. Many clients, or one with many addresses, cannot make it remember more than it may.
func (l *Limiter) budgetOf(p Policy, name string) *budget {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := client{p.Name, name}
	if b := l.young[c]; b != nil {
		return b
	}
	b := l.old[c]
	if b == nil {
		b = new(budget)
	}
	if len(l.young) >= mostKnown {
		l.old, l.young = l.young, make(map[client]*budget)
	}
	l.young[client{p.Name, strings.Clone(name)}] = b
	return b
}
