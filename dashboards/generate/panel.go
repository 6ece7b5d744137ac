package main

import (
	"strings"

	"example.com/strata/strategies"
)

// query is one expression of a panel and what its series are called.
type query struct {
	expr, legend string
	exemplars    bool
}

func q(expr, legend string) query { return query{expr: expr, legend: legend} }

// withExemplars shows a histogram's exemplars as dots that lead to their traces.
func withExemplars(expr, legend string) query {
	return query{expr: expr, legend: legend, exemplars: true}
}

func targets(queries []query, instant bool, format string) []target {
	all := make([]target, 0, len(queries))
	for i, one := range queries {
		all = append(all, target{
			Datasource: prometheus, EditorMode: "code", Exemplar: one.exemplars, Expr: one.expr, Format: format, Instant: instant, Range: !instant,
			LegendFormat: one.legend, RefID: string(rune('A' + i)),
		})
	}
	return all
}

// graph adds a time series panel.
func (d *dashboard) graph(title, unit, description string, w int, queries ...query) *panel {
	zero := 0.0
	p := &panel{
		Type: "timeseries", Title: title, Description: description, Datasource: &prometheus, Targets: targets(queries, false, ""),
		FieldConfig: &fieldConfig{Defaults: defaults{
			Unit: unit, NoValue: d.noValue, Min: &zero, Mappings: []object{}, Color: object{"mode": "palette-classic"},
			Custom: object{
				"drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 2, "fillOpacity": 8, "gradientMode": "opacity", "showPoints": "never",
				"spanNulls": false, "axisPlacement": "auto", "axisLabel": "", "stacking": object{"mode": "none", "group": "A"}, "scaleDistribution": object{"type": "linear"},
			},
		}, Overrides: []override{}},
		Options: object{
			"legend":  object{"displayMode": "list", "placement": "bottom", "showLegend": true, "calcs": []string{}},
			"tooltip": object{"mode": "multi", "sort": "desc"},
		},
	}
	if unit == "percentunit" {
		p.FieldConfig.Defaults.Custom["axisSoftMax"] = 0.01 // or an axis of nothing but zeros goes to 10,000 %
	}
	return d.place(p, w, 8)
}

// byStrategy gives each strategy the color that it has everywhere: of the series whose names begin with its name.
func (p *panel) byStrategy() *panel {
	for _, s := range strategies.All() {
		p.override("byRegexp", "/^"+s.Name+"\\b.*/", object{"id": "color", "value": object{"mode": "fixed", "fixedColor": s.Dark}})
	}
	return p
}

// share stacks the series to 100 %.
func (p *panel) share() *panel {
	return p.pile("percent")
}

// stacked stacks the series.
func (p *panel) stacked() *panel {
	return p.pile("normal")
}

// pile stacks areas without lines: a line of a series that is zero would lie on the top of the stack, in its colour. Such a series is
// hidden altogether.
func (p *panel) pile(mode string) *panel {
	custom := p.FieldConfig.Defaults.Custom
	custom["stacking"] = object{"mode": mode, "group": "A"}
	custom["fillOpacity"], custom["lineWidth"], custom["gradientMode"] = 80, 0, "none"
	hidden := object{"id": "custom.hideFrom", "value": object{"tooltip": true, "viz": true, "legend": true}}
	zero := object{"id": "byValue", "options": object{"reducer": "allIsZero", "op": "gte", "value": 0}}
	p.FieldConfig.Overrides = append([]override{{zero, []object{hidden}}}, p.FieldConfig.Overrides...)
	return p
}

// logarithmic spreads what differs by orders of magnitude.
func (p *panel) logarithmic() *panel {
	p.FieldConfig.Defaults.Custom["scaleDistribution"] = object{"type": "log", "log": 10}
	p.FieldConfig.Defaults.Min = nil
	return p
}

// limit draws a dashed line.
func (p *panel) limit(at float64) *panel {
	p.FieldConfig.Defaults.Custom["thresholdsStyle"] = object{"mode": "dashed"}
	p.FieldConfig.Defaults.Custom["axisSoftMax"] = at * 1.2 // a limit that is far away is seen, too
	return p.thresholds("transparent", at, "red")
}

// thresholds colors values: first below, then pairs of a bound and the color from there on.
func (p *panel) thresholds(first string, pairs ...any) *panel {
	steps := []object{{"color": first, "value": nil}}
	for i := 0; i+1 < len(pairs); i += 2 {
		steps = append(steps, object{"value": pairs[i], "color": pairs[i+1]})
	}
	p.FieldConfig.Defaults.Thresholds = object{"mode": "absolute", "steps": steps}
	return p
}

// links adds data links to every series.
func (p *panel) links(l ...dataLink) *panel {
	p.FieldConfig.Defaults.Links = append(p.FieldConfig.Defaults.Links, l...)
	return p
}

// needs replaces what the panel says without data.
func (p *panel) needs(sentence string) *panel {
	p.FieldConfig.Defaults.NoValue = sentence
	return p
}

func (p *panel) height(h int) *panel {
	p.GridPos.H = h
	return p
}

func (p *panel) override(matcher, option string, properties ...object) *panel {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{object{"id": matcher, "options": option}, properties})
	return p
}

// named sets a unit, and the number of decimals, of one series of the panel.
func (p *panel) named(series, unit string, decimals int, more ...object) *panel {
	return p.override("byName", series, append([]object{{"id": "unit", "value": unit}, {"id": "decimals", "value": decimals}}, more...)...)
}

// stat adds a panel of large figures, computed over the whole time that is shown or at its end.
func (d *dashboard) stat(title, unit, description string, w int, queries ...query) *panel {
	p := &panel{
		Type: "stat", Title: title, Description: description, Datasource: &prometheus, Targets: targets(queries, true, ""),
		FieldConfig: &fieldConfig{Defaults: defaults{
			Unit: unit, NoValue: d.noValue, Mappings: []object{}, Color: object{"mode": "thresholds"},
			Thresholds: object{"mode": "absolute", "steps": []object{{"color": "text", "value": nil}}},
		}, Overrides: []override{}},
		Options: object{
			"colorMode": "value", "graphMode": "none", "justifyMode": "center", "orientation": "auto", "textMode": "value_and_name", "wideLayout": true,
			"reduceOptions": object{"calcs": []string{"lastNotNull"}, "fields": "", "values": false},
		},
	}
	return d.place(p, w, 5)
}

// table adds a table with one line a value of the first key and one column a query, whose legend is the column's name. Keys are
// separated by spaces.
func (d *dashboard) table(title, unit, keys, description string, w int, queries ...query) *panel {
	key, labels := strings.Fields(keys)[0], strings.Fields(keys)[1:]
	p := &panel{
		Type: "table", Title: title, Description: description, Datasource: &prometheus, Targets: targets(queries, true, "table"),
		FieldConfig: &fieldConfig{Defaults: defaults{
			Unit: unit, NoValue: d.noValue, Mappings: []object{}, Custom: object{"align": "auto", "cellOptions": object{"type": "auto"}},
		}, Overrides: []override{}},
		Options: object{"showHeader": true, "cellHeight": "sm"},
	}
	names, order := object{}, object{key: 0}
	for i, one := range queries {
		column := "Value #" + string(rune('A'+i))
		if len(queries) == 1 {
			column = "Value"
		}
		names[column], order[column] = one.legend, i+1
	}
	p.Transformations = []object{
		{"id": "merge", "options": object{}},
		{"id": "organize", "options": object{"excludeByName": object{"Time": true}, "indexByName": order, "renameByName": names}},
	}
	for _, one := range append([]string{key}, labels...) {
		p.override("byName", one, object{"id": "unit", "value": "string"}) // an id is not a number of anything
	}
	return d.place(p, w, 8)
}

// heatmap adds a histogram over time, from its classic buckets.
func (d *dashboard) heatmap(title, unit, description string, w int, expr string) *panel {
	p := &panel{
		Type: "heatmap", Title: title, Description: description, Datasource: &prometheus, Targets: targets([]query{q(expr, "{{le}}")}, false, "heatmap"),
		FieldConfig: &fieldConfig{Defaults: defaults{Unit: unit, NoValue: d.noValue, Mappings: []object{}, Custom: object{"scaleDistribution": object{"type": "linear"}}}, Overrides: []override{}},
		Options: object{
			"calculate": false, "cellGap": 1, "cellValues": object{"unit": "short"}, // cells count; the axis measures
			"color": object{"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange", "reverse": false, "scale": "exponential"},
			"yAxis": object{"unit": unit, "axisPlacement": "left", "reverse": false}, "tooltip": object{"mode": "single", "yHistogram": true, "showColorScale": true},
			"legend": object{"show": true}, "rowsFrame": object{"layout": "auto"}, "exemplars": object{"color": "rgba(255,0,255,0.7)"}, "filterValues": object{"le": 1e-9},
		},
	}
	return d.place(p, w, 8)
}

// repeat makes one copy of the panel for each value of a variable, side by side.
func (p *panel) repeat(variable string) *panel {
	p.Repeat, p.RepeatDirection, p.MaxPerRow = variable, "h", 6 // five strategies side by side
	return p
}

// keepVariables gives a URL's variables back the characters that escaping has taken.
func keepVariables(escaped string) string {
	return strings.NewReplacer("%24%7B", "${", "%7D%22", "}%22").Replace(escaped)
}

// full shows a share on an axis from 0 to 1, so that a dip looks as large as it is.
func (p *panel) full() *panel {
	one := 1.0
	p.FieldConfig.Defaults.Max = &one
	delete(p.FieldConfig.Defaults.Custom, "axisSoftMax")
	return p
}

func (p *panel) decimals(n int) *panel {
	p.FieldConfig.Defaults.Decimals = &n
	return p
}

// dotted draws the series whose names end so with thin dots, where two lines have one colour.
func (p *panel) dotted(ending string) *panel {
	return p.override("byRegexp", "/"+ending+"$/",
		object{"id": "custom.lineStyle", "value": object{"fill": "dot", "dash": []int{2, 6}}}, object{"id": "custom.lineWidth", "value": 1})
}

// timeline adds bands of states over time: below 0.5 one, above it the other.
func (d *dashboard) timeline(title, description string, w int, low, high [2]string, queries ...query) *panel {
	state := func(s [2]string) object { return object{"text": s[0], "color": s[1]} }
	p := &panel{
		Type: "state-timeline", Title: title, Description: description, Datasource: &prometheus, Targets: targets(queries, false, ""),
		FieldConfig: &fieldConfig{Defaults: defaults{
			Unit: "none", NoValue: d.noValue, Color: object{"mode": "thresholds"}, Custom: object{"fillOpacity": 80, "lineWidth": 0, "spanNulls": false},
			Mappings: []object{
				{"type": "range", "options": object{"from": nil, "to": 0.5, "result": state(low)}},
				{"type": "range", "options": object{"from": 0.5, "to": nil, "result": state(high)}},
			},
			Thresholds: object{"mode": "absolute", "steps": []object{{"color": low[1], "value": nil}, {"color": high[1], "value": 0.5}}},
		}, Overrides: []override{}},
		Options: object{
			"mergeValues": true, "showValue": "never", "alignValue": "left", "rowHeight": 0.8,
			"legend": object{"displayMode": "list", "placement": "bottom", "showLegend": true}, "tooltip": object{"mode": "single", "sort": "none"},
		},
	}
	return d.place(p, w, 6)
}

// strip adds the figures that answer a board's question before anything else does: four, on one line.
func (d *dashboard) strip(figures ...figure) {
	for _, f := range figures {
		p := d.stat(f.title, f.unit, f.description, 24/len(figures), f.query).height(3)
		p.Options["textMode"] = "value"
		if len(f.steps) > 0 {
			p.thresholds(f.steps[0].(string), f.steps[1:]...)
		}
	}
}

// figure is one of a strip. Its steps are a colour, and then pairs of a bound and the colour from there on.
type figure struct {
	title, unit, description string
	query                    query
	steps                    []any
}
