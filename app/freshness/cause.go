package freshness

import (
	"sync"
	"sync/atomic"
)

// causes remembers which trace last changed a tag, so that the first value read after the change can lead back to it. Few writes are
// traced, so it is nearly always empty, and asking an empty one costs an atomic load.
type causes struct {
	known atomic.Int64
	mu    sync.Mutex
	byTag map[string]cause
	order []string // tags in byTag and some that were taken out, oldest first
}

type cause struct {
	xid         XID
	traceparent string
}

// mostCauses is how many tags are remembered; the oldest give way. They only decorate traces.
const mostCauses = 1024

func (c *causes) add(change Change) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byTag == nil {
		c.byTag = make(map[string]cause)
	}
	for _, tag := range change.Tags {
		c.byTag[tag] = cause{change.XID, change.Traceparent}
		c.order = append(c.order, tag)
	}
	if over := len(c.order) - mostCauses; over > 0 {
		for _, tag := range c.order[:over] {
			delete(c.byTag, tag)
		}
		c.order = append([]string(nil), c.order[over:]...)
	}
	c.known.Store(int64(len(c.byTag)))
}

// Cause returns the traceparent of a change that a value with this stamp is the first to show: the last one that was traced, of one
// of its tags, if its snapshot sees it. Each change is named once for each of its tags. Empty: there is none.
func (l *Ledger) Cause(stamp *Stamp) string {
	c := &l.causes
	if c.known.Load() == 0 {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, tag := range stamp.Tags {
		if found, ok := c.byTag[tag]; ok && stamp.Snapshot.Sees(found.xid) {
			delete(c.byTag, tag)
			c.known.Store(int64(len(c.byTag)))
			return found.traceparent
		}
	}
	return ""
}
