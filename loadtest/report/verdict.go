package report

import "example.com/strata/strategies"

// Thresholds of judgement. Each is a choice; the page states those that a reader needs.
const (
	// alike: one run of this length repeats its percentiles to about this much; a smaller difference is not told as one.
	alike = 1.2
	// tolerated is the share of failed and dropped requests that cannot move a p99 visibly.
	tolerated = 0.001
	// paced is the share of the target rate that has to be achieved for a run to count as one at the equal rate.
	paced = 0.95
	// enough requests for the median of a class to mean something.
	enough = 50
	// prompt is how far behind an answer may be and still be called fresh by a person, in seconds.
	prompt = 0.25
	// crowded is the share of all cores at which the programs on the machine wait for each other.
	crowded = 0.9
)

// baselineName is the strategy that all others are compared with.
const baselineName = strategies.Baseline

// ran says whether the equal-rate run of the strategy measured anything.
func (s *Strategy) ran() bool { return s.Requests > 0 }

// find returns the named strategy, or nil.
func (r *Report) find(name string) *Strategy {
	for i := range r.Strategies {
		if r.Strategies[i].Name == name {
			return &r.Strategies[i]
		}
	}
	return nil
}

// caching returns the strategies that are not the baseline.
func (r *Report) caching() []*Strategy {
	var found []*Strategy
	for i := range r.Strategies {
		if r.Strategies[i].Name != baselineName {
			found = append(found, &r.Strategies[i])
		}
	}
	return found
}

// spoilt returns the share of requests that failed or were never sent.
func (s *Strategy) spoilt() float64 {
	due := s.Requests + s.Dropped
	if due == 0 {
		return 0
	}
	return float64(s.Errors+s.Dropped) / float64(due)
}

// late says that the strategy did not get the rate that the others got.
func (r *Report) late(s *Strategy) bool {
	return r.Conditions.RateRPS > 0 && s.RateRPS > 0 && s.RateRPS < paced*r.Conditions.RateRPS
}

// sound says that the figures of the equal-rate run can be compared with those of other strategies.
func (r *Report) sound(s *Strategy) bool {
	return s != nil && s.ran() && s.spoilt() <= tolerated && !r.late(s)
}

// bounded says that the capacity is only a lower bound: the search ended before the service did.
func (s *Strategy) bounded() bool {
	return s.CapacityLimit == "generator" || s.CapacityLimit == "ceiling" || s.CapacityLimit == ""
}

// countedQueries says that the report knows database queries at all: then a zero is a measured zero.
func (r *Report) countedQueries() bool {
	for i := range r.Strategies {
		if r.Strategies[i].DBQueries > 0 || r.Strategies[i].DBQueriesPerRequest > 0 {
			return true
		}
	}
	return false
}

// highlight returns the strategy whose figures head the page: stamped, which the laboratory exists to judge, else the sound
// caching strategy that was least stale. It returns nil where no caching strategy has sound figures.
func (r *Report) highlight() *Strategy {
	var best *Strategy
	for _, s := range r.caching() {
		if !r.sound(s) {
			continue
		}
		if s.Name == "stamped" {
			return s
		}
		if best == nil || s.StalenessWorstSeconds < best.StalenessWorstSeconds {
			best = s
		}
	}
	return best
}

// contrast is one measure of one strategy beside that of the baseline; smaller is better.
type contrast struct {
	strategy    *Strategy
	base, value float64
}

// gain is how many times smaller the value is than the baseline's.
func (c contrast) gain() float64 { return c.base / c.value }

// contrasts sorts the sound caching strategies by how a measure compares with the baseline's. All are empty where the
// baseline is missing or its figures are not sound.
func (r *Report) contrasts(measure func(*Strategy) (float64, bool)) (better, same, worse []contrast) {
	base := r.find(baselineName)
	if !r.sound(base) {
		return nil, nil, nil
	}
	from, known := measure(base)
	if !known || from <= 0 {
		return nil, nil, nil
	}
	for _, s := range r.caching() {
		to, known := measure(s)
		if !known || !r.sound(s) {
			continue
		}
		c := contrast{s, from, to}
		switch {
		case to*alike <= from:
			better = append(better, c)
		case to >= from*alike:
			worse = append(worse, c)
		default:
			same = append(same, c)
		}
	}
	return better, same, worse
}
