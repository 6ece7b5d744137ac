package freshness

import (
	"sync/atomic"
	"time"
)

// TimeFormat is how a moment is written in Strata-As-Of: RFC 3339 with microseconds, in UTC.
const TimeFormat = "2006-01-02T15:04:05.000000Z"

// Clock tells the database's time. Moments that are shown to others, or compared with what the
// database wrote, are told by it: this machine's clock may run ahead, and would promise what has
// not happened yet. The zero value takes the two clocks for equal.
type Clock struct {
	offset atomic.Int64 // nanoseconds to add to this machine's time, at most
}

// Observe notes that the database said what time it was, between two moments of this process's
// clock. It ignores a zero time.
func (c *Clock) Observe(began, ended, database time.Time) {
	if database.IsZero() {
		return
	}
	if ended.IsZero() {
		ended = began
	}
	// The database looked at its clock before ended, so what it said was not later than that: an
	// as-of time errs to the old side.
	c.offset.Store(int64(database.Sub(ended)))
}

// Database returns what the database's clock showed at a moment of this process's, or a little
// less. A zero time stays zero.
func (c *Clock) Database(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(time.Duration(c.offset.Load()))
}
