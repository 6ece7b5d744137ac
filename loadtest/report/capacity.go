package report

import (
	"fmt"
	"math"
)

// capacityChart draws the highest rate of every strategy. A bar that only bounds it from below has an open end.
func capacityChart(r *Report, c *canvas) bool {
	const bar = 26.0
	var most float64
	for _, s := range r.Strategies {
		most = math.Max(most, s.CapacityRPS)
	}
	if most <= 0 {
		return false
	}
	layout := c.rows(bar + 14)
	room := 240.0
	if c.narrow() {
		room = 24
	}
	x := scale{from: 0, to: most, start: layout.left, end: layout.right - room}
	bottom := layout.top + float64(len(r.Strategies))*layout.step
	for i := range r.Strategies {
		s := &r.Strategies[i]
		y := layout.name(c, i, s, bar/2)
		color := c.theme.strategy(s.Name)
		if s.CapacityRPS <= 0 {
			c.text(words{x: layout.left, y: y + bar/2 + 4}, "not measured")
			continue
		}
		text, why := count(s.CapacityRPS)+"/s", openEnd(s)
		end := x.at(s.CapacityRPS)
		if s.bounded() {
			text = "≥ " + text
			for k := 0.0; k < 3; k++ {
				c.rect(end+3+k*6, y, 3, bar, 0, fmt.Sprintf("fill:%s;fill-opacity:%.2f", color, 0.7-0.22*k), "")
			}
		}
		c.rect(layout.left, y, end-layout.left, bar, 2, "fill:"+color, fmt.Sprintf("%s: %s %s", s.Name, text, why))
		if s.bounded() {
			end += 22
		}
		if c.narrow() {
			c.text(words{x: layout.right, y: y - 8, anchor: "end", fill: c.theme.ink("text")}, "%s", text)
			continue
		}
		c.text(words{x: end + 10, y: y + bar/2 + 4, px: medium, strong: true, fill: c.theme.ink("text"), after: why}, "%s", text)
	}
	if rate := r.Conditions.RateRPS; rate > 0 && rate < most {
		at := x.at(rate)
		for i := range r.Strategies {
			if r.Strategies[i].CapacityRPS <= 0 {
				continue
			}
			y := layout.top + float64(i)*layout.step + layout.inset
			c.line(at, y-3, at, y+bar+3, c.theme.ink("text"), 1, "3 3")
		}
		c.text(words{x: at, y: bottom + 14, anchor: "start"}, "↑ equal-rate run: %s/s", count(rate))
	}
	c.height = bottom + 24
	return true
}

// openEnd says why a capacity is only a lower bound.
func openEnd(s *Strategy) string {
	switch s.CapacityLimit {
	case "generator":
		return "the generator's limit"
	case "ceiling":
		return "where the search ended"
	}
	return ""
}
