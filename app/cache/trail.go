package cache

import (
	"sync"
	"time"

	"strata/app/telemetry"
)

// Layer is where an entry is kept.
type Layer uint8

const (
	// L1 is in the process.
	L1 Layer = iota
	// L2 is Redis, shared by all replicas.
	L2

	layers = iota
)

// String is the layer's label value.
func (l Layer) String() string { return [layers]string{"l1", "l2"}[l] }

// Outcome is what a layer said to one read. The zero value means that it was not asked.
type Outcome uint8

const (
	// Hit: a fresh entry.
	Hit Outcome = iota + 1
	// Miss: no entry, or one that cannot be judged.
	Miss
	// Expired: its time is over; no change of it is known.
	Expired
	// Invalidated: a change of what it depends on is known.
	Invalidated
	// Stale: an expired entry was served, because the origin was slow or down.
	Stale
	// Bypassed: there may be an entry, but it must not be used: the request said so, or the ledger is blind.
	Bypassed
	// Failed: the layer did not answer.
	Failed

	outcomes = iota + 1
)

// String is the outcome's label value.
func (o Outcome) String() string {
	return [outcomes]string{"", "hit", "miss", "expired", "invalidated", "stale", "bypass", "error"}[o]
}

// Step is what one layer of one level did for a request.
type Step struct {
	Outcome   Outcome
	TTL       time.Duration // of a hit: what is left; negative for a stale entry
	Stored    bool          // the layer kept what was loaded
	Collapsed bool          // the request waited for another's load
}

// Trail is what the layers did to answer one request.
type Trail struct {
	mu     sync.Mutex
	steps  [levels][layers]Step
	reads  int
	source telemetry.Source
	loaded time.Duration
	asOf   time.Time
	filled time.Time // of the oldest part
	unsure bool      // some part has no as-of time, so the whole has none
}

// Step returns what a layer did for the last value that was asked of it.
func (t *Trail) Step(level Level, layer Layer) Step {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.steps[level][layer]
}

// Source returns the farthest place that any part of the answer came from; ok is false if nothing was read for it.
func (t *Trail) Source() (source telemetry.Source, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.source, t.reads > 0
}

// Loaded returns the time spent waiting for the origin.
func (t *Trail) Loaded() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.loaded
}

// AsOf returns the moment that the whole answer is sure to be as new as: everything committed before it is in the answer.
// Zero means that no such moment is known.
func (t *Trail) AsOf() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.unsure {
		return time.Time{}
	}
	return t.asOf
}

// Filled returns when the oldest part of the answer was read from the origin; zero if nothing was read.
func (t *Trail) Filled() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.filled
}

// add notes one read. It does nothing without a trail.
func (t *Trail) add(level Level, r Result) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps[level] = r.Steps
	t.reads++
	t.source = max(t.source, r.Source)
	t.loaded += r.Loaded
	if t.filled.IsZero() || r.Filled.Before(t.filled) {
		t.filled = r.Filled
	}
	t.unsure = t.unsure || r.AsOf.IsZero()
	if t.asOf.IsZero() || r.AsOf.Before(t.asOf) {
		t.asOf = r.AsOf
	}
}

// note says what the layers of a level said, without a read of data. It does nothing without a trail.
func (t *Trail) note(level Level, steps [layers]Step) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.steps[level] = steps
}

// Result says how one value was come by.
type Result struct {
	Steps  [layers]Step
	Source telemetry.Source
	Filled time.Time     // when the value was read from the origin
	Loaded time.Duration // how long the origin took, if this read waited for it
	AsOf   time.Time     // everything committed before it is in the value; zero if that is not known

	AsOfText string        // AsOf as freshness.AsOf.Text has it, if it is the ledger's; else empty
	Age      time.Duration // of a hit of L1: since AsOf if that is known, else since Filled
}
