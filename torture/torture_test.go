package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("STRATA_BIN")
	if path == "" {
		path = filepath.Join("..", "bin", "strata")
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no service to torture (make strata builds it): %v", err)
	}
	return path
}

// short are the faults that a short run does: one of each kind that takes little time.
const short = "none,redis-flushed,redis-full,redis-killed,connections-cut,connections-exhausted,database-unreachable,replica-killed,backend-killed,postgres-crashed"

func TestNoAnswerIsOlderThanItSaysWhateverHappens(t *testing.T) {
	r, err := run(t.Context(), settings{strata: binary(t), seed: 1, faults: short}, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	if r.Violations > 0 {
		t.Errorf("%d of %d answers were older than they said", r.Violations, r.Judged)
	}
	for _, o := range r.Faults {
		if o.Judged == 0 || o.Commits == 0 {
			t.Errorf("%s: %d answers and %d commits prove nothing", o.Fault, o.Judged, o.Commits)
		}
		if o.Recovery < 0 {
			t.Errorf("%s: the hit ratio did not come back", o.Fault)
		}
	}
}

// The negative control: one write in a hundred takes its line out of the change log, as a feed would that loses changes.
func TestAFeedThatLosesChangesIsFoundOut(t *testing.T) {
	r, err := run(t.Context(), settings{strata: binary(t), seed: 1, faults: "none,none", control: true}, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	if r.Violations == 0 {
		t.Errorf("no violation among %d answers: the harness proves nothing", r.Judged)
	}
}

// The negative controls of the rules: each is shown what it must refuse.
func TestEachRuleRefusesWhatItMust(t *testing.T) {
	w := new(world)
	began := at(1)
	for id := 1; id <= listings; id++ {
		w.truths[id].settle(state{1, "alpha"}, began, began)
	}
	w.truths[7].begin(state{2, "beta"}, at(10))
	w.truths[7].settle(state{2, "beta"}, at(10), at(11))
	count := func(n int64) *int64 { return &n }
	for name, s := range map[string]struct {
		suspect
		right bool
	}{
		"the old state before the change":       {suspect{id: 7, state: state{1, "alpha"}, asOf: at(10), end: at(20)}, true},
		"the old state after it":                {suspect{id: 7, state: state{1, "alpha"}, asOf: at(12), end: at(20)}, false},
		"the new state before it":               {suspect{id: 7, state: state{2, "beta"}, asOf: at(5), end: at(9)}, false},
		"the new state after it":                {suspect{id: 7, state: state{2, "beta"}, asOf: at(12), end: at(20)}, true},
		"a state that never was":                {suspect{id: 7, state: state{3, "beta"}, asOf: at(12), end: at(20)}, false},
		"a page without what has left":          {suspect{id: 7, in: "alpha", asOf: at(12), end: at(20)}, true},
		"a page without what has come":          {suspect{id: 7, in: "beta", asOf: at(12), end: at(20)}, false},
		"a city with as many as before":         {suspect{in: "alpha", count: count(listings), asOf: at(12), end: at(20)}, false},
		"a city with as many as there are":      {suspect{in: "alpha", count: count(listings - 1), asOf: at(12), end: at(20)}, true},
		"either while the change was under way": {suspect{in: "alpha", count: count(listings), asOf: at(10), end: at(11)}, true},
	} {
		if got := w.right(s.suspect); got != s.right {
			t.Errorf("%s: right is %t, want %t", name, got, s.right)
		}
	}
}

func TestStateThatAFaultBringsBackIsPresentAgain(t *testing.T) {
	var h history
	h.settle(state{1, "alpha"}, at(1), at(1))
	h.begin(state{2, "alpha"}, at(5))
	h.settle(state{2, "alpha"}, at(5), at(6))
	h.settle(state{1, "alpha"}, at(10), at(12)) // a copy of second 4 was put back
	shows := func(price int64, asOf int) bool {
		return h.possible(at(asOf), at(20), func(s state) bool { return s.price == price })
	}
	if shows(2, 13) || !shows(1, 13) {
		t.Error("after the restore, what it took back counts as present, or what it brought does not")
	}
	if !shows(2, 8) {
		t.Error("before the restore, what it took back does not count as present")
	}
}

// at is a moment of a made-up history.
func at(second int) time.Time { return time.Unix(1_700_000_000+int64(second), 0) }
