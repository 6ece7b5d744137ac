package report

import (
	"fmt"
)

// answersChart draws where answers came from, as shares of all reads.
func answersChart(r *Report, c *canvas) bool {
	const bar = 30.0
	layout := c.rows(bar + 14)
	used := map[string]bool{}
	var drawn int
	for i := range r.Strategies {
		s := &r.Strategies[i]
		var all int64
		for _, n := range s.Answers {
			all += n
		}
		y := layout.name(c, drawn, s, bar/2)
		drawn++
		if all == 0 {
			c.text(words{x: layout.left, y: y + bar/2 + 4}, "not measured")
			continue
		}
		x := layout.left
		for _, src := range sources {
			n := s.Answers[src.key]
			if n == 0 {
				continue
			}
			used[src.key] = true
			share := float64(n) / float64(all)
			width := share * (layout.right - layout.left)
			fill, on := c.theme.source(src)
			c.rect(x, y, width-1, bar, 2, "fill:"+fill, fmt.Sprintf("%s: %s from %s (%s)", s.Name, percent(share), src.name, count(float64(n))))
			if label := percent(share); textWidth(label, small)+8 < width {
				c.text(words{x: x + width/2, y: y + bar/2 + 4, anchor: "middle", fill: on}, "%s", label)
			}
			x += width
		}
	}
	if len(used) == 0 {
		return false
	}
	x, y := layout.left, layout.top+float64(drawn)*layout.step+10
	for _, src := range sources {
		if !used[src.key] {
			continue
		}
		width := 18 + textWidth(src.name, small) + 20
		if x+width > c.width && x > layout.left {
			x, y = layout.left, y+20
		}
		fill, _ := c.theme.source(src)
		c.rect(x, y, 12, 12, 2, "fill:"+fill, "")
		c.text(words{x: x + 18, y: y + 10.5}, "%s", src.name)
		x += width
	}
	c.height = y + 22
	return true
}
