package main

import (
	"fmt"
	"net/url"
)

// noLoad is what a panel says that needs traffic.
const noLoad = "No data yet: run `make load`"

// newBoard returns a board without panels. Its folder, data sources and home page are Grafana's provisioning.
func newBoard(uid, title, description string) *dashboard {
	d := &dashboard{
		UID: uid, Title: title, Description: description, Tags: []string{"strata"},
		Editable: true, GraphTooltip: 1, Refresh: "15s", SchemaVersion: 41, Timezone: "browser", Version: 1,
		Time:        object{"from": "now-15m", "to": "now"},
		Links:       []link{{AsDropdown: true, KeepTime: true, IncludeVars: true, Tags: []string{"strata"}, Title: "Boards", Type: "dashboards"}},
		Annotations: annotations(nil),
		noValue:     noLoad,
	}
	d.add(object{
		"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "hide": 0,
		"current": object{"selected": false, "text": "Prometheus", "value": "prometheus"}, "includeAll": false, "multi": false, "options": []any{}, "regex": "",
	})
	return d
}

// add adds a variable.
func (d *dashboard) add(v variable) {
	d.variables = append(d.variables, v)
	d.Templating = object{"list": d.variables}
}

// choose adds a variable of several values that a query finds; all are chosen.
func (d *dashboard) choose(name, label, query, regex string) {
	d.chooseInOrder(name, label, query, regex)
	d.variables[len(d.variables)-1]["sort"] = 1
}

// instance adds a variable of the service's replicas. What the board reads of them is narrowed to those that are chosen.
func (d *dashboard) instance() {
	d.choose("instance", "Replicas", `label_values(strata_build_info, instance)`, "")
	d.variables[len(d.variables)-1]["allValue"] = ".*"
	d.narrowed = true
}

// run adds a variable of k6's runs: whoever visits at the same time has a tag of its own.
func (d *dashboard) run() {
	d.choose("run", "Runs of k6", `label_values(k6_vus, run)`, "")
	d.variables[len(d.variables)-1]["allValue"] = ".*"
}

// chooseInOrder is choose where the query's order means something.
func (d *dashboard) chooseInOrder(name, label, query, regex string) {
	d.add(object{
		"name": name, "label": label, "type": "query", "datasource": prometheus, "definition": query, "query": object{"query": query, "refId": "variable"},
		"regex": regex, "refresh": 2, "hide": 0, "includeAll": true, "multi": true, "allValue": "", "sort": 0, "options": []any{},
		"current": object{"selected": true, "text": []string{"All"}, "value": []string{"$__all"}},
	})
}

// faults are what shades the panels of most boards.
const faults = "RedisBreakerOpen|FeedBlind|PostgresDown|RedisDown|TargetDown"

// annotations are what happened, drawn over the panels: each is a query, so nothing has to be told to Grafana. A series that lasts is a
// region, from the first value to the last; values must be above 0, or Grafana drops them. Faults shade only the panels with these ids,
// if there are any.
func annotations(shaded []int) object {
	note := func(name, color, expr, title string) object {
		return object{
			"name": name, "datasource": prometheus, "enable": true, "hide": false, "iconColor": color, "expr": expr, "step": "5s",
			"titleFormat": title, "textFormat": "", "useValueForTime": false,
		}
	}
	fault := note("Faults", "red", `ALERTS{alertname=~"`+faults+`", alertstate="firing"} == 1`, "{{alertname}} {{instance}}")
	if len(shaded) > 0 {
		fault["filter"] = object{"exclude": false, "ids": shaded}
	}
	return object{"list": []object{
		note("Strategy changes", "purple", `sum by (strategy) (strata_strategy_info == 1) unless sum by (strategy) (strata_strategy_info offset 10s == 1)`, "now {{strategy}}"),
		note("k6 runs", "blue", `count by (strategy, run) (k6_vus{run!="visitors"})`, "k6: {{strategy}} {{run}}"),
		fault,
	}}
}

// shade has faults shade the panels that were added last, and no others.
func (d *dashboard) shade(panels ...*panel) {
	for _, p := range panels {
		d.shaded = append(d.shaded, p.ID)
	}
	d.Annotations = annotations(d.shaded)
}

// row begins a titled part of the board.
func (d *dashboard) row(title string) {
	d.begin(title, false)
}

// closed begins a part that asks nothing until it is opened.
func (d *dashboard) closed(title string) {
	d.begin(title, true)
}

func (d *dashboard) begin(title string, collapsed bool) {
	inner := []*panel{}
	d.place(&panel{Type: "row", Title: title, Collapsed: &collapsed, Panels: &inner}, 24, 1)
	d.inner = &inner
	if !collapsed {
		d.inner = nil
	}
}

// place adds a panel: beside the last one, or below if there is no room.
func (d *dashboard) place(p *panel, w, h int) *panel {
	p.GridPos = grid{H: h, W: w}
	d.last++
	p.ID = d.last
	if d.inner != nil && p.Type != "row" {
		*d.inner = append(*d.inner, p)
		return p
	}
	d.Panels = append(d.Panels, p)
	return p
}

// layOut gives each panel its place on the grid, which is 24 wide: in the order of their making, a line as high as its highest. The
// panels of a closed row lie below it as if nothing came after.
func (d *dashboard) layOut() {
	layOut(d.Panels, 0)
	for _, p := range d.Panels {
		if p.Panels != nil {
			layOut(*p.Panels, p.GridPos.Y+1)
		}
	}
}

func layOut(panels []*panel, y int) {
	x, high := 0, 0
	for _, p := range panels {
		if p.Type == "row" || x+p.GridPos.W > 24 {
			x, y, high = 0, y+high, 0
		}
		p.GridPos.X, p.GridPos.Y = x, y
		x, high = x+p.GridPos.W, max(high, p.GridPos.H)
	}
}

// text adds a panel of Markdown.
func (d *dashboard) text(markdown string, h int) {
	d.place(&panel{
		Type: "text", Title: "", Description: "What this board answers, and how to read it.",
		Options: object{"mode": "markdown", "content": markdown, "code": object{"language": "plaintext", "showLineNumbers": false, "showMiniMap": false}},
	}, 24, h)
}

// board is a data link to another board, at the same time.
func board(title, uid string) dataLink {
	return dataLink{Title: title, URL: "/d/" + uid + "?${__url_time_range}&${datasource:queryparam}"}
}

// traces is a data link to the traces of the time that is shown. TraceQL chooses them.
func traces(title, query string) dataLink {
	pane := fmt.Sprintf(`{"strata":{"datasource":"tempo","queries":[{"refId":"A","datasource":{"type":"tempo","uid":"tempo"},"queryType":"traceql","limit":20,"query":%q}],"range":{"from":"${__from}","to":"${__to}"}}}`, query)
	return dataLink{Title: title, URL: "/explore?schemaVersion=1&orgId=1&panes=" + keepVariables(url.QueryEscape(pane)), TargetBlank: true}
}
