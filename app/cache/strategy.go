package cache

import (
	"context"
	"fmt"
	"strings"
)

// Strategy is how entries are kept and judged.
type Strategy uint8

// The strategies are what people deploy, and what this project proposes.
const (
	// None keeps nothing: every read goes to the origin. The baseline.
	None Strategy = iota
	// TTL keeps views and data in both layers for a fixed time, and nothing invalidates them: Django's cache_page, nginx's proxy_cache.
	TTL
	// Aside keeps data in L2 until the code that writes deletes it after its commit, or the TTL ends: cache-aside, Django's low-level cache.
	Aside
	// Stamped keeps views and data in both layers and judges each entry at each read by its stamp.
	Stamped

	strategies = iota
)

var strategyNames = [strategies]string{"none", "ttl", "aside", "stamped"}

// Strategies returns all strategies, the baseline first.
func Strategies() []Strategy { return []Strategy{None, TTL, Aside, Stamped} }

// ParseStrategy returns the strategy with that name, or an error that lists the names.
func ParseStrategy(name string) (Strategy, error) {
	for i, n := range strategyNames {
		if n == name {
			return Strategy(i), nil
		}
	}
	return None, fmt.Errorf("strategy %q is not one of %s", name, strings.Join(strategyNames[:], ", "))
}

// String is the strategy's name, as ParseStrategy reads it.
func (s Strategy) String() string { return strategyNames[s] }

// keeps says which layers a strategy uses at a level.
func (s Strategy) keeps(level Level) (l1, l2 bool) {
	switch s {
	case TTL, Stamped:
		return true, true
	case Aside:
		return false, level == Data
	}
	return false, false
}

// Level says what is kept.
type Level uint8

const (
	// Data are decoded values: a listing, a page of listings.
	Data Level = iota
	// Views are whole HTTP responses.
	Views

	levels = iota
)

// String is the level's label value.
func (l Level) String() string { return [levels]string{"data", "view"}[l] }

// request is what a request wants of the caches. It travels in the context, behind one key, because the hot path looks it up.
type request struct {
	strategy Strategy
	chosen   bool // strategy was set for this request
	bypass   bool
	audit    bool     // count nothing; goes with bypass
	audited  *audited // what was read for an audit; nil without
	trail    *Trail
}

type requestKey struct{}

func requestOf(ctx context.Context) request {
	if r, ok := ctx.Value(requestKey{}).(*request); ok {
		return *r
	}
	return request{}
}

func (r request) in(ctx context.Context) context.Context {
	return context.WithValue(ctx, requestKey{}, &r)
}

// WithStrategy returns a context in which a laboratory's caches (Config.Lab) use strategy s; elsewhere it changes nothing.
func WithStrategy(ctx context.Context, s Strategy) context.Context {
	r := requestOf(ctx)
	r.strategy, r.chosen = s, true
	return r.in(ctx)
}

// Bypass returns a context in which every read goes to the origin and nothing of it is kept.
func Bypass(ctx context.Context) context.Context {
	r := requestOf(ctx)
	r.bypass = true
	return r.in(ctx)
}

// Audit returns a context in which every read goes to the origin, as with Bypass, and none is counted: for comparing what the caches said
// with the truth.
func Audit(ctx context.Context) context.Context {
	r := requestOf(ctx)
	r.bypass, r.audit, r.audited = true, true, new(audited)
	return r.in(ctx)
}

// Audited reports whether the context is one of Audit.
func Audited(ctx context.Context) bool { return requestOf(ctx).audit }

// Follow returns a context whose reads leave a Trail: what each layer did for this request.
func Follow(ctx context.Context) (context.Context, *Trail) {
	r := requestOf(ctx)
	r.trail = new(Trail)
	return r.in(ctx), r.trail
}

// TrailOf returns the trail that reads with this context leave, or nil.
func TrailOf(ctx context.Context) *Trail { return requestOf(ctx).trail }
