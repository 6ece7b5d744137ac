package report

import (
	"fmt"
	"math"
)

// point is a percentile of a latency distribution.
type point struct{ percentile, seconds float64 }

// nines places a percentile so that 90, 99 and 99.9 are equally far apart: the tail is where services differ.
func nines(percentile float64) float64 { return -math.Log10(1 - percentile/100) }

// curve samples a strategy's latency by percentile. Without a distribution the three measured percentiles have to do.
func curve(s *Strategy, top float64) []point {
	n := total(s.Latency)
	if n == 0 {
		var points []point
		for _, p := range []point{{50, s.P50Seconds}, {95, s.P95Seconds}, {99, s.P99Seconds}} {
			if p.seconds > 0 {
				points = append(points, p)
			}
		}
		return points
	}
	var points []point
	for x := 0.0; x <= nines(top)+1e-9; x += 0.05 {
		percentile := 100 * (1 - math.Pow(10, -x))
		if v, ok := quantile(s.Latency, math.Max(percentile/100, 0.01)); ok {
			points = append(points, point{percentile, v})
		}
	}
	return points
}

// latencyChart draws latency by percentile, both axes logarithmic.
func latencyChart(r *Report, c *canvas) bool {
	top := 99.0
	low, high := math.Inf(1), 0.0
	for i := range r.Strategies {
		if total(r.Strategies[i].Latency) >= 10_000 {
			top = 99.9 // ten requests or more stand behind the last point
		}
	}
	curves := make([][]point, len(r.Strategies))
	for i := range r.Strategies {
		curves[i] = curve(&r.Strategies[i], top)
		for _, p := range curves[i] {
			low, high = math.Min(low, p.seconds), math.Max(high, p.seconds)
		}
	}
	if high <= 0 {
		return false
	}
	left, right := c.plot()
	bottom, ceiling := c.height-46, 12.0
	y := scale{from: low / 1.15, to: high * 1.15, start: bottom, end: ceiling, log: true}
	x := scale{from: 0, to: nines(top), start: left, end: right}

	for _, v := range y.decades() {
		c.line(left, y.at(v), right, y.at(v), c.theme.ink("line"), 1, "")
		c.text(words{x: left - 8, y: y.at(v) + 4, anchor: "end"}, "%s", axisDuration(v))
	}
	for _, p := range []float64{0, 50, 90, 99, 99.9} {
		if p > top {
			continue
		}
		name := fmt.Sprintf("p%g", p)
		if p == 0 {
			name = "fastest"
			if c.narrow() {
				continue
			}
		}
		c.line(x.at(nines(p)), ceiling, x.at(nines(p)), bottom, c.theme.ink("line"), 1, "")
		c.text(words{x: x.at(nines(p)), y: bottom + 18, anchor: "middle"}, "%s", name)
	}
	caption := "the slower requests to the right: 1 in 10, 1 in 100, 1 in 1,000"
	if c.narrow() {
		caption = "slower requests to the right"
	}
	c.text(words{x: right, y: bottom + 36, anchor: "end"}, "%s", caption)

	var tags []tag
	for i := range r.Strategies {
		s := &r.Strategies[i]
		if len(curves[i]) == 0 {
			continue
		}
		var t track
		for _, p := range curves[i] {
			t.to(x.at(nines(p.percentile)), y.at(p.seconds))
		}
		c.path(t.b.String(), c.stroke(s.Name), fmt.Sprintf("%s: p50 %s, p95 %s, p99 %s", s.Name, duration(s.P50Seconds), duration(s.P95Seconds), duration(s.P99Seconds)))
		for _, p := range []point{{50, s.P50Seconds}, {95, s.P95Seconds}, {99, s.P99Seconds}} {
			if p.seconds > 0 {
				c.circle(x.at(nines(p.percentile)), y.at(p.seconds), 3.5, "fill:"+c.theme.strategy(s.Name), fmt.Sprintf("%s p%g: %s", s.Name, p.percentile, duration(p.seconds)))
			}
		}
		text := "p99 " + duration(s.P99Seconds)
		if c.narrow() || s.P99Seconds <= 0 {
			text = ""
		}
		last := curves[i][len(curves[i])-1]
		tags = append(tags, tag{want: y.at(last.seconds), name: s.Name, text: text, color: c.theme.strategy(s.Name)})
	}
	c.tags(tags, right, 18, ceiling+4, bottom)
	return true
}
