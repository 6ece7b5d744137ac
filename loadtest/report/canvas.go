package report

import (
	"fmt"
	"html"
	"math"
	"sort"
	"strings"
)

// canvas builds one SVG picture.
type canvas struct {
	b      strings.Builder
	theme  theme
	width  float64
	height float64
}

// fonts of pictures and page: what the reader's system has, so that nothing is fetched.
const fonts = `system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif`

// text sizes in pixels.
const (
	small  = 12.0
	medium = 13.0
	large  = 15.0
)

// narrow says that the picture is made for a telephone.
func (c *canvas) narrow() bool { return c.width < 500 }

// textWidth estimates how wide text is in a sans-serif face; good to a tenth, which labels are spaced for.
func textWidth(text string, px float64) float64 {
	var ems float64
	for _, r := range text {
		switch {
		case strings.ContainsRune("ijlft.,:;|'!()[] ·", r):
			ems += 0.31
		case r >= 'A' && r <= 'Z', r == 'm', r == 'w', r == '%':
			ems += 0.76
		default:
			ems += 0.56
		}
	}
	return ems * px
}

// text options.
type words struct {
	x, y   float64
	anchor string // start (the default), middle, end
	px     float64
	fill   string
	strong bool
	after  string // follows in small and muted type
}

func (c *canvas) text(w words, format string, values ...any) {
	text := html.EscapeString(fmt.Sprintf(format, values...))
	if w.px == 0 {
		w.px = small
	}
	if w.fill == "" {
		w.fill = c.theme.ink("muted")
	}
	style := fmt.Sprintf("fill:%s;font-size:%gpx", w.fill, w.px)
	if w.strong {
		style += ";font-weight:600"
	}
	anchor := ""
	if w.anchor != "" {
		anchor = ` text-anchor="` + w.anchor + `"`
	}
	if w.after != "" {
		text += fmt.Sprintf(`<tspan dx="7" style="fill:%s;font-size:%gpx;font-weight:400">%s</tspan>`, c.theme.ink("muted"), small, html.EscapeString(w.after))
	}
	fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f"%s style="%s">%s</text>`, w.x, w.y, anchor, style, text)
}

func (c *canvas) line(x1, y1, x2, y2 float64, stroke string, width float64, dash string) {
	if dash != "" {
		dash = ";stroke-dasharray:" + dash
	}
	fmt.Fprintf(&c.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" style="stroke:%s;stroke-width:%g%s"/>`, x1, y1, x2, y2, stroke, width, dash)
}

// rect draws a filled rectangle; a title becomes its tooltip.
func (c *canvas) rect(x, y, w, h, radius float64, style, title string) {
	fmt.Fprintf(&c.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="%g" style="%s">%s</rect>`,
		x, y, math.Max(0, w), math.Max(0, h), radius, style, tooltip(title))
}

func (c *canvas) circle(x, y, radius float64, style, title string) {
	fmt.Fprintf(&c.b, `<circle cx="%.1f" cy="%.1f" r="%g" style="%s">%s</circle>`, x, y, radius, style, tooltip(title))
}

func (c *canvas) path(d, style, title string) {
	fmt.Fprintf(&c.b, `<path d="%s" style="%s">%s</path>`, d, style, tooltip(title))
}

func tooltip(title string) string {
	if title == "" {
		return ""
	}
	return "<title>" + html.EscapeString(title) + "</title>"
}

// picture closes the canvas to one svg element. The name makes its ids unique in a page; title and description are what a
// screen reader says.
func (c *canvas) picture(name, title, description string) string {
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%.0f" height="%.0f" role="img" aria-labelledby="%s-t %s-d" style='font-family:%s'>`+
		`<title id="%s-t">%s</title><desc id="%s-d">%s</desc>%s</svg>`,
		c.width, c.height, c.width, c.height, name, name, fonts,
		name, html.EscapeString(title), name, html.EscapeString(description), c.b.String())
}

// track builds the d of a path.
type track struct {
	b strings.Builder
}

func (t *track) to(x, y float64) {
	verb := "L"
	if t.b.Len() == 0 {
		verb = "M"
	}
	fmt.Fprintf(&t.b, "%s%.1f %.1f", verb, x, y)
}

// scale maps values to pixels, linearly or by logarithm.
type scale struct {
	from, to   float64 // values
	start, end float64 // pixels
	log        bool
}

func (s scale) at(v float64) float64 {
	from, to := s.from, s.to
	if s.log {
		v, from, to = math.Log(math.Max(v, s.from)), math.Log(from), math.Log(to)
	}
	if to == from {
		return s.start
	}
	share := math.Min(1, math.Max(0, (v-from)/(to-from)))
	return s.start + share*(s.end-s.start)
}

// decades returns the powers of ten of a logarithmic scale.
func (s scale) decades() []float64 {
	var ticks []float64
	for e := math.Floor(math.Log10(s.from)); e <= math.Ceil(math.Log10(s.to)); e++ {
		if v := math.Pow(10, e); v >= s.from*0.999 && v <= s.to*1.001 {
			ticks = append(ticks, v)
		}
	}
	return ticks
}

// roundTicks returns about n round values from 0 up to at least top.
func roundTicks(top float64, n int) []float64 {
	if top <= 0 {
		return []float64{0, 1}
	}
	step := math.Pow(10, math.Floor(math.Log10(top/float64(n))))
	for _, m := range []float64{1, 2, 5, 10} {
		if step*m*float64(n) >= top {
			step *= m
			break
		}
	}
	ticks := []float64{0}
	for v := step; ticks[len(ticks)-1] < top; v += step {
		ticks = append(ticks, v)
	}
	return ticks
}

// axisDuration writes a power of ten in seconds without decimals: 100 µs, 1 ms, 10 s.
func axisDuration(seconds float64) string {
	switch {
	case seconds < 0.99e-4:
		return fmt.Sprintf("%.3g µs", seconds*1e6)
	case seconds < 0.99:
		return fmt.Sprintf("%.3g ms", seconds*1e3)
	}
	return fmt.Sprintf("%.3g s", seconds)
}

// tag is a label beside the end of a line.
type tag struct {
	y     float64
	want  float64
	name  string
	text  string
	color string
}

// spread moves labels apart so that each has room, as little as that takes and within the two bounds.
func spread(tags []tag, gap, top, bottom float64) {
	sort.SliceStable(tags, func(i, j int) bool { return tags[i].want < tags[j].want })
	for i := range tags {
		tags[i].y = math.Max(tags[i].want, top)
		if i > 0 {
			tags[i].y = math.Max(tags[i].y, tags[i-1].y+gap)
		}
	}
	for i := len(tags) - 1; i >= 0; i-- {
		limit := bottom
		if i < len(tags)-1 {
			limit = tags[i+1].y - gap
		}
		tags[i].y = math.Min(tags[i].y, limit)
	}
}

// tags draws labels to the right of x, each joined to the end of its line.
func (c *canvas) tags(tags []tag, x, gap, top, bottom float64) {
	spread(tags, gap, top, bottom)
	for _, t := range tags {
		if math.Abs(t.y-t.want) > 2 {
			c.path(fmt.Sprintf("M%.1f %.1fL%.1f %.1f", x+3, t.want, x+11, t.y), "fill:none;stroke:"+t.color+";stroke-width:1", "")
		}
		c.text(words{x: x + 14, y: t.y + 4, fill: t.color, strong: true, px: medium, after: t.text}, "%s", t.name)
	}
}

// stroke styles a strategy's line. The baseline is dashed, what is highlighted is strong.
func (c *canvas) stroke(name string) string {
	style := fmt.Sprintf("fill:none;stroke:%s;stroke-width:2;stroke-linejoin:round;stroke-linecap:round", c.theme.strategy(name))
	if name == baselineName {
		style += ";stroke-dasharray:6 5"
	}
	return style
}

// plot returns the left and right edge of a chart with a scale at its left and labels at its right.
func (c *canvas) plot() (left, right float64) {
	if c.narrow() {
		return 52, c.width - 84
	}
	return 58, c.width - 160
}

// rows lays out one horizontal row a strategy: the name at the left, or above on a narrow picture.
type rows struct {
	left, right float64
	top, step   float64
	inset       float64 // from the top of a row to what is drawn in it
}

func (c *canvas) rows(step float64) rows {
	if c.narrow() {
		return rows{left: 2, right: c.width - 8, top: 4, step: step + 22, inset: 22}
	}
	return rows{left: 96, right: c.width - 20, top: 8, step: step}
}

// name writes the strategy of row i and returns where the drawing of the row begins.
func (l rows) name(c *canvas, i int, s *Strategy, middle float64) float64 {
	y := l.top + float64(i)*l.step
	fill := c.theme.strategy(s.Name)
	if c.narrow() {
		c.text(words{x: l.left, y: y + 14, fill: fill, strong: true, px: medium}, "%s", s.Name)
		return y + l.inset
	}
	c.text(words{x: l.left - 14, y: y + middle + 4, anchor: "end", fill: fill, strong: true, px: medium}, "%s", s.Name)
	return y
}
