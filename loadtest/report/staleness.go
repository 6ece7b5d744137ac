package report

import (
	"fmt"
	"math"
	"sort"
)

// stalenessChart draws, for every strategy, how old its stale answers were.
func stalenessChart(r *Report, c *canvas) bool {
	const band = 46.0
	low, high := 0.001, 1.0
	var seen bool
	for i := range r.Strategies {
		s := &r.Strategies[i]
		seen = seen || s.WitnessReads > 0
		high = math.Max(high, s.StalenessWorstSeconds)
		if s.StalenessP50Seconds > 0 {
			low = math.Min(low, s.StalenessP50Seconds/2)
		}
		if first := firstUsed(s.Staleness); first > 0 && first < low {
			low = math.Max(first/2, 1e-6)
		}
	}
	if !seen {
		return false
	}
	layout := c.rows(band + 20)
	if !c.narrow() {
		layout.right -= 110
	}
	x := scale{from: low, to: high * 1.3, start: layout.left, end: layout.right, log: true}
	bottom := layout.top + float64(len(r.Strategies))*layout.step + 4
	for i, v := range x.decades() {
		c.line(x.at(v), layout.top+layout.inset, x.at(v), bottom, c.theme.ink("line"), 1, "")
		if c.narrow() && i%2 == 1 {
			continue
		}
		anchor := "middle"
		if c.narrow() && i == 0 {
			anchor = "start" // nothing to the left of it
		}
		c.text(words{x: x.at(v), y: bottom + 16, anchor: anchor}, "%s", axisDuration(v))
	}
	c.text(words{x: layout.right, y: bottom + 34, anchor: "end"}, "how far behind the truth")
	for i := range r.Strategies {
		s := &r.Strategies[i]
		y := layout.name(c, i, s, band/2)
		base := y + band
		color := c.theme.strategy(s.Name)
		c.line(layout.left, base, layout.right, base, c.theme.ink("line"), 1, "")
		switch {
		case s.WitnessReads == 0:
			c.text(words{x: layout.left + 8, y: base - 16, px: medium}, "not measured")
			continue
		case s.StaleReads == 0:
			c.text(words{x: layout.left + 8, y: base - 16, px: large, fill: color, strong: true, after: "in " + noun(s.WitnessReads, "read")}, "never stale")
			continue
		}
		c.ridge(s, x, base, band-16)
		c.marks(s, x, base, layout)
	}
	c.height = bottom + 46
	return true
}

// firstUsed returns the upper end of the first bucket that holds anything.
func firstUsed(buckets []Bucket) float64 {
	for _, b := range buckets {
		if b.Count > 0 {
			return b.UpTo
		}
	}
	return 0
}

// ridge draws a distribution as bars on a line, the tallest of the given height.
func (c *canvas) ridge(s *Strategy, x scale, base, height float64) {
	var most int64
	for _, b := range s.Staleness {
		most = max(most, b.Count)
	}
	lower := 0.0
	for i, b := range s.Staleness {
		if i == 0 && len(s.Staleness) > 1 && s.Staleness[1].UpTo > 0 {
			lower = b.UpTo * b.UpTo / s.Staleness[1].UpTo // as wide on the axis as the next one
		}
		if b.Count > 0 {
			from, to := x.at(lower), x.at(math.Min(b.UpTo, x.to))
			h := math.Max(1.5, height*float64(b.Count)/float64(most))
			c.rect(from, base-h, to-from-0.8, h, 0, "fill-opacity:.42;fill:"+c.theme.strategy(s.Name),
				fmt.Sprintf("%s: %s up to %s behind", s.Name, noun(b.Count, "read"), duration(b.UpTo)))
		}
		lower = b.UpTo
	}
}

// marks draws median, p99 and worst of the stale answers, and says how many there were.
func (c *canvas) marks(s *Strategy, x scale, base float64, layout rows) {
	color := c.theme.strategy(s.Name)
	c.line(x.at(s.StalenessP50Seconds), base, x.at(s.StalenessWorstSeconds), base, color, 2, "")
	for _, m := range []struct {
		name    string
		seconds float64
		radius  float64
	}{{"median", s.StalenessP50Seconds, 3.5}, {"p99", s.StalenessP99Seconds, 3.5}, {"worst", s.StalenessWorstSeconds, 5}} {
		c.circle(x.at(m.seconds), base, m.radius, "fill:"+color, fmt.Sprintf("%s, %s of the stale answers: %s", s.Name, m.name, duration(m.seconds)))
	}
	share, worst := percent(s.StaleShare)+" stale", "worst "+duration(s.StalenessWorstSeconds)
	if c.narrow() {
		c.text(words{x: layout.right, y: base - layout.step + layout.inset + 12, anchor: "end"}, "%s, %s", share, worst)
		return
	}
	c.text(words{x: layout.right + 16, y: base - 18, px: medium, strong: true, fill: c.theme.ink("text")}, "%s", share)
	c.text(words{x: layout.right + 16, y: base - 2}, "%s", worst)
}

// sortedKinds returns the kinds of answers that the witness asked for, in the order in which people think of them.
func (r *Report) sortedKinds() []string {
	order := map[string]int{"listing": 1, "page": 2, "stats": 3}
	seen := map[string]bool{}
	var kinds []string
	for _, s := range r.Strategies {
		for kind := range s.StaleByKind {
			if !seen[kind] {
				seen[kind] = true
				kinds = append(kinds, kind)
			}
		}
	}
	sort.Slice(kinds, func(i, j int) bool {
		if order[kinds[i]] != order[kinds[j]] {
			return order[kinds[i]] < order[kinds[j]]
		}
		return kinds[i] < kinds[j]
	})
	return kinds
}
