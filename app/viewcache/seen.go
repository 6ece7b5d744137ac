package viewcache

import (
	"bytes"
	"time"

	"example.com/strata/app/cache"
)

// LocalSeen is the name of the local in which somebody who will compare an answer with the truth leaves a *Seen before it is made.
const LocalSeen = "strata.seen"

// Seen is what an answer said, whatever coding it went out in, and also if it only said that the client had it already.
type Seen struct {
	Status int       // 200 where it was 304; zero: there was no such answer
	Body   []byte    // in identity form
	Filled time.Time // when the oldest part of it was read from the origin
}

func (s *Seen) note(view *view, result cache.Result, trail *cache.Trail) {
	s.Status, s.Body, s.Filled = view.status, bytes.Clone(view.forms[identity]), result.Filled
	if trail == nil {
		return
	}
	if filled := trail.Filled(); !filled.IsZero() {
		s.Filled = filled
	}
}
