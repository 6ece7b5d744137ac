package report

import "fmt"

// Find replaces the report's findings by the sentences that its figures support, in the order in which they should be read:
// what may not be compared, speed, load, truth, price. A figure that is missing gives no sentence; neither does a strategy
// whose run was spoilt, except the sentence that says so.
func Find(r *Report) {
	rules := []func(*Report) []Finding{
		baselineMissing, runsSpoilt, machineCrowded, runsScratched,
		tailLatency, classPaysMost, classesBuyLittle, writes, capacity, capacityBounds,
		databaseQueries, feedQueries, databaseCPU, serviceCPU, answeredByCache, idleLayers,
		staleness, priceOfTruth,
		memory,
	}
	r.Findings = []Finding{}
	for _, rule := range rules {
		r.Findings = append(r.Findings, rule(r)...)
	}
}

func speaksFor(format string, values ...any) []Finding {
	return []Finding{{Text: fmt.Sprintf(format, values...), Good: true}}
}

func speaksAgainst(format string, values ...any) []Finding {
	return []Finding{{Text: fmt.Sprintf(format, values...)}}
}

func baselineMissing(r *Report) []Finding {
	base := r.find(baselineName)
	switch {
	case len(r.caching()) == 0:
		return nil
	case base == nil || !base.ran():
		return speaksAgainst("The baseline without a cache was not run. The figures say how the strategies differ, not what caching changes.")
	}
	return nil
}

// runsSpoilt names the runs whose figures cannot be compared, and why.
func runsSpoilt(r *Report) []Finding {
	var found []Finding
	for i := range r.Strategies {
		s := &r.Strategies[i]
		switch {
		case r.sound(s):
		case !s.ran():
			found = append(found, speaksAgainst("%s answered no request in the equal-rate run: there is nothing to compare.", s.Name)...)
		case s.Name == baselineName:
			found = append(found, speaksAgainst("%s: %s. The baseline's figures are not comparable, so the report does not say what caching changes at this rate.",
				s.Name, list(r.faults(s)))...)
		default:
			found = append(found, speaksAgainst("%s: %s. Its figures at the equal rate are not comparable with the others.", s.Name, list(r.faults(s)))...)
		}
	}
	return found
}

// runsScratched names the runs in which something went wrong, though too little to move the percentiles.
func runsScratched(r *Report) []Finding {
	var found []Finding
	for i := range r.Strategies {
		s := &r.Strategies[i]
		if faults := r.faults(s); r.sound(s) && len(faults) > 0 {
			found = append(found, speaksAgainst("%s: %s. That is %s of all, too few to move its p99 visibly.", s.Name, list(faults), percent(s.spoilt()))...)
		}
	}
	return found
}

// faults says what went wrong in the equal-rate run of a strategy.
func (r *Report) faults(s *Strategy) []string {
	var faults []string
	if s.Errors > 0 {
		faults = append(faults, fmt.Sprintf("%s of %s failed", count(float64(s.Errors)), noun(s.Requests, "request")))
	}
	if s.Dropped > 0 {
		faults = append(faults, noun(s.Dropped, "request")+" could not be started in time")
	}
	if r.late(s) {
		faults = append(faults, fmt.Sprintf("the rate reached %s requests/s instead of %s", count(s.RateRPS), count(r.Conditions.RateRPS)))
	}
	return faults
}

// machineCrowded tells when the programs of a run had to wait for each other's CPU: a latency then contains the load
// generator's appetite as well.
func machineCrowded(r *Report) []Finding {
	available := r.Conditions.DurationSeconds * float64(r.Conditions.Cores)
	if available <= 0 {
		return nil
	}
	var names []string
	for i := range r.Strategies {
		s := &r.Strategies[i]
		used := s.ServiceCPUSeconds + s.DBCPUSeconds + s.RedisCPUSeconds + s.GeneratorCPUSeconds
		if share := used / available; share >= crowded {
			names = append(names, fmt.Sprintf("%s (%s)", s.Name, percent(share)))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return speaksAgainst("The machine's %d cores were nearly all busy during the run of %s. Latencies there contain waiting for a core, the load generator's included.",
		r.Conditions.Cores, list(names))
}

// told lists contrasts: "1.7 ms with stamped (28× faster) and 9.0 ms with aside (5.3×)". The word is said once.
func told(contrasts []contrast, format func(float64) string, word string) string {
	var parts []string
	for i, c := range contrasts {
		ratio := c.gain()
		if c.value > c.base {
			ratio = c.value / c.base
		}
		note := factor(ratio)
		if i == 0 {
			note += " " + word
		}
		if c.value == 0 {
			note = "all saved"
		}
		parts = append(parts, fmt.Sprintf("%s with %s (%s)", format(c.value), c.strategy.Name, note))
	}
	return list(parts)
}

// listed lists contrasts without a factor: "44 ms with aside and 47 ms with ttl".
func listed(contrasts []contrast, format func(float64) string) string {
	var parts []string
	for _, c := range contrasts {
		parts = append(parts, fmt.Sprintf("%s with %s", format(c.value), c.strategy.Name))
	}
	return list(parts)
}
