package cache

import "context"

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

// Audit returns a context in which every read goes to the origin, as with Bypass, and none is counted: for comparing what the
// caches said with the truth.
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
