package dashboards

import (
	"cmp"
	"encoding/json"
	"fmt"
	"html"
	"math"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"example.com/strata/strategies"
)

// A picture of a board as its panels were really answered, for readers without Grafana: the same grid, titles, colors and figures, drawn plainly.
const (
	column = 50.0 // pixels of a column of Grafana's grid
	line   = 30.0 // pixels of its rows
	margin = 8.0
	fewest = 4 // parts of an axis
)

var palette = []string{"#7eb26d", "#eab839", "#6ed0e0", "#ef843c", "#e24d42", "#1f78c1", "#ba43a9", "#705da0"}

// draw writes a board as an SVG, each repeated panel once for each of the strategies.
func (s *pipeline) draw(t *testing.T, b board, names []string, file string) {
	t.Helper()
	var out strings.Builder
	shift, bottom := 0, 0.0
	draw := func(p panel) {
		if p.Type == "text" {
			shift -= p.GridPos.H // Markdown is for Grafana
			return
		}
		copies := names
		if p.Repeat == "" {
			copies = []string{strings.Join(names, "|")}
		}
		width := float64(p.GridPos.W) * column / float64(len(copies))
		for i, strategy := range copies {
			x, y, h := float64(p.GridPos.X)*column+float64(i)*width, float64(p.GridPos.Y+shift)*line+60, float64(p.GridPos.H)*line
			bottom = max(bottom, y+h)
			title := strings.ReplaceAll(p.Title, "$strategy", strategy)
			if p.Type == "row" {
				fmt.Fprintf(&out, `<text x="%.0f" y="%.0f" class="row">%s</text>`, x+margin, y+h-8, html.EscapeString(title))
				continue
			}
			fmt.Fprintf(&out, `<g transform="translate(%.0f %.0f)"><rect width="%.0f" height="%.0f" rx="3" class="panel"/><text x="10" y="20" class="title">%s</text>`,
				x+margin/2, y+margin/2, width-margin, h-margin, html.EscapeString(title))
			out.WriteString(s.drawPanel(t, p, strategy, width-margin, h-margin))
			out.WriteString("</g>\n")
		}
	}
	for _, p := range b.Panels {
		draw(p)
		inner := 0
		for _, q := range p.Panels { // a picture cannot be opened
			draw(q)
			inner = max(inner, q.GridPos.Y+q.GridPos.H-p.GridPos.Y-1)
		}
		shift += inner
	}
	svg := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="Inter, Helvetica, Arial, sans-serif">
<style>.row{font-size:15px;fill:#d8d9da;font-weight:600}.panel{fill:#181b1f;stroke:#2c3235}.title{font-size:13px;fill:#ccccdc;font-weight:500}.note{font-size:11px;fill:#9fa7b3}.axis{stroke:#2c3235}</style>
<rect width="100%%" height="100%%" fill="#111217"/><text x="8" y="34" font-size="22" fill="#fff" font-weight="600">%s</text>
%s</svg>
`, 24*column, bottom+margin, html.EscapeString(b.Title), out.String())
	if err := os.WriteFile(file, []byte(svg), 0o644); err != nil {
		t.Fatal(err)
	}
}

type drawn struct {
	name   string
	ref    string // of its query
	points [][2]float64
}

func (s *pipeline) drawPanel(t *testing.T, p panel, strategy string, w, h float64) string {
	t.Helper()
	v := shown
	v.strategy = strategy
	var all []drawn
	for _, one := range p.Targets {
		for _, d := range s.series(t, v.fill(one.Expr), strings.ReplaceAll(one.LegendFormat, "$baseline", "none"), one.Range) {
			d.ref = one.RefID
			all = append(all, d)
		}
	}
	switch p.Type {
	case "stat":
		return figures(p, all, w, h)
	case "timeseries":
		return graph(p, all, w, h)
	case "table":
		return table(p, all, w)
	}
	return heat(all, w, h)
}

// series asks for the last minute, or for now, and names what comes as Grafana would.
func (s *pipeline) series(t *testing.T, expr, legend string, ranged bool) []drawn {
	t.Helper()
	now := s.seen
	form, path := url.Values{"query": {expr}, "time": {fmt.Sprint(now.Unix())}}, "/api/v1/query"
	if ranged {
		path = "/api/v1/query_range"
		form.Set("start", fmt.Sprint(now.Add(-50*time.Second).Unix()))
		form.Set("end", fmt.Sprint(now.Unix()))
		form.Set("step", "1")
	}
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  []any
			Values [][]any
		}
	}
	if err := s.get(path+"?"+form.Encode(), &data); err != nil {
		t.Fatal(err)
	}
	var all []drawn
	for _, r := range data.Result {
		one := drawn{name: regexp.MustCompile(`\{\{(\w+)\}\}`).ReplaceAllStringFunc(legend, func(label string) string { return r.Metric[strings.Trim(label, "{}")] })}
		if len(r.Values) == 0 {
			one.name += "\x00" + r.Metric["strategy"]
			r.Values = [][]any{r.Value}
		}
		for _, v := range r.Values {
			if y, err := strconv.ParseFloat(v[1].(string), 64); err == nil && !math.IsNaN(y) && !math.IsInf(y, 0) {
				one.points = append(one.points, [2]float64{v[0].(float64), y})
			}
		}
		if len(one.points) > 0 {
			all = append(all, one)
		}
	}
	return all
}

func colorOf(p panel, name string, i int) string {
	if color, ok := p.property(name, "color").(map[string]any); ok {
		return color["fixedColor"].(string)
	}
	if s, ok := strategies.Find(strings.Fields(name + " .")[0]); ok {
		return s.Dark
	}
	return palette[i%len(palette)]
}

// unitOf returns the unit of one series: an override's, by its name or by its query, or the panel's.
func unitOf(p panel, series, ref string) string {
	unit := p.FieldConfig.Defaults.Unit
	for _, o := range p.FieldConfig.Overrides {
		var name string
		if json.Unmarshal(o.Matcher.Options, &name) != nil || name != series && (o.Matcher.ID != "byFrameRefID" || name != ref) {
			continue
		}
		for _, property := range o.Properties {
			if text, ok := property.Value.(string); ok && property.ID == "unit" {
				unit = text
			}
		}
	}
	return unit
}

// stepColor returns the color that an override's thresholds give a value.
func stepColor(p panel, series string, v float64) string {
	color := "text"
	for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value == nil || v >= *step.Value {
			color = step.Color
		}
	}
	for _, o := range p.FieldConfig.Overrides {
		var name string
		if json.Unmarshal(o.Matcher.Options, &name) != nil || strings.ReplaceAll(name, "$baseline", "none") != series {
			continue
		}
		for _, property := range o.Properties {
			thresholds, _ := property.Value.(map[string]any)
			steps, _ := thresholds["steps"].([]any)
			for _, one := range steps {
				step, _ := one.(map[string]any)
				if from, bounded := step["value"].(float64); !bounded || v >= from {
					color, _ = step["color"].(string)
				}
			}
		}
	}
	return map[string]string{"green": "#73bf69", "orange": "#ff9830", "red": "#f2495c", "text": "#d8d9da"}[color]
}

// spell writes a value with its unit, three figures at most.
func spell(v float64, unit string) string {
	scaled := func(units []string, step float64) string {
		i := 0
		for math.Abs(v) >= step && i < len(units)-1 {
			v, i = v/step, i+1
		}
		return strconv.FormatFloat(v, 'g', 3, 64) + units[i]
	}
	switch {
	case v == 0:
		return "0"
	case unit == "s" && math.Abs(v) < 1e-3:
		return strconv.FormatFloat(v*1e6, 'g', 3, 64) + " µs"
	case unit == "s" && math.Abs(v) < 1:
		return strconv.FormatFloat(v*1e3, 'g', 3, 64) + " ms"
	case unit == "s":
		return strconv.FormatFloat(v, 'g', 3, 64) + " s"
	case unit == "percentunit":
		return strconv.FormatFloat(v*100, 'g', 3, 64) + " %"
	case unit == "suffix:x":
		return strconv.FormatFloat(v, 'g', 3, 64) + "x"
	case unit == "bytes":
		return scaled([]string{" B", " KiB", " MiB", " GiB"}, 1024)
	case unit == "ops" || unit == "reqps":
		return strconv.FormatFloat(v, 'g', 3, 64) + "/s"
	}
	return scaled([]string{"", " K", " M"}, 1000)
}

func figures(p panel, all []drawn, w, h float64) string {
	var out strings.Builder
	step := (h - 40) / float64(max(len(all), 1))
	for i, one := range all {
		name, _, _ := strings.Cut(one.name, "\x00")
		y := 40 + step*(float64(i)+0.62)
		fmt.Fprintf(&out, `<text x="16" y="%.0f" font-size="15" fill="#ccccdc">%s</text><text x="%.0f" y="%.0f" font-size="%.0f" fill="%s" text-anchor="end" font-weight="600">%s</text>`,
			y, html.EscapeString(name), w-20, y+4, min(30, step), stepColor(p, name, one.points[0][1]), spell(one.points[0][1], unitOf(p, name, one.ref)))
	}
	return out.String()
}

func table(p panel, all []drawn, w float64) string {
	var out strings.Builder
	var columns, lines []string
	cells := make(map[string]string)
	for _, one := range all {
		name, strategy, _ := strings.Cut(one.name, "\x00")
		if !slices.Contains(columns, name) {
			columns = append(columns, name)
		}
		if !slices.Contains(lines, strategy) {
			lines = append(lines, strategy)
		}
		cells[strategy+name] = spell(one.points[0][1], unitOf(p, name, one.ref))
	}
	columns = slices.DeleteFunc(columns, func(name string) bool { return name == "order" }) // hidden, in Grafana too
	slices.SortFunc(lines, func(a, b string) int {
		return cmp.Compare(slices.Index(strategies.Names(), a), slices.Index(strategies.Names(), b))
	})
	step := w / float64(len(columns)+1)
	for i, name := range columns {
		fmt.Fprintf(&out, `<text x="%.0f" y="52" class="note">%s</text>`, step*float64(i+1), html.EscapeString(name))
	}
	for j, strategy := range lines {
		y := 80 + 26*j
		fmt.Fprintf(&out, `<text x="12" y="%d" font-size="14" fill="%s" font-weight="600">%s</text>`, y, colorOf(p, strategy, 0), strategy)
		for i, name := range columns {
			fmt.Fprintf(&out, `<text x="%.0f" y="%d" font-size="14" fill="#ccccdc">%s</text>`, step*float64(i+1), y, cells[strategy+name])
		}
	}
	return out.String()
}

func graph(p panel, all []drawn, w, h float64) string {
	stacking, _ := p.FieldConfig.Defaults.Custom["stacking"].(map[string]any)
	scale, _ := p.FieldConfig.Defaults.Custom["scaleDistribution"].(map[string]any)
	logarithmic := scale["type"] == "log"
	stacked := stacking["mode"] == "percent" || stacking["mode"] == "normal"
	if stacked {
		all = slices.DeleteFunc(all, func(d drawn) bool { // hidden, in Grafana too
			return !slices.ContainsFunc(d.points, func(point [2]float64) bool { return point[1] > 0 })
		})
		all = stack(all, stacking["mode"] == "percent")
	}
	low, high, from, to := math.Inf(1), 0.0, math.Inf(1), 0.0
	for _, one := range all {
		for _, point := range one.points {
			if point[1] > 0 {
				low = min(low, point[1])
			}
			high, from, to = max(high, point[1]), min(from, point[0]), max(to, point[0])
		}
	}
	if high == 0 {
		high, low = 1, 0.1
	}
	if high <= low {
		low = high / 10
	}
	left, top, width, height := 62.0, 34.0, w-74, h-34-26
	at := func(v float64) float64 {
		if logarithmic {
			return top + height*(1-math.Log(max(v, low)/low)/math.Log(high/low))
		}
		return top + height*(1-v/high)
	}
	var out strings.Builder
	for i := range fewest + 1 {
		v := high * float64(i) / fewest
		if logarithmic {
			v = low * math.Pow(high/low, float64(i)/fewest)
		}
		fmt.Fprintf(&out, `<path d="M%.0f %.1fH%.0f" class="axis"/><text x="%.0f" y="%.1f" class="note" text-anchor="end">%s</text>`, left, at(v), left+width, left-6, at(v)+4, spell(v, p.FieldConfig.Defaults.Unit))
	}
	for i, one := range slices.Backward(all) {
		var path strings.Builder
		for j, point := range one.points {
			x := left + width*(point[0]-from)/max(to-from, 1)
			command := "L"
			if j == 0 || point[0]-one.points[j-1][0] > 5 {
				command = "M"
			}
			fmt.Fprintf(&path, "%s%.1f %.1f", command, x, at(point[1]))
		}
		fill := "none"
		if stacked {
			fmt.Fprintf(&path, "L%.1f %.1fL%.1f %.1fZ", left+width*(one.points[len(one.points)-1][0]-from)/max(to-from, 1), top+height, left+width*(one.points[0][0]-from)/max(to-from, 1), top+height)
			fill = colorOf(p, one.name, i)
		}
		style := ""
		if slices.ContainsFunc(p.FieldConfig.Overrides, func(o panelOverride) bool { return o.styles(one.name) }) {
			style = ` stroke-dasharray="2 5"`
		}
		fmt.Fprintf(&out, `<path d="%s" fill="%s" stroke="%s" stroke-width="1.6"%s/>`, path.String(), fill, colorOf(p, one.name, i), style)
	}
	x := left
	for i, one := range all {
		if x+float64(len(one.name))*6+20 > w {
			break
		}
		fmt.Fprintf(&out, `<rect x="%.0f" y="%.0f" width="10" height="3" fill="%s"/><text x="%.0f" y="%.0f" class="note">%s</text>`, x, h-13, colorOf(p, one.name, i), x+14, h-8, html.EscapeString(one.name))
		x += float64(len(one.name))*6 + 26
	}
	return out.String()
}

// stack adds each series to those before it, as shares of all of them if that is asked for.
func stack(all []drawn, share bool) []drawn {
	totals, sums := make(map[float64]float64), make(map[float64]float64)
	for _, one := range all {
		for _, point := range one.points {
			totals[point[0]] += point[1]
		}
	}
	for _, one := range all {
		for j, point := range one.points {
			v := point[1]
			if share && totals[point[0]] > 0 {
				v /= totals[point[0]]
			}
			sums[point[0]] += v
			one.points[j][1] = sums[point[0]]
		}
	}
	return all
}

// heat draws cumulative buckets as cells, the darker the more.
func heat(all []drawn, w, h float64) string {
	bound := func(d drawn) float64 { v, _ := strconv.ParseFloat(strings.SplitN(d.name, "\x00", 2)[0], 64); return v }
	slices.SortFunc(all, func(a, b drawn) int { return int(math.Copysign(1, bound(a)-bound(b))) })
	below, most := make(map[float64]float64), 0.0
	cells := make([]map[float64]float64, len(all))
	from, to := math.Inf(1), 0.0
	for i, one := range all {
		cells[i] = make(map[float64]float64)
		for _, point := range one.points {
			cells[i][point[0]], below[point[0]] = point[1]-below[point[0]], point[1]
			most, from, to = max(most, cells[i][point[0]]), min(from, point[0]), max(to, point[0])
		}
	}
	var out strings.Builder
	left, top := 62.0, 34.0
	cw, ch := (w-74)/max(to-from+1, 1), (h-44)/float64(max(len(all), 1))
	for i, one := range all {
		y := top + ch*float64(len(all)-1-i)
		if i%3 == 0 && !math.IsInf(bound(one), 0) {
			fmt.Fprintf(&out, `<text x="%.0f" y="%.1f" class="note" text-anchor="end">%s</text>`, left-6, y+ch, spell(bound(one), "s"))
		}
		for at, n := range cells[i] {
			if n > 0.01*most {
				fmt.Fprintf(&out, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#ff9830" opacity="%.2f"/>`, left+cw*(at-from), y, cw+0.3, ch-1, 0.12+0.88*math.Sqrt(n/most))
			}
		}
	}
	return out.String()
}
