package cache

import (
	"sync"
	"time"
)

// Trail is what the layers did to answer one request. An answer that is built of several values is as old as the oldest of them, and
// comes from where the farthest came from.
type Trail struct {
	mu     sync.Mutex
	steps  [levels][layers]Step
	reads  int
	source Source
	loaded time.Duration
	asOf   time.Time
	filled time.Time
	unsure bool // some part has no as-of time, so the whole has none
}

// Step returns what a layer did for the value that the answer owes its source to; of several the last.
func (t *Trail) Step(level Level, layer Layer) Step {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.steps[level][layer]
}

// Source returns the farthest place that any part of the answer came from; ok is false if nothing was read for it.
func (t *Trail) Source() (source Source, ok bool) {
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
	return t.claim()
}

// Filled returns when the oldest part of the answer was read from the origin; zero if nothing was read.
func (t *Trail) Filled() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.filled
}

// Sum returns what the whole answer is: its source, its age and the time that it waited. ok is false if nothing was read for it.
func (t *Trail) Sum() (r Result, ok bool) {
	ok = t.sum(&r)
	return r, ok
}

func (t *Trail) sum(r *Result) (ok bool) {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reads == 0 {
		return false
	}
	r.Source, r.AsOf, r.Filled, r.Loaded, r.Parts = t.source, t.claim(), t.filled, t.loaded, t.steps[Data]
	return true
}

func (t *Trail) claim() time.Time {
	if t.unsure {
		return time.Time{}
	}
	return t.asOf
}

// add notes one read. It does nothing without a trail.
func (t *Trail) add(level Level, r Result) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Source >= t.source {
		t.steps[level] = r.Steps
	}
	t.reads++
	t.source = max(t.source, r.Source)
	t.loaded += r.Loaded
	t.unsure = t.unsure || r.AsOf.IsZero()
	t.asOf = earlier(t.asOf, r.AsOf)
	t.filled = earlier(t.filled, r.Filled)
}

// earlier returns the earlier of two times of which the first may not be known yet.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
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
