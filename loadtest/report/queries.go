package report

import (
	"fmt"
	"math"
)

// queriesChart draws database queries a second over the equal-rate run.
func queriesChart(r *Report, c *canvas) bool {
	var most, last float64
	for _, s := range r.Strategies {
		for _, sample := range s.DBTimeline {
			most, last = math.Max(most, sample.Value), math.Max(last, sample.Seconds)
		}
	}
	if last <= 0 {
		return false
	}
	left, right := c.plot()
	bottom, ceiling := c.height-46, 12.0
	ticks := roundTicks(most, 5)
	y := scale{from: 0, to: ticks[len(ticks)-1], start: bottom, end: ceiling}
	x := scale{from: 0, to: last, start: left, end: right}
	for _, v := range ticks {
		c.line(left, y.at(v), right, y.at(v), c.theme.ink("line"), 1, "")
		c.text(words{x: left - 8, y: y.at(v) + 4, anchor: "end"}, "%s", tick(v))
	}
	parts := 6
	if c.narrow() {
		parts = 3
	}
	for _, v := range roundTicks(last, parts) {
		if v <= last {
			c.text(words{x: x.at(v), y: bottom + 18, anchor: "middle"}, "%g", v)
		}
	}
	c.text(words{x: right, y: bottom + 36, anchor: "end"}, "seconds of the run")

	var tags []tag
	for i := range r.Strategies {
		s := &r.Strategies[i]
		if len(s.DBTimeline) == 0 {
			continue
		}
		average := mean(s.DBTimeline)
		var t track
		for _, sample := range s.DBTimeline {
			t.to(x.at(sample.Seconds), y.at(sample.Value))
		}
		c.path(t.b.String(), c.stroke(s.Name), fmt.Sprintf("%s: %s queries/s on average", s.Name, figure(average)))
		text := figure(average) + "/s"
		if c.narrow() {
			text = ""
		}
		end := s.DBTimeline[len(s.DBTimeline)-1]
		tags = append(tags, tag{want: y.at(end.Value), name: s.Name, text: text, color: c.theme.strategy(s.Name)})
	}
	c.tags(tags, right, 18, ceiling+4, bottom)
	return true
}

// tick writes a value of a linear axis.
func tick(v float64) string {
	if v > 0 && v < 10 && v != math.Trunc(v) {
		return fmt.Sprintf("%g", v)
	}
	return count(v)
}
