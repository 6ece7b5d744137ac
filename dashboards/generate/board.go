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
		Editable: true, GraphTooltip: 1, Refresh: "5s", SchemaVersion: 41, Timezone: "browser", Version: 1,
		Time:        object{"from": "now-15m", "to": "now"},
		Links:       []link{{AsDropdown: true, KeepTime: true, IncludeVars: true, Tags: []string{"strata"}, Title: "Boards", Type: "dashboards"}},
		Annotations: annotations(),
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
	d.add(object{
		"name": name, "label": label, "type": "query", "datasource": prometheus, "definition": query, "query": object{"query": query, "refId": "variable"},
		"regex": regex, "refresh": 2, "hide": 0, "includeAll": true, "multi": true, "allValue": "", "sort": 1, "options": []any{},
		"current": object{"selected": true, "text": []string{"All"}, "value": []string{"$__all"}},
	})
}

// annotations are what happened, drawn over every panel: each is a query, so nothing has to be told to Grafana.
func annotations() object {
	note := func(name, color, expr, title string) object {
		return object{
			"name": name, "datasource": prometheus, "enable": true, "hide": false, "iconColor": color, "expr": expr, "step": "5s",
			"titleFormat": title, "textFormat": "", "useValueForTime": false,
		}
	}
	return object{"list": []object{
		note("Strategy changes", "purple", `sum by (strategy) (strata_strategy_info == 1) unless sum by (strategy) (strata_strategy_info offset 10s == 1)`, "now {{strategy}}"),
		note("k6 runs", "blue", `sum by (strategy) (k6_vus) unless sum by (strategy) (k6_vus offset 10s)`, "k6 begins: {{strategy}}"),
		note("Faults", "red", `ALERTS{alertname=~"RedisBreakerOpen|FeedBlind|PostgresDown|RedisDown|TargetDown", alertstate="firing"}`, "{{alertname}} {{instance}}"),
	}}
}

// row begins a titled part of the board.
func (d *dashboard) row(title string) {
	open, none := false, []*panel{}
	d.place(&panel{Type: "row", Title: title, Collapsed: &open, Panels: &none}, 24, 1)
}

// place adds a panel: beside the last one, or below if there is no room.
func (d *dashboard) place(p *panel, w, h int) *panel {
	p.GridPos = grid{H: h, W: w}
	p.ID = len(d.Panels) + 1
	d.Panels = append(d.Panels, p)
	return p
}

// layOut gives each panel its place on the grid, which is 24 wide: in the order of their making, a line as high as its highest.
func (d *dashboard) layOut() {
	x, y, high := 0, 0, 0
	for _, p := range d.Panels {
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
