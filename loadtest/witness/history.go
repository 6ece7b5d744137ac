package witness

import (
	"sync"
	"time"
)

// change is one state of a listing and when it came to be.
type change struct {
	city    string
	version int64     // 0 until it is known
	updated time.Time // by the database's clock
	acked   time.Time // when the commit was acknowledged, by our clock; zero until then
}

// history is what has happened to one listing: its first state, and a change after the other. Only the last may not be
// acknowledged yet. It may be used by any number of goroutines.
type history struct {
	mu      sync.RWMutex
	changes []change
}

// begin records that the listing is about to be in a city.
func (h *history) begin(city string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes = append(h.changes, change{city: city})
}

// ack completes the change that was begun.
func (h *history) ack(version int64, updated, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := &h.changes[len(h.changes)-1]
	last.version, last.updated, last.acked = version, updated, at
}

// city returns where the listing is, as far as is acknowledged.
func (h *history) city() string {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.changes[h.ackedBefore(time.Now())].city
}

// ackedBefore returns the index of the newest change that was acknowledged before a time. The first state always was.
func (h *history) ackedBefore(at time.Time) int {
	for i := len(h.changes) - 1; i > 0; i-- {
		if c := h.changes[i]; !c.acked.IsZero() && c.acked.Before(at) {
			return i
		}
	}
	return 0
}

// listing judges a read of the listing that started at a time and showed a version. It returns how stale it was; 0 if it was not.
func (h *history) listing(version int64, started time.Time) time.Duration {
	h.mu.RLock()
	defer h.mu.RUnlock()
	for i := 1; i <= h.ackedBefore(started); i++ {
		if h.changes[i].version > version {
			return started.Sub(h.changes[i].acked)
		}
	}
	return 0
}

// present judges a read of a city's page that showed the listing with a version. Each change after that version concerns
// the page: the listing is on it.
func (h *history) present(version int64, started time.Time) time.Duration {
	return h.listing(version, started)
}

// absent judges a read of a city's page that did not show the listing. ok is false if the listing never was elsewhere: then
// the page does not show what it should, and how stale it is cannot be said.
func (h *history) absent(city string, started time.Time) (stale time.Duration, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	acked := h.ackedBefore(started)
	for i := len(h.changes) - 1; i >= 0; i-- {
		if h.changes[i].city == city {
			continue
		}
		if i >= acked {
			return 0, true
		}
		return started.Sub(h.changes[i+1].acked), true // the move to the city
	}
	return 0, false
}

// stats judges a read of a city's statistics by the time of the city's last change that they name. ok is false while the
// listing is not, or may not be, in the city: what is left there may have changed long ago.
func (h *history) stats(city string, updated, started time.Time) (stale time.Duration, ok bool) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	acked := h.ackedBefore(started)
	for _, c := range h.changes[acked:] {
		if c.city != city {
			return 0, false
		}
	}
	arrived := acked // since when it has been there without a break
	for arrived > 0 && h.changes[arrived-1].city == city {
		arrived--
	}
	for i := max(arrived, 1); i <= acked; i++ {
		if h.changes[i].updated.After(updated) {
			return started.Sub(h.changes[i].acked), true
		}
	}
	return 0, true
}
