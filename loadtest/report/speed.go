package report

import (
	"fmt"
	"sort"
)

func p99(s *Strategy) (float64, bool) { return s.P99Seconds, s.P99Seconds > 0 }

func tailLatency(r *Report) []Finding {
	better, same, worse := r.contrasts(p99)
	var found []Finding
	if len(better) > 0 {
		found = append(found, speaksFor("p99 falls from %s without a cache to %s.",
			duration(better[0].base), told(better, duration, "faster"))...)
	}
	if len(same) > 0 {
		found = append(found, speaksAgainst("At the tail caching buys little here: p99 is %s without a cache and %s.",
			duration(same[0].base), listed(same, duration))...)
	}
	if len(worse) > 0 {
		found = append(found, speaksAgainst("Caching makes the tail worse: p99 rises from %s without a cache to %s.",
			duration(worse[0].base), told(worse, duration, "slower"))...)
	}
	return found
}

// className says what a class of requests is, for people.
func className(class string) string {
	switch class {
	case "detail":
		return "one listing by its key"
	case "search":
		return "a search"
	case "stats":
		return "the statistics of a city"
	case "write":
		return "a write"
	}
	return class
}

// median measures the p50 of one class, where enough requests of it were made.
func median(class string) func(*Strategy) (float64, bool) {
	return func(s *Strategy) (float64, bool) {
		c, known := s.Classes[class]
		return c.P50Seconds, known && c.Requests >= enough && c.P50Seconds > 0
	}
}

// classes returns the names of all classes of the report, the four known ones first and in the order of their cost.
func (r *Report) classes() []string {
	order := map[string]int{"detail": 1, "search": 2, "stats": 3, "write": 4}
	seen := map[string]bool{}
	var names []string
	for _, s := range r.Strategies {
		for name := range s.Classes {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	sort.Slice(names, func(i, j int) bool {
		a, b := order[names[i]], order[names[j]]
		if a == 0 {
			a = len(order) + 1
		}
		if b == 0 {
			b = len(order) + 1
		}
		if a != b {
			return a < b
		}
		return names[i] < names[j]
	})
	return names
}

// classPaysMost names the class of reads in which a cache saves the most time at the median.
func classPaysMost(r *Report) []Finding {
	var most string
	var saved float64
	var compared int
	for _, class := range r.classes() {
		if class == "write" {
			continue
		}
		better, same, worse := r.contrasts(median(class))
		if len(better)+len(same)+len(worse) > 0 {
			compared++
		}
		for _, c := range better {
			if c.base-c.value > saved {
				most, saved = class, c.base-c.value
			}
		}
	}
	if most == "" || compared < 2 {
		return nil
	}
	better, _, _ := r.contrasts(median(most))
	return speaksFor("Caching pays most for %s: the median is %s from Postgres, %s.",
		className(most), duration(better[0].base), told(better, duration, "faster"))
}

// classesBuyLittle tells the reads whose median a cache leaves where it was, or raises.
func classesBuyLittle(r *Report) []Finding {
	var found []Finding
	for _, class := range r.classes() {
		if class == "write" {
			continue
		}
		_, same, worse := r.contrasts(median(class))
		if len(same) > 0 {
			found = append(found, speaksAgainst("For %s a cache buys little: the median is %s from Postgres and %s.",
				className(class), duration(same[0].base), listed(same, duration))...)
		}
		if len(worse) > 0 {
			found = append(found, speaksAgainst("For %s a cache costs time: the median is %s from Postgres and %s.",
				className(class), duration(worse[0].base), told(worse, duration, "slower"))...)
		}
	}
	return found
}

func writes(r *Report) []Finding {
	_, _, worse := r.contrasts(median("write"))
	if len(worse) == 0 {
		return nil
	}
	return speaksAgainst("Writes pay for it: their median rises from %s without a cache to %s.",
		duration(worse[0].base), told(worse, duration, "slower"))
}

// capacity compares the highest rates. A lower bound gives "at least" and never a gain that was not reached.
func capacity(r *Report) []Finding {
	base := r.find(baselineName)
	if base == nil || base.CapacityRPS <= 0 || base.bounded() {
		return nil
	}
	var rises, same, falls []string
	for _, s := range r.caching() {
		if s.CapacityRPS <= 0 {
			continue
		}
		gain := s.CapacityRPS / base.CapacityRPS
		switch {
		case gain >= alike && s.bounded():
			rises = append(rises, fmt.Sprintf("at least %s with %s (at least %s)", count(s.CapacityRPS), s.Name, factor(gain)))
		case s.bounded(): // the search ended too early to say anything
		case gain >= alike:
			rises = append(rises, fmt.Sprintf("%s with %s (%s)", count(s.CapacityRPS), s.Name, factor(gain)))
		case gain*alike <= 1:
			falls = append(falls, fmt.Sprintf("%s with %s", count(s.CapacityRPS), s.Name))
		default:
			same = append(same, fmt.Sprintf("%s with %s", count(s.CapacityRPS), s.Name))
		}
	}
	from := count(base.CapacityRPS)
	var found []Finding
	if len(rises) > 0 {
		found = append(found, speaksFor("Capacity rises from %s requests/s without a cache to %s.", from, list(rises))...)
	}
	if len(same) > 0 {
		found = append(found, speaksAgainst("Caching hardly moves the capacity: %s requests/s without a cache, %s.", from, list(same))...)
	}
	if len(falls) > 0 {
		found = append(found, speaksAgainst("Caching lowers the capacity: %s requests/s without a cache, %s.", from, list(falls))...)
	}
	return found
}

// capacityBounds tells which capacities are those of the generator or of the search, not of the service.
func capacityBounds(r *Report) []Finding {
	var generator, ceiling []string
	for _, s := range r.Strategies {
		if s.CapacityRPS <= 0 {
			continue
		}
		reached := fmt.Sprintf("%s (%s requests/s)", s.Name, count(s.CapacityRPS))
		switch s.CapacityLimit {
		case "generator":
			if s.CapacityGenerator != "" {
				reached = fmt.Sprintf("%s (%s requests/s by %s)", s.Name, count(s.CapacityRPS), s.CapacityGenerator)
			}
			generator = append(generator, reached)
		case "ceiling":
			ceiling = append(ceiling, reached)
		}
	}
	var found []Finding
	if len(generator) > 0 {
		found = append(found, speaksAgainst("The load generator gave out before the service did for %s: what the service can do there is at least that, and not known.",
			list(generator))...)
	}
	if len(ceiling) > 0 {
		found = append(found, speaksAgainst("The search for the capacity ended at its ceiling for %s: what the service can do there is at least that, and not known.",
			list(ceiling))...)
	}
	return found
}
