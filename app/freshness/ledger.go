package freshness

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Verdict is what a ledger says of a stamp.
type Verdict uint8

const (
	// Fresh: every known change of its tags is visible in the snapshot.
	Fresh Verdict = iota + 1
	// Invalidated: a known change of one of its tags is not visible in the snapshot.
	Invalidated
	// Unjudged: the ledger cannot tell. It has not started, the stamp is of another epoch, or it is
	// older than the ledger's floor.
	Unjudged
)

// Config holds a ledger's settings. Zero values mean the defaults.
type Config struct {
	BlindAfter time.Duration // without a poll for so long, the ledger is blind; 2 s: twenty missed polls
	MaxTags    int           // beyond so many tags the ledger forgets them all and raises its floor; 1,000,000, about 150 MB
}

// Change is one committed transaction's row of the change log.
type Change struct {
	XID         XID
	Tags        []string
	Traceparent string // of the writer's trace; empty mostly
}

// Poll is what one look at the change log brought.
type Poll struct {
	Began    time.Time // before the database was asked, by this process's clock
	Ended    time.Time // when its answer was there; Began if zero
	Database time.Time // the database's clock when it answered; zero if nobody asked
	Epoch    Epoch
	Snapshot Snapshot // that the question was answered under
	Floor    XID      // rows of lower transactions may have been removed from the log
	Changes  []Change // all rows that are visible in Snapshot and were not in that of the poll before; after an epoch change, all above Floor
	Blind    bool     // changes may go unlogged at present, so that nothing can be judged
}

// Reset says why a ledger threw away what it knew.
type Reset string

// The reasons for a Reset. NoReset is the usual case.
const (
	NoReset    Reset = ""
	ResetStart Reset = "start" // the first poll
	ResetEpoch Reset = "epoch" // the database's history branched: failover or restore
	ResetFull  Reset = "full"  // more than Config.MaxTags tags
)

// AsOf is a moment of the past that a ledger vouches for: every transaction that committed before
// Time is in it.
type AsOf struct {
	Time     time.Time // by this process's clock; zero before the first poll
	Epoch    Epoch
	Snapshot Snapshot
	Text     string // Time by the database's clock, in UTC, RFC 3339 with microseconds: made once a poll, so that no request has to

	blind bool // the feed says that changes may go unlogged
}

// Knows reports whether the commit is in what the ledger vouches for.
func (a *AsOf) Knows(c Commit) bool {
	return c.Epoch != 0 && c.Epoch == a.Epoch && a.Snapshot.Sees(c.XID)
}

// Ledger knows which transactions touched each tag. It is filled by one feed and asked by every
// cache of the process, from any goroutine.
//
// The fast path: seq grows with every change, so an entry that was found fresh at the present seq
// still is. It costs one atomic load.
type Ledger struct {
	cfg  Config
	seq  atomic.Uint64
	asOf atomic.Pointer[AsOf]

	mu    sync.RWMutex
	epoch Epoch
	floor XID
	tags  map[string]*history
	aging []aged // each tag once, for forgetting them at the floor: those that did not change for longest come first

	causes causes
	clock  Clock

	wanted   chan struct{} // holds one token while somebody waits for the next poll
	advanced atomic.Pointer[chan struct{}]
}

// aged is a tag and the largest transaction that it had when it was put at the end of the queue.
type aged struct {
	tag string
	xid XID
}

// NewLedger returns a ledger that knows nothing, and so finds nothing fresh, until the first Apply.
func NewLedger(cfg Config) *Ledger {
	if cfg.BlindAfter <= 0 {
		cfg.BlindAfter = 2 * time.Second
	}
	if cfg.MaxTags <= 0 {
		cfg.MaxTags = 1_000_000
	}
	l := &Ledger{cfg: cfg, tags: make(map[string]*history), wanted: make(chan struct{}, 1)}
	l.seq.Store(1) // an entry's memory starts at 0, which must never match
	l.asOf.Store(new(AsOf))
	l.advanced.Store(newSignal())
	return l
}

// AsOf returns what the ledger vouches for. Whoever serves an entry with this claim must load it
// before judging the entry. The result is shared and must not be changed.
func (l *Ledger) AsOf() *AsOf { return l.asOf.Load() }

// Clock returns the ledger's idea of the database's clock.
func (l *Ledger) Clock() *Clock { return &l.clock }

// Horizon returns what the ledger vouches for, how long ago that was, and whether it is blind:
// whether its verdicts bound no entry's age, because it has heard nothing for so long, or because
// changes may go unlogged. Like AsOf it must be asked before judging. It reads this process's clock
// once.
func (l *Ledger) Horizon() (asOf *AsOf, age time.Duration, blind bool) {
	asOf = l.asOf.Load()
	age = time.Since(asOf.Time)
	return asOf, age, asOf.blind || age > l.cfg.BlindAfter
}

// Judge says whether a value with this stamp is still true, as far as the ledger knows. If seen is
// not nil it is the entry's memory of the last verdict: it makes the next Judge of an untouched
// ledger free, and belongs to this ledger alone.
func (l *Ledger) Judge(stamp *Stamp, seen *atomic.Uint64) Verdict {
	seq := l.seq.Load() // before looking, so that a change that comes in between is looked at next time
	if seen != nil && seen.Load() == seq {
		return Fresh
	}
	verdict := l.judge(stamp)
	if verdict == Fresh && seen != nil {
		seen.Store(seq)
	}
	return verdict
}

func (l *Ledger) judge(stamp *Stamp) Verdict {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if stamp.Epoch == 0 || stamp.Epoch != l.epoch || stamp.Snapshot.Xmin < l.floor {
		return Unjudged
	}
	if !l.tags[Everything].visibleIn(stamp.Snapshot) {
		return Invalidated
	}
	for _, tag := range stamp.Tags {
		if !l.tags[tag].visibleIn(stamp.Snapshot) {
			return Invalidated
		}
	}
	return Fresh
}

// Apply adds what a poll brought, and says whether the ledger had to forget what it knew before.
// Only the feed calls it, one poll after the other.
func (l *Ledger) Apply(p Poll) Reset {
	l.clock.Observe(p.Began, p.Ended, p.Database)
	reset := l.record(&p)
	began := l.clock.Database(p.Began).UTC()
	l.asOf.Store(&AsOf{Time: p.Began, Epoch: p.Epoch, Snapshot: p.Snapshot, Text: began.Format(TimeFormat), blind: p.Blind})
	close(*l.advanced.Swap(newSignal()))
	return reset
}

func (l *Ledger) record(p *Poll) Reset {
	l.mu.Lock()
	defer l.mu.Unlock()
	reset := NoReset
	if p.Epoch != l.epoch {
		reset = ResetEpoch
		if l.epoch == 0 {
			reset = ResetStart
		}
		l.epoch, l.floor = p.Epoch, 0
		l.forgetAll()
	}
	raised := p.Floor > l.floor
	l.floor = max(l.floor, p.Floor)
	for _, c := range p.Changes {
		if c.Traceparent != "" {
			l.causes.add(c)
		}
		for _, tag := range c.Tags {
			h := l.tags[tag]
			if h == nil {
				h = new(history)
				l.tags[tag] = h
				l.aging = append(l.aging, aged{tag, c.XID})
			}
			h.add(c.XID, &p.Snapshot)
		}
	}
	if len(l.tags) > l.cfg.MaxTags {
		reset = ResetFull
		l.floor = p.Snapshot.Xmax
		l.forgetAll()
	}
	if reset != NoReset || raised || len(p.Changes) > 0 {
		l.seq.Add(1) // before the new as-of time is published: who sees that one, sees this
	}
	l.forgetBelowFloor()
	return reset
}

func (l *Ledger) forgetAll() {
	clear(l.tags)
	l.aging = nil
}

// forgetBelowFloor drops the tags that no verdict needs any more: a transaction below the floor is
// visible in every stamp that can be judged. A tag that has changed since it was queued goes to the
// end, so the queue is as long as there are tags, however often they change. A few at a time,
// because readers wait meanwhile.
func (l *Ledger) forgetBelowFloor() {
	const atOnce = 2000 // well under a millisecond
	for range min(atOnce, len(l.aging)) {
		first := l.aging[0]
		if first.xid >= l.floor {
			return
		}
		l.aging = l.aging[1:]
		if last := l.tags[first.tag].largest(); last < l.floor {
			delete(l.tags, first.tag)
		} else {
			l.aging = append(l.aging, aged{first.tag, last})
		}
	}
}

// Covers reports whether the ledger knows of a commit, so that its verdicts take it into account.
// Of a commit whose epoch is not known it never is sure.
func (l *Ledger) Covers(c Commit) bool { return l.asOf.Load().Knows(c) }

// Await returns true as soon as the ledger covers commit c, or holds everything that had committed
// before the call: then c, if it is that of an acknowledged write, is among it, and if somebody
// made it up, there is nothing to wait for. It asks the feed for a poll rather than wait for the
// next. It returns false when ctx ends first.
func (l *Ledger) Await(ctx context.Context, c Commit) bool {
	called := time.Now()
	for {
		advanced := *l.advanced.Load() // before the check: an Apply after it closes this one
		if asOf := l.asOf.Load(); asOf.Knows(c) || asOf.Time.After(called) {
			return true
		}
		l.want()
		select {
		case <-advanced:
		case <-ctx.Done():
			return false
		}
	}
}

// want asks the feed for a poll as soon as it may.
func (l *Ledger) want() {
	select {
	case l.wanted <- struct{}{}:
	default: // already asked for
	}
}

// Wanted delivers a token when somebody waits for a poll. It is for the feed.
func (l *Ledger) Wanted() <-chan struct{} { return l.wanted }

// Tags returns for how many tags the ledger knows a change.
func (l *Ledger) Tags() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return len(l.tags)
}

func newSignal() *chan struct{} {
	c := make(chan struct{})
	return &c
}
