package witness

import (
	"slices"
	"sync"
	"time"
)

// The kinds of answers that are judged.
const (
	Listing = "listing"
	Page    = "page"
	Stats   = "stats"
)

// Verdict is what a witness saw.
type Verdict struct {
	Writes    int64
	Kinds     map[string]*Kind // by Listing, Page, Stats
	Unjudged  int64            // answers that allow no judgement
	Errors    int64            // requests without a usable answer
	LastError string
}

// Kind is what a witness saw of one kind of answer.
type Kind struct {
	Reads int64           // that were judged
	Stale []time.Duration // how stale each stale read was, in ascending order
}

// Reads returns how many reads were judged.
func (v *Verdict) Reads() int64 {
	var n int64
	for _, kind := range v.Kinds {
		n += kind.Reads
	}
	return n
}

// Stale returns how stale the stale reads of all kinds were, in ascending order.
func (v *Verdict) Stale() []time.Duration {
	var all []time.Duration
	for _, kind := range v.Kinds {
		all = append(all, kind.Stale...)
	}
	slices.Sort(all)
	return all
}

// Worst returns how stale the stalest read was; 0 if none was.
func (k *Kind) Worst() time.Duration {
	if len(k.Stale) == 0 {
		return 0
	}
	return k.Stale[len(k.Stale)-1]
}

// notes collects a verdict from several goroutines.
type notes struct {
	mu      sync.Mutex
	verdict Verdict
}

func newNotes() *notes {
	return &notes{verdict: Verdict{Kinds: map[string]*Kind{Listing: {}, Page: {}, Stats: {}}}}
}

// judged notes a read of a kind.
func (n *notes) judged(kind string, stale time.Duration, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !ok {
		n.verdict.Unjudged++
		return
	}
	k := n.verdict.Kinds[kind]
	k.Reads++
	if stale > 0 {
		k.Stale = append(k.Stale, stale)
	}
}

func (n *notes) wrote() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.verdict.Writes++
}

func (n *notes) failed(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.verdict.Errors++
	n.verdict.LastError = err.Error()
}

// close returns the verdict. Nothing may be noted afterwards.
func (n *notes) close() *Verdict {
	for _, kind := range n.verdict.Kinds {
		slices.Sort(kind.Stale)
	}
	return &n.verdict
}
