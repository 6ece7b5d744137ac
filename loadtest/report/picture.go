package report

import (
	"fmt"
	"io"
	"math"
	"strings"
)

// WriteSVG writes one picture for a README: latency, database queries and staleness side by side, on light ground, with the
// conditions of the run beneath. It needs no font and no style sheet from elsewhere.
func WriteSVG(w io.Writer, r *Report) error {
	if _, err := io.WriteString(w, picture(r)); err != nil {
		return fmt.Errorf("writing picture: %w", err)
	}
	return nil
}

func picture(r *Report) string {
	const margin, gap, head = 28.0, 34.0, 96.0
	panels := []struct {
		title, sub string
		width      float64
		draw       func(*Report, *canvas) bool
	}{
		{"Latency", "by percentile", 350, latencyChart},
		{"Database", "queries a request", 230, loadChart},
		{"Truth", "age of stale answers", 290, stalenessChart},
	}
	drawn := make([]*canvas, len(panels))
	width, height := 2*margin-gap, 0.0
	for i, p := range panels {
		drawn[i] = &canvas{theme: literal, width: p.width, height: math.Max(290, float64(len(r.Strategies))*88+30)}
		if !p.draw(r, drawn[i]) {
			drawn[i].text(words{x: 8, y: 30, px: medium}, "not measured")
		}
		width += p.width + gap
		height = math.Max(height, drawn[i].height)
	}
	c := &canvas{theme: literal, width: width, height: head + height + 44}
	c.rect(0.5, 0.5, c.width-1, c.height-1, 10, "fill:"+c.theme.ink("ground")+";stroke:"+c.theme.ink("line"), "")
	c.text(words{x: margin, y: 38, px: 19, strong: true, fill: c.theme.ink("text")}, "%s", headline(r))
	x := margin
	for i, p := range panels {
		c.text(words{x: x, y: 76, px: large, strong: true, fill: c.theme.ink("text"), after: p.sub}, "%s", p.title)
		fmt.Fprintf(&c.b, `<g transform="translate(%.0f %.0f)">%s</g>`, x, head, drawn[i].b.String())
		x += p.width + gap
	}
	c.text(words{x: margin, y: c.height - 18}, "%s", footnote(r))
	return c.picture("strata", headline(r), describe(r.latencyGrid())+". "+describe(r.stalenessGrid())) + "\n"
}

func headline(r *Report) string {
	subject := "The same traffic"
	if r.Conditions.RateRPS > 0 {
		subject = fmt.Sprintf("The same %s requests/s", count(r.Conditions.RateRPS))
	}
	if len(r.Strategies) == 1 {
		return subject + " with one caching strategy"
	}
	return fmt.Sprintf("%s with %s caching strategies", subject, numeral(len(r.Strategies)))
}

// versionOf names a program with its version: "go 1.26.1" of go and go1.26.1. What stands in for redis names itself: "valkey 8.1.4", "miniredis".
func versionOf(name, version string) string {
	if strings.Contains(version, " ") || strings.HasSuffix(version, name) {
		return version
	}
	return name + " " + strings.TrimPrefix(version, name)
}

// footnote says under what circumstances, as shortly as honesty allows.
func footnote(r *Report) string {
	parts := []string{}
	if summary := r.summary(); summary != "" {
		parts = append(parts, summary)
	}
	for _, name := range []string{"postgres", "redis"} {
		if version := r.Conditions.Versions[name]; version != "" {
			parts = append(parts, versionOf(name, version))
		}
	}
	for i := range r.Strategies {
		if !r.sound(&r.Strategies[i]) {
			parts = append(parts, r.Strategies[i].Name+" not comparable")
		}
	}
	return strings.Join(parts, " · ")
}

// loadChart draws database queries a request as bars with the name above each.
func loadChart(r *Report, c *canvas) bool {
	if !r.countedQueries() {
		return false
	}
	const bar = 16.0
	var most float64
	for _, s := range r.Strategies {
		most = math.Max(most, s.DBQueriesPerRequest)
	}
	layout := c.rows(66) // as far apart as the rows of the staleness chart beside it
	x := scale{from: 0, to: most, start: layout.left, end: layout.right}
	base := r.find(baselineName)
	for i := range r.Strategies {
		s := &r.Strategies[i]
		y := layout.name(c, i, s, bar/2)
		if !s.ran() {
			c.text(words{x: layout.left, y: y + 12}, "not measured")
			continue
		}
		text := figure(s.DBQueriesPerRequest)
		if s != base && r.sound(base) && r.sound(s) && base.DBQueriesPerRequest > 0 && s.DBQueriesPerRequest > 0 {
			text += ", " + change(base.DBQueriesPerRequest, s.DBQueriesPerRequest, "fewer", "more")
		}
		c.text(words{x: layout.right, y: y - 8, anchor: "end"}, "%s", text)
		c.rect(layout.left, y, math.Max(1.5, x.at(s.DBQueriesPerRequest)-layout.left), bar, 2, "fill:"+c.theme.strategy(s.Name), s.Name+": "+text)
	}
	return true
}
