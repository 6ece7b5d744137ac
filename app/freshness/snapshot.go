package freshness

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrSnapshot is returned for text that is not a snapshot as PostgreSQL prints it.
var ErrSnapshot = errors.New("not a snapshot of the form xmin:xmax:xip_list")

// XID is a PostgreSQL transaction id of type xid8: 64 bits, so it never wraps around.
type XID uint64

// ParseXID reads an xid8 in the decimal form that PostgreSQL prints.
func ParseXID(text string) (XID, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("transaction id %q is not a number of 64 bits", text)
	}
	return XID(n), nil
}

// String is the xid in decimal, as PostgreSQL prints it.
func (x XID) String() string { return strconv.FormatUint(uint64(x), 10) }

// Snapshot says which transactions a statement could see: PostgreSQL's pg_snapshot.
// Its zero value sees nothing.
type Snapshot struct {
	Xmin       XID   // every lower transaction had ended
	Xmax       XID   // this one and every higher transaction had not begun
	InProgress []XID // those between that were running, ascending; nobody may change it
}

// ParseSnapshot reads the form "xmin:xmax:a,b,c" of pg_current_snapshot()::text. It returns
// ErrSnapshot for anything else.
func ParseSnapshot(text string) (Snapshot, error) {
	xmin, rest, ok := strings.Cut(text, ":")
	xmax, list, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return Snapshot{}, fmt.Errorf("%w: %q", ErrSnapshot, text)
	}
	var s Snapshot
	var err, err2 error
	s.Xmin, err = ParseXID(xmin)
	s.Xmax, err2 = ParseXID(xmax)
	if err != nil || err2 != nil || s.Xmin > s.Xmax {
		return Snapshot{}, fmt.Errorf("%w: %q", ErrSnapshot, text)
	}
	for list != "" {
		var item string
		item, list, _ = strings.Cut(list, ",")
		x, err := ParseXID(item)
		if err != nil || x < s.Xmin || x >= s.Xmax {
			return Snapshot{}, fmt.Errorf("%w: %q", ErrSnapshot, text)
		}
		s.InProgress = append(s.InProgress, x)
	}
	slices.Sort(s.InProgress)
	return s, nil
}

// String prints the snapshot as PostgreSQL does; ParseSnapshot reads it back.
func (s Snapshot) String() string {
	text := make([]byte, 0, 48)
	text = strconv.AppendUint(text, uint64(s.Xmin), 10)
	text = append(text, ':')
	text = strconv.AppendUint(text, uint64(s.Xmax), 10)
	text = append(text, ':')
	for i, x := range s.InProgress {
		if i > 0 {
			text = append(text, ',')
		}
		text = strconv.AppendUint(text, uint64(x), 10)
	}
	return string(text)
}

// Sees reports whether the effects of transaction x, if it committed, are visible in the snapshot.
// It is pg_visible_in_snapshot.
func (s Snapshot) Sees(x XID) bool {
	switch {
	case x < s.Xmin:
		return true
	case x >= s.Xmax:
		return false
	}
	_, running := slices.BinarySearch(s.InProgress, x)
	return !running
}

// Covers reports whether the snapshot is sure to see every transaction that o sees. It may say
// false where only ids between the two Xmax decide, and none of those committed.
func (s Snapshot) Covers(o Snapshot) bool {
	if s.Xmax < o.Xmax {
		return false
	}
	for _, x := range s.InProgress {
		if o.Sees(x) {
			return false
		}
	}
	return true
}

// Standby is the part of a snapshot that can be trusted when it was taken on a standby. There
// PostgreSQL prints an empty list of running transactions and calls invisible ones visible; only
// what lies below Xmin is sure.
func (s Snapshot) Standby() Snapshot { return Snapshot{Xmin: s.Xmin, Xmax: s.Xmin} }

// Both returns the snapshot that sees exactly what a and b both see: what can be said of an answer
// built from a read under each.
func Both(a, b Snapshot) Snapshot {
	both := Snapshot{Xmin: min(a.Xmin, b.Xmin), Xmax: min(a.Xmax, b.Xmax)}
	both.InProgress = merge(a, b, func(x XID) bool { return x >= both.Xmin && x < both.Xmax })
	return both
}

// Either returns the snapshot that sees exactly what a or b sees. An entry read under a, and found
// fresh by a ledger whose snapshot is b, is as true as if it had been read under Either(a, b):
// nothing that b sees and a does not has touched it. TxCache calls this extending the validity
// interval.
func Either(a, b Snapshot) Snapshot {
	either := Snapshot{Xmin: max(a.Xmin, b.Xmin), Xmax: max(a.Xmax, b.Xmax)}
	either.InProgress = merge(a, b, func(x XID) bool { return !a.Sees(x) && !b.Sees(x) })
	return either
}

// merge returns the running transactions of a and b that satisfy keep, ascending, each once.
func merge(a, b Snapshot, keep func(XID) bool) []XID {
	if len(a.InProgress)+len(b.InProgress) == 0 {
		return nil
	}
	var kept []XID
	for _, list := range [][]XID{a.InProgress, b.InProgress} {
		for _, x := range list {
			if keep(x) {
				kept = append(kept, x)
			}
		}
	}
	slices.Sort(kept)
	return slices.Compact(kept)
}
