package cache

import "time"

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

// Result says how one value was come by.
type Result struct {
	Steps  [layers]Step
	Parts  [layers]Step // of a view that was made: what the data level said of the part that it owes its source to
	Source Source
	Filled time.Time     // when the value was read from the origin, or the oldest part of it
	Loaded time.Duration // how long the origin took, if this read waited for it
	AsOf   time.Time     // everything committed before it is in the value; zero if that is not known

	AsOfText string        // AsOf as freshness.AsOf.Text has it, if it is the ledger's; else empty
	Age      time.Duration // of a hit of L1: since AsOf if that is known, else since Filled
}
