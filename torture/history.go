package main

import (
	"sync"
	"time"
)

// state is what a listing was at one time. No two writes of a run have the same price, so the price names the write.
type state struct {
	price int64
	city  string
}

// interval is when a state may have been the present one: not before from, and not after until, when the next one had been acknowledged.
type interval struct {
	state
	from, until time.Time // until is zero while it is open
}

// history is what is known of one listing: from the writer, and from the rows themselves after a fault took something back.
type history struct {
	mu        sync.RWMutex
	intervals []interval
}

// begin notes a write that is about to be committed, or to fail.
func (h *history) begin(s state, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.intervals = append(h.intervals, interval{state: s, from: now})
}

// settle notes that s is the present state, as somebody was told at now: no other can be seen after that. A state that nobody wrote since is one that a
// fault brought back, which began after fault.
func (h *history) settle(s state, fault, now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known := false
	for i := range h.intervals {
		v := &h.intervals[i]
		switch {
		case !v.until.IsZero():
		case v.state == s:
			known = true
		default:
			v.until = now
		}
	}
	if !known {
		h.intervals = append(h.intervals, interval{state: s, from: fault})
	}
}

// possible calls do with each state that an answer may show which was given before end and claims to hold all that had been committed before asOf. It stops when
// do returns true, and returns that.
func (h *history) possible(asOf, end time.Time, do func(state) bool) bool {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for i := len(h.intervals) - 1; i >= 0; i-- {
		v := &h.intervals[i]
		if (v.until.IsZero() || !v.until.Before(asOf)) && !v.from.After(end) && do(v.state) {
			return true
		}
	}
	return false
}

// present is the state that was settled last.
func (h *history) present() state {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.intervals[len(h.intervals)-1].state
}

// forget drops what no answer can be judged by any more.
func (h *history) forget(before time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	kept := h.intervals[:0]
	for _, v := range h.intervals {
		if v.until.IsZero() || v.until.After(before) {
			kept = append(kept, v)
		}
	}
	h.intervals = kept
}
