package freshness

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// ErrStamp is returned for bytes that are not an encoded stamp.
var ErrStamp = errors.New("not an encoded stamp")

// Everything is the tag that every entry depends on without naming it. TRUNCATE writes it.
const Everything = "*"

// Epoch names one line of a database's history in which no transaction id is given out twice and every change is logged: a
// random number that the database keeps where it is lost with the certainty of either. A crash, a restore, a promotion or a
// trigger that was switched off begins another, so stamps of different epochs never compare. Zero means unknown; no entry of it
// is ever fresh.
type Epoch uint64

// String is the epoch in 16 hexadecimal digits.
func (e Epoch) String() string { return fmt.Sprintf("%016x", uint64(e)) }

// Stamp says under which snapshot a value was read and which tags it depends on. The zero value says nothing and is never fresh.
type Stamp struct {
	Epoch    Epoch
	Snapshot Snapshot
	Tags     []string // sorted and distinct once merged; nobody may change it
}

// Known reports whether the stamp says anything.
func (s *Stamp) Known() bool { return s.Epoch != 0 }

// Merge returns the stamp of an answer that was built from a value stamped a and one stamped b:
// it saw what both saw and depends on what either depends on. Stamps of two epochs merge into the zero stamp.
func Merge(a, b Stamp) Stamp {
	if a.Epoch != b.Epoch {
		return Stamp{}
	}
	tags := slices.Concat(a.Tags, b.Tags)
	slices.Sort(tags)
	return Stamp{Epoch: a.Epoch, Snapshot: Both(a.Snapshot, b.Snapshot), Tags: slices.Compact(tags)}
}

// AppendBinary appends the stamp to b in the form that DecodeStamp reads: epoch, xmin, distance to xmax, the running
// transactions as distances to xmin, the tags; all integers as varints.
func (s *Stamp) AppendBinary(b []byte) ([]byte, error) {
	b = binary.LittleEndian.AppendUint64(b, uint64(s.Epoch))
	b = binary.AppendUvarint(b, uint64(s.Snapshot.Xmin))
	b = binary.AppendUvarint(b, uint64(s.Snapshot.Xmax-s.Snapshot.Xmin))
	b = binary.AppendUvarint(b, uint64(len(s.Snapshot.InProgress)))
	for _, x := range s.Snapshot.InProgress {
		b = binary.AppendUvarint(b, uint64(x-s.Snapshot.Xmin))
	}
	b = binary.AppendUvarint(b, uint64(len(s.Tags)))
	for _, tag := range s.Tags {
		b = binary.AppendUvarint(b, uint64(len(tag)))
		b = append(b, tag...)
	}
	return b, nil
}

// DecodeStamp reads a stamp from the front of b and returns what follows it. It returns ErrStamp if b does not begin with one.
func DecodeStamp(b []byte) (stamp Stamp, rest []byte, err error) {
	if len(b) < 8 {
		return Stamp{}, nil, ErrStamp
	}
	r := varints{rest: b[8:]}
	stamp.Epoch = Epoch(binary.LittleEndian.Uint64(b))
	stamp.Snapshot.Xmin = XID(r.next())
	stamp.Snapshot.Xmax = stamp.Snapshot.Xmin + XID(r.next())
	if n := r.count(); n > 0 {
		stamp.Snapshot.InProgress = make([]XID, n)
		for i := range stamp.Snapshot.InProgress {
			stamp.Snapshot.InProgress[i] = stamp.Snapshot.Xmin + XID(r.next())
		}
	}
	if n := r.count(); n > 0 {
		stamp.Tags = make([]string, n)
		for i := range stamp.Tags {
			stamp.Tags[i] = r.text()
		}
	}
	if r.short || stamp.Snapshot.Xmax < stamp.Snapshot.Xmin || !slices.IsSorted(stamp.Snapshot.InProgress) {
		return Stamp{}, nil, ErrStamp
	}
	return stamp, r.rest, nil
}

// varints reads from the front of rest; after the first impossible read it is short and returns zeros.
type varints struct {
	rest  []byte
	short bool
}

func (r *varints) next() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.short, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// count reads the length of a list or text. Each element takes a byte or more, so a count beyond what is left is damage,
// and must not become an allocation.
func (r *varints) count() int {
	n := r.next()
	if n > uint64(len(r.rest)) {
		r.short, r.rest = true, nil
		return 0
	}
	return int(n)
}

func (r *varints) text() string {
	n := r.count()
	text := string(r.rest[:n])
	r.rest = r.rest[n:]
	return text
}

// Collector gathers the stamps of everything that is read to build one answer, so that the answer can be judged by
// what it really depends on and nobody has to list it. It may be used by several goroutines.
type Collector struct {
	mu     sync.Mutex
	stamp  Stamp
	asOf   time.Time // the earliest that a part claimed; zero if none did
	filled bool      // a stamp was added
	sealed bool      // something without a known stamp was added: the answer cannot be judged
}

type collectorKey struct{}

// Collect returns a context in which reads add their stamps to the collector. A collector further out is hidden,
// so that whoever keeps the inner answer decides what of it reaches the outer one.
func Collect(ctx context.Context) (context.Context, *Collector) {
	c := new(Collector)
	return context.WithValue(ctx, collectorKey{}, c), c
}

// Collecting reports whether somebody will keep the answer and wants to know its stamp. Where nobody does, a store can
// spare itself the question for the snapshot.
func Collecting(ctx context.Context) bool { return ctx.Value(collectorKey{}) != nil }

// Depend tells the collector of the context, if there is one, that its answer was built from a value with this stamp, read from where nothing
// that had committed before the read can be missing. An unknown stamp makes the answer one that nobody may keep.
func Depend(ctx context.Context, stamp Stamp) { DependAsOf(ctx, stamp, time.Time{}) }

// DependAsOf is Depend for a value that was read from a standby: it is sure to hold only what had committed before asOf.
func DependAsOf(ctx context.Context, stamp Stamp, asOf time.Time) {
	c, ok := ctx.Value(collectorKey{}).(*Collector)
	if !ok {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asOf.IsZero() || !asOf.IsZero() && asOf.Before(c.asOf) {
		c.asOf = asOf
	}
	switch {
	case !stamp.Known():
		c.sealed = true
	case !c.filled:
		c.stamp, c.filled = stamp, true
	default:
		c.stamp = Merge(c.stamp, stamp)
	}
}

// AsOf returns the earliest time that DependAsOf was told, or zero without one: then everything was as new as its read.
func (c *Collector) AsOf() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asOf
}

// Stamp returns the stamp of the whole answer, or one that is not Known if nothing was read or some part cannot be judged.
func (c *Collector) Stamp() Stamp {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealed || !c.filled {
		return Stamp{}
	}
	return c.stamp
}

// Collected returns the stamp of what the collector of the context has been told of until now, or one that is not Known.
func Collected(ctx context.Context) Stamp {
	c, ok := ctx.Value(collectorKey{}).(*Collector)
	if !ok {
		return Stamp{}
	}
	return c.Stamp()
}
