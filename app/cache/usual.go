package cache

import (
	"sync/atomic"
	"time"
)

// usual estimates the median of durations, and is not moved far by a single one. It follows Ma, Muthukrishnan and Sandler, "Frugal
// Streaming for Estimating Quantiles", 2013: a step up or down for each. An update that is lost to another at the same time does no
// harm.
type usual struct{ nanos atomic.Int64 }

func (u *usual) add(d time.Duration) {
	m := u.nanos.Load()
	switch {
	case m == 0:
		m = int64(d)
	case int64(d) > m:
		m += m/16 + 1
	default:
		m -= m / 16
	}
	u.nanos.Store(m)
}

const mostPause = 25 * time.Millisecond // between two looks: as much longer as this may a wait be than the load

// pause returns how long to wait between the first two looks for another's load: a part of the time that a load usually takes.
func (u *usual) pause() time.Duration {
	median := time.Duration(u.nanos.Load())
	if median == 0 { // nothing was loaded yet
		return 5 * time.Millisecond
	}
	return min(max(median/4, time.Millisecond), 10*time.Millisecond)
}
