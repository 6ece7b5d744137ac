package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"time"
)

// tally is what the clients of a phase saw.
type tally struct {
	reads, judged, hits, unclaimed, labelled, refused, broken, commits, ownWrites atomic.Int64
}

// suspect is an answer that cannot be right by what is known when it is judged. It is judged anew when the fault is over: what a fault brings back is known late.
type suspect struct {
	kind      string
	id        int64
	state     state  // of a listing that was shown
	in        string // of a listing that a page of this city lacks, instead
	count     *int64 // how many listings a city was said to have, instead
	asOf, end time.Time
	detail    string
}

// judge counts an answer, and keeps it if it cannot be right as far as is known.
func (w *world) judge(s suspect) {
	w.tally.judged.Add(1)
	if !w.right(s) {
		w.mu.Lock()
		w.suspects = append(w.suspects, s)
		w.mu.Unlock()
	}
}

func (w *world) right(s suspect) bool {
	switch {
	case s.count != nil:
		least, most := w.inCity(s.in, s.asOf, s.end)
		return *s.count >= least && *s.count <= most
	case s.in != "":
		return w.truths[s.id].possible(s.asOf, s.end, func(v state) bool { return v.city != s.in })
	}
	return w.truths[s.id].possible(s.asOf, s.end, func(v state) bool { return v == s.state })
}

// inCity returns how many listings a city had at least and at most.
func (w *world) inCity(city string, asOf, end time.Time) (least, most int64) {
	for id := 1; id <= listings; id++ {
		there := w.truths[id].possible(asOf, end, func(v state) bool { return v.city == city })
		elsewhere := w.truths[id].possible(asOf, end, func(v state) bool { return v.city != city })
		if there {
			most++
			if !elsewhere {
				least++
			}
		}
	}
	return least, most
}

// violations judges the suspects anew and returns how many were wrong, and an example.
func (w *world) violations() (int, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	wrong, example := 0, ""
	for _, s := range w.suspects {
		if !w.right(s) {
			wrong++
			if example == "" {
				example = s.String()
			}
		}
	}
	w.suspects = nil
	return wrong, example
}

func (s suspect) String() string {
	what := fmt.Sprintf("listing %d with %v", s.id, s.state)
	switch {
	case s.count != nil:
		what = fmt.Sprintf("%d listings in %s", *s.count, s.in)
	case s.in != "":
		what = fmt.Sprintf("%s without listing %d", s.in, s.id)
	}
	return fmt.Sprintf("%s: %s, as of %s, given at %s; %s", s.kind, what, s.asOf.Format(clock), s.end.Format(clock), s.detail)
}

const clock = "15:04:05.000000"

// isStale reports whether an answer says that it is not fresh.
func isStale(cacheStatus string) bool { return strings.Contains(cacheStatus, "detail=stale") }

// forget drops what a phase left.
func (w *world) forget() {
	for id := 1; id <= listings; id++ {
		w.truths[id].forget(time.Now().Add(-30 * time.Second))
	}
}
