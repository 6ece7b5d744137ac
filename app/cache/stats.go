package cache

import "sync/atomic"

// Stats are the counters of one class since it was made.
type Stats struct {
	Class         string
	Level         Level
	Keeps         [strategies]Places                   // where each strategy that this process uses keeps entries of the class
	Reads         [strategies][layers][outcomes]uint64 // by what a layer said
	Loads         [loadResults]uint64
	JoinedReplica uint64 // reads that waited for another read's load
	JoinedFleet   uint64 // for another replica's
	Evictions     uint64
	Entries       int
	Bytes         uint64
	Loading, Room int // loads under way, and how many may be; of classes with a limit of their own
}

// LoadResult is what became of a load.
type LoadResult uint8

const (
	// Loaded is a load that brought a value.
	Loaded LoadResult = iota
	// Absent is a load that learned that there is none.
	Absent
	// Erred is a load that brought nothing.
	Erred

	loadResults = iota
)

// LoadResults returns all results.
func LoadResults() []LoadResult { return []LoadResult{Loaded, Absent, Erred} }

// String is the result's label value.
func (r LoadResult) String() string { return [loadResults]string{"ok", "not_found", "error"}[r] }

// counters is where a class counts: plain atomics, so that a hit costs one addition.
type counters struct {
	reads         [strategies][layers][outcomes]atomic.Uint64
	loads         [loadResults]atomic.Uint64
	joinedReplica atomic.Uint64
	joinedFleet   atomic.Uint64
	evictions     atomic.Uint64
	usual         usual // time of a load
}

func (c *counters) count(s Strategy, layer Layer, o Outcome) { c.reads[s][layer][o].Add(1) }

// Stats returns the counters of all classes at this moment.
func (c *Caches) Stats() []Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Stats, len(c.classes))
	for i, stats := range c.classes {
		all[i] = stats()
	}
	return all
}

// Loads returns how many loads of all classes are under way, and how many may be.
func (c *Caches) Loads() (loading, room int) { return c.limit.use() }

// Capacity returns the bytes that L1 may hold at a level.
func (c *Caches) Capacity(level Level) uint64 {
	if level == Views {
		return c.cfg.ViewsL1Bytes
	}
	return c.cfg.DataL1Bytes
}

func (c *Layered[K, V]) stats() Stats {
	n := &c.counters
	s := Stats{
		Class: c.class.Name, Level: c.class.Level, JoinedReplica: n.joinedReplica.Load(), JoinedFleet: n.joinedFleet.Load(),
		Evictions: n.evictions.Load(),
	}
	for strategy, p := range c.policies {
		if !c.caches.Uses(Strategy(strategy)) {
			continue
		}
		for layer, kept := range [layers]bool{p.l1, p.l2} {
			if kept {
				s.Keeps[strategy] |= place(c.class.Level, Layer(layer))
			}
			for o := range s.Reads[strategy][layer] {
				s.Reads[strategy][layer][o] = n.reads[strategy][layer][o].Load()
			}
		}
		if l1 := c.l1[strategy]; l1 != nil {
			s.Entries += l1.EstimatedSize()
			s.Bytes += l1.WeightedSize()
		}
	}
	for r := range s.Loads {
		s.Loads[r] = n.loads[r].Load()
	}
	s.Loading, s.Room = c.limit.use()
	return s
}
