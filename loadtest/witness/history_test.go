package witness

import (
	"testing"
	"time"
)

// A listing that was in a, changed there, moved to b, changed there, came back to a, and is on its way to b again.
func travelled() *history {
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	return &history{changes: []change{
		{city: "a", version: 1, updated: at(9), acked: at(10)},
		{city: "a", version: 2, updated: at(19), acked: at(20)},
		{city: "b", version: 3, updated: at(29), acked: at(30)},
		{city: "b", version: 5, updated: at(39), acked: at(40)}, // somebody else made version 4
		{city: "a", version: 6, updated: at(49), acked: at(50)},
		{city: "b"}, // begun, not acknowledged
	}}
}

func TestListingIsStaleSinceTheOldestChangeThatItMisses(t *testing.T) {
	for _, test := range []struct {
		version int64
		started int
		want    int
	}{
		{version: 1, started: 15, want: 0},
		{version: 1, started: 20, want: 0}, // acknowledged at that moment, not before
		{version: 1, started: 21, want: 1},
		{version: 1, started: 45, want: 25},
		{version: 2, started: 45, want: 15},
		{version: 4, started: 45, want: 5},
		{version: 5, started: 45, want: 0},
		{version: 6, started: 45, want: 0}, // learnt while the read was under way
		{version: 7, started: 55, want: 0}, // somebody else's change, or the one that is under way
	} {
		got := travelled().listing(test.version, time.Unix(int64(test.started), 0))
		if got != time.Duration(test.want)*time.Second {
			t.Errorf("version %d read at %d s: got %v stale, want %d s", test.version, test.started, got, test.want)
		}
	}
}

func TestPageMustShowTheListingWhereItIs(t *testing.T) {
	for _, test := range []struct {
		city           string
		known, started int // of the changes, when the answer came; when it was asked for
		want           int
		judged         bool
	}{
		{city: "a", known: 2, started: 25, judged: false},          // it never was elsewhere
		{city: "b", known: 2, started: 25, judged: true},           // it is in a
		{city: "b", known: 4, started: 45, want: 15, judged: true}, // it came at 30; the change at 40 is not the oldest that is missed
		{city: "a", known: 4, started: 45, judged: true},           // it left
		{city: "b", known: 5, started: 45, judged: true},           // its return was learnt while the read was under way
		{city: "b", known: 5, started: 55, judged: true},           // it is in a again
		{city: "a", known: 5, started: 55, want: 5, judged: true},  // since 50
		{city: "a", known: 6, started: 55, judged: true},           // it may have left already
	} {
		h := travelled()
		h.changes = h.changes[:test.known]
		got, judged := h.absent(test.city, time.Unix(int64(test.started), 0))
		if got != time.Duration(test.want)*time.Second || judged != test.judged {
			t.Errorf("not on the page of %s at %d s, %d changes known: got %v stale, judged %v, want %d s, %v",
				test.city, test.started, test.known, got, judged, test.want, test.judged)
		}
	}
}

func TestStatsAreJudgedOnlyWhereTheListingIs(t *testing.T) {
	for _, test := range []struct {
		city             string
		updated, started int
		judged           bool
	}{
		{city: "a", updated: 9, started: 15, judged: false}, // it may leave before the answer: all that was begun counts
		{city: "b", updated: 39, started: 45, judged: false},
		{city: "a", updated: 49, started: 55, judged: false},
	} {
		if _, judged := travelled().stats(test.city, time.Unix(int64(test.updated), 0), time.Unix(int64(test.started), 0)); judged != test.judged {
			t.Errorf("%s at %d s: judged %v, want %v", test.city, test.started, judged, test.judged)
		}
	}
	inB := travelled()
	inB.changes = inB.changes[:4]
	for _, test := range []struct {
		updated, started int
		want             int
	}{
		{updated: 39, started: 45, want: 0},
		{updated: 42, started: 45, want: 0}, // somebody else changed another listing there
		{updated: 29, started: 45, want: 5},
		{updated: 8, started: 45, want: 15},   // misses its arrival
		{updated: 29, started: 35, want: 0},   // the change at 40 is to come
		{updated: 39, started: 35, want: 0},   // learnt while the read was under way
		{updated: 10, started: 100, want: 70}, // and goes on missing it
	} {
		got, judged := inB.stats("b", time.Unix(int64(test.updated), 0), time.Unix(int64(test.started), 0))
		if got != time.Duration(test.want)*time.Second || !judged {
			t.Errorf("updated %d s, read at %d s: got %v, judged %v, want %d s, true", test.updated, test.started, got, judged, test.want)
		}
	}
}
