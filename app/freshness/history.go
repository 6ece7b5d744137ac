package freshness

import "slices"

// exact is how many transactions of a tag are kept one by one at least; twice as many at most. What
// lies further back is remembered as a whole.
const exact = 64

// history is what a ledger knows of one tag. It must keep every recent transaction, not just the
// largest: a lower one can commit later.
type history struct {
	recent []XID // ascending
	last   XID   // the largest there ever was

	// Of those no longer kept one by one: the largest, and a snapshot that sees them all. A stamp
	// sees them if its Xmin lies behind the former or it covers the latter. The former alone would
	// refuse everything that is read while some old transaction stays open, the latter alone what
	// was read before the ledger looked.
	dropped XID
	behind  *Snapshot

	mark *Snapshot // sees all but the youngest of recent: it is the next behind
}

// add notes a transaction of which the ledger learned under the snapshot now.
func (h *history) add(x XID, now *Snapshot) {
	h.last = max(h.last, x)
	if h.behind != nil && h.behind.Sees(x) && x <= h.dropped {
		return
	}
	i, known := slices.BinarySearch(h.recent, x)
	if known {
		return
	}
	h.recent = slices.Insert(h.recent, i, x)
	switch {
	case len(h.recent) == exact:
		h.mark = now
	case len(h.recent) > 2*exact:
		h.drop(now)
	}
}

// drop no longer keeps the lowest one by one, as far as the mark sees them.
func (h *history) drop(now *Snapshot) {
	lowest := h.recent[:len(h.recent)-exact]
	kept := lowest[:0]
	for _, x := range lowest {
		if h.mark.Sees(x) {
			h.dropped = max(h.dropped, x)
		} else {
			kept = append(kept, x)
		}
	}
	h.recent = append(kept, h.recent[len(h.recent)-exact:]...)
	h.behind, h.mark = h.mark, now
}

func (h *history) largest() XID { return h.last }

// visibleIn reports whether every transaction of the tag is visible. A nil history is a tag that
// never changed.
func (h *history) visibleIn(s Snapshot) bool {
	if h == nil {
		return true
	}
	if h.behind != nil && h.dropped >= s.Xmin && !s.Covers(*h.behind) {
		return false
	}
	for i := len(h.recent) - 1; i >= 0 && h.recent[i] >= s.Xmin; i-- { // below Xmin all are visible
		if !s.Sees(h.recent[i]) {
			return false
		}
	}
	return true
}
