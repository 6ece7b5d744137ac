package report

// wish says which way a measure is better.
type wish int

const (
	neither wish = iota
	lower
	higher
)

// measure is one row of the tables: what it is called, how it is read from a strategy, and how it is written.
type measure struct {
	name   string
	hint   string // one line for a reader who has never seen the measure
	wish   wish
	brief  bool // belongs to the table that everybody reads
	value  func(*Strategy) (float64, bool)
	format func(float64) string
	bound  func(*Strategy) bool // the value is a lower bound
	always bool                 // can be compared even where the equal-rate run was spoilt
}

// group is a set of measures under one heading.
type group struct {
	name     string
	measures []measure
}

// groups returns every measure that the report shows, in reading order.
func (r *Report) groups() []group {
	counted := r.countedQueries()
	ran := func(value func(*Strategy) float64) func(*Strategy) (float64, bool) {
		return func(s *Strategy) (float64, bool) { return value(s), s.ran() }
	}
	above := func(value func(*Strategy) float64) func(*Strategy) (float64, bool) {
		return func(s *Strategy) (float64, bool) { v := value(s); return v, v > 0 }
	}
	database := func(value func(*Strategy) float64) func(*Strategy) (float64, bool) {
		return func(s *Strategy) (float64, bool) { return value(s), s.ran() && counted }
	}
	witness := func(value func(*Strategy) float64) func(*Strategy) (float64, bool) {
		return func(s *Strategy) (float64, bool) { return value(s), s.WitnessReads > 0 }
	}
	whole := func(v float64) string { return count(v) }

	return []group{
		{"Latency at the equal rate", []measure{
			{name: "Median (p50)", hint: "half of the requests were answered within", wish: lower, brief: true, format: duration,
				value: above(func(s *Strategy) float64 { return s.P50Seconds })},
			{name: "p95", hint: "95 of 100 requests were answered within", wish: lower, brief: true, format: duration,
				value: above(func(s *Strategy) float64 { return s.P95Seconds })},
			{name: "p99", hint: "99 of 100 requests were answered within", wish: lower, brief: true, format: duration,
				value: above(func(s *Strategy) float64 { return s.P99Seconds })},
			{name: "Mean", hint: "the average, which hides the slow ones", wish: lower, format: duration,
				value: above(func(s *Strategy) float64 { return s.MeanSeconds })},
			{name: "Rate reached, requests/s", hint: "the load that was really offered", format: whole,
				value: above(func(s *Strategy) float64 { return s.RateRPS })},
			{name: "Requests", hint: "sent and answered in the equal-rate run", format: whole,
				value: above(func(s *Strategy) float64 { return float64(s.Requests) })},
			{name: "Failed", hint: "answers that were not what was asked for", format: whole, wish: lower, brief: true, always: true,
				value: ran(func(s *Strategy) float64 { return float64(s.Errors) })},
			{name: "Not started in time", hint: "requests that the generator had to drop", format: whole, wish: lower, brief: true, always: true,
				value: func(s *Strategy) (float64, bool) { return float64(s.Dropped), s.ran() || s.Dropped > 0 }},
		}},
		{"Capacity", []measure{
			{name: "Capacity, requests/s", hint: "the highest rate that still holds the limit", wish: higher, brief: true, format: whole, always: true,
				value: above(func(s *Strategy) float64 { return s.CapacityRPS }), bound: (*Strategy).bounded},
			{name: "p99 at that rate", hint: "latency at the capacity", format: duration,
				value: above(func(s *Strategy) float64 { return s.CapacityP99 })},
			{name: "Generator's CPU there", hint: "the generator's share of one core", format: percent,
				value: above(func(s *Strategy) float64 { return s.CapacityCPU })},
		}},
		{"Database load", []measure{
			{name: "Queries per request", hint: "counted by Postgres itself", wish: lower, brief: true, format: figure,
				value: database(func(s *Strategy) float64 { return s.DBQueriesPerRequest })},
			{name: "Queries", hint: "all of the service's, its change feed included", wish: lower, format: whole,
				value: database(func(s *Strategy) float64 { return float64(s.DBQueries) })},
			{name: "of which change feed", hint: "asking what has changed", format: whole,
				value: database(func(s *Strategy) float64 { return float64(s.DBFeedQueries) })},
			{name: "Time executing", hint: "summed over all queries", wish: lower, format: effort,
				value: database(func(s *Strategy) float64 { return s.DBSeconds })},
			{name: "Postgres CPU", hint: "of all its processes, over the equal-rate run", wish: lower, brief: true, format: effort,
				value: above(func(s *Strategy) float64 { return s.DBCPUSeconds })},
			{name: "Blocks found in memory", hint: "8 kB pages that Postgres had at hand", wish: lower, format: whole,
				value: database(func(s *Strategy) float64 { return float64(s.DBBlocksHit) })},
			{name: "Blocks read", hint: "8 kB pages that it had to fetch", wish: lower, format: whole,
				value: database(func(s *Strategy) float64 { return float64(s.DBBlocksRead) })},
		}},
		{"Cache", []measure{
			{name: "Answered without database", hint: "share of the reads", wish: higher, brief: true, format: percent,
				value: func(s *Strategy) (float64, bool) {
					return s.HitRatio, s.ran() && (s.HitRatio > 0 || len(s.Answers) > 0)
				}},
			{name: "Hits, views in process", hint: "of the times this layer was asked", format: percent, value: hits("view_l1")},
			{name: "Hits, views in Redis", hint: "of the times this layer was asked", format: percent, value: hits("view_l2")},
			{name: "Hits, data in process", hint: "of the times this layer was asked", format: percent, value: hits("data_l1")},
			{name: "Hits, data in Redis", hint: "of the times this layer was asked", format: percent, value: hits("data_l2")},
		}},
		{"Truth, seen by an outside witness", []measure{
			{name: "Stale answers", hint: "older than a change already committed", wish: lower, brief: true, format: percent, always: true,
				value: witness(func(s *Strategy) float64 { return s.StaleShare })},
			{name: "Staleness p50", hint: "of the stale answers", wish: lower, format: duration, always: true,
				value: witness(func(s *Strategy) float64 { return s.StalenessP50Seconds })},
			{name: "Staleness p99", hint: "of the stale answers", wish: lower, brief: true, format: duration, always: true,
				value: witness(func(s *Strategy) float64 { return s.StalenessP99Seconds })},
			{name: "Stalest answer", hint: "the oldest truth that anybody was told", wish: lower, brief: true, format: duration, always: true,
				value: witness(func(s *Strategy) float64 { return s.StalenessWorstSeconds })},
			{name: "Reads of the witness", hint: "answers it compared with the truth", format: whole, always: true,
				value: witness(func(s *Strategy) float64 { return float64(s.WitnessReads) })},
			{name: "Writes of the witness", hint: "changes it committed by plain SQL", format: whole, always: true,
				value: witness(func(s *Strategy) float64 { return float64(s.WitnessWrites) })},
		}},
		{"Price", []measure{
			{name: "Service CPU", hint: "over the equal-rate run", wish: lower, brief: true, format: effort,
				value: above(func(s *Strategy) float64 { return s.ServiceCPUSeconds })},
			{name: "Service memory", hint: "the highest seen", wish: lower, brief: true, format: size,
				value: above(func(s *Strategy) float64 { return float64(s.ServiceRSSBytes) })},
			{name: "Redis CPU", hint: "over the equal-rate run", wish: lower, format: effort,
				value: above(func(s *Strategy) float64 { return s.RedisCPUSeconds })},
			{name: "Redis memory", hint: "at the end of the run", wish: lower, brief: true, format: size,
				value: above(func(s *Strategy) float64 { return float64(s.RedisMemoryBytes) })},
			{name: "Load generator CPU", hint: "it shares the machine", format: effort,
				value: above(func(s *Strategy) float64 { return s.GeneratorCPUSeconds })},
		}},
	}
}

// hits reads the hit ratio of one layer.
func hits(layer string) func(*Strategy) (float64, bool) {
	return func(s *Strategy) (float64, bool) {
		ratio, asked := s.LayerHitRatios[layer]
		return ratio, asked
	}
}

// cell is one value of a table, written.
type cell struct {
	Text string
	Best bool
}

// row is one line of a table.
type row struct {
	Name, Hint string
	Cells      []cell
}

// section is a heading with its rows.
type section struct {
	Name string
	Rows []row
}

// Span is how many columns the heading goes across.
func (s section) Span() int { return 1 + len(s.Rows[0].Cells) }

// sections writes the measures of the report as tables. A row that no strategy has a value for is left out.
func (r *Report) sections(brief bool) []section {
	var sections []section
	for _, g := range r.groups() {
		var rows []row
		for _, m := range g.measures {
			if brief && !m.brief {
				continue
			}
			if cells, known := r.cells(m); known {
				rows = append(rows, row{m.name, m.hint, cells})
			}
		}
		if len(rows) > 0 {
			sections = append(sections, section{g.name, rows})
		}
	}
	return sections
}

// cells writes one measure for every strategy and marks the best value among those that can be compared. Values that read
// the same are the same; where all are, none is best. A lower bound below the best could be anything, so then none is.
func (r *Report) cells(m measure) (cells []cell, known bool) {
	var best float64
	var comparable int
	fit := func(s *Strategy) (float64, bool) {
		v, ok := m.value(s)
		return v, ok && m.wish != neither && (m.always || r.sound(s))
	}
	for i := range r.Strategies {
		v, ok := fit(&r.Strategies[i])
		if !ok {
			continue
		}
		if comparable == 0 || m.wish == lower && v < best || m.wish == higher && v > best {
			best = v
		}
		comparable++
	}
	var marked int
	var open bool
	for i := range r.Strategies {
		s := &r.Strategies[i]
		v, ok := m.value(s)
		if !ok {
			cells = append(cells, cell{Text: absent})
			continue
		}
		known = true
		c := cell{Text: m.format(v)}
		if m.bound != nil && m.bound(s) {
			c.Text = "≥ " + c.Text
		}
		if v, ok := fit(s); ok && m.format(v) == m.format(best) {
			c.Best = true
			marked++
		} else if ok && m.bound != nil && m.bound(s) {
			open = true
		}
		cells = append(cells, c)
	}
	if open || marked == comparable {
		for i := range cells {
			cells[i].Best = false
		}
	}
	return cells, known
}
