package report

import (
	"fmt"
	"strings"
)

// measured writes a value, or the mark of absence.
func measured(known bool, text string) string {
	if !known {
		return absent
	}
	return text
}

func (r *Report) latencyGrid() grid {
	g := grid{Head: []string{"Strategy", "p50", "p95", "p99", "mean"}}
	for _, s := range r.Strategies {
		g.Rows = append(g.Rows, []string{s.Name,
			measured(s.P50Seconds > 0, duration(s.P50Seconds)), measured(s.P95Seconds > 0, duration(s.P95Seconds)),
			measured(s.P99Seconds > 0, duration(s.P99Seconds)), measured(s.MeanSeconds > 0, duration(s.MeanSeconds))})
	}
	return g
}

func (r *Report) queriesGrid() grid {
	g := grid{Head: []string{"Strategy", "queries/s on average", "first sample", "last sample"}}
	for _, s := range r.Strategies {
		line := []string{s.Name, absent, absent, absent}
		if n := len(s.DBTimeline); n > 0 {
			line = []string{s.Name, figure(mean(s.DBTimeline)), figure(s.DBTimeline[0].Value), figure(s.DBTimeline[n-1].Value)}
		}
		g.Rows = append(g.Rows, line)
	}
	return g
}

func (r *Report) answersGrid() grid {
	g := grid{Head: []string{"Strategy"}}
	for _, src := range sources {
		g.Head = append(g.Head, src.name)
	}
	for _, s := range r.Strategies {
		line := []string{s.Name}
		for _, src := range sources {
			line = append(line, measured(len(s.Answers) > 0, count(float64(s.Answers[src.key]))))
		}
		g.Rows = append(g.Rows, line)
	}
	return g
}

func (r *Report) stalenessGrid() grid {
	g := grid{Head: []string{"Strategy", "stale of all reads", "median", "p99", "worst"}}
	kinds := r.sortedKinds()
	for _, kind := range kinds {
		g.Head = append(g.Head, kindName(kind))
	}
	for i := range r.Strategies {
		s := &r.Strategies[i]
		seen := s.WitnessReads > 0
		line := []string{s.Name,
			measured(seen, fmt.Sprintf("%s of %s", count(float64(s.StaleReads)), count(float64(s.WitnessReads)))),
			measured(seen, duration(s.StalenessP50Seconds)), measured(seen, duration(s.StalenessP99Seconds)), measured(seen, duration(s.StalenessWorstSeconds))}
		for _, kind := range kinds {
			k, known := s.StaleByKind[kind]
			line = append(line, measured(known, fmt.Sprintf("%s of %s, worst %s", count(float64(k.Stale)), count(float64(k.Reads)), duration(k.WorstSeconds))))
		}
		g.Rows = append(g.Rows, line)
	}
	return g
}

func (r *Report) capacityGrid() grid {
	g := grid{Head: []string{"Strategy", "requests/s", "p99 there", "generator", "its share of one core", "the search ended by"}}
	for i := range r.Strategies {
		s := &r.Strategies[i]
		known := s.CapacityRPS > 0
		rate := count(s.CapacityRPS)
		if s.bounded() {
			rate = "≥ " + rate
		}
		g.Rows = append(g.Rows, []string{s.Name, measured(known, rate), measured(s.CapacityP99 > 0, duration(s.CapacityP99)),
			measured(s.CapacityGenerator != "", s.CapacityGenerator), measured(s.CapacityCPU > 0, percent(s.CapacityCPU)), measured(s.CapacityLimit != "", s.CapacityLimit)})
	}
	return g
}

// classGrid shows the latency of every class of requests: median and p99 of each strategy.
func (r *Report) classGrid() grid {
	classes := r.classes()
	if len(classes) == 0 {
		return grid{}
	}
	g := grid{Head: []string{"Request"}}
	for _, s := range r.Strategies {
		g.Head = append(g.Head, s.Name)
	}
	for _, class := range classes {
		line := []string{classTitle(class)}
		for _, s := range r.Strategies {
			c, known := s.Classes[class]
			line = append(line, measured(known && c.Requests > 0, pair(c.P50Seconds, c.P99Seconds)))
		}
		g.Rows = append(g.Rows, line)
	}
	return g
}

// classTitle names a class of requests in a table.
func classTitle(class string) string {
	switch class {
	case "detail":
		return "Listing by key"
	case "search":
		return "Search"
	case "stats":
		return "City statistics"
	case "write":
		return "Write"
	}
	return class
}

// pair writes two durations and says their unit once where it is the same.
func pair(first, second float64) string {
	a, b := duration(first), duration(second)
	number, unit, found := strings.Cut(a, " ")
	if found && strings.HasSuffix(b, " "+unit) {
		a = number
	}
	return a + " / " + glue(b)
}
