package dashboards

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// look walks through every panel of every board, and through every expression of each.
func objections(boards []board, k known) []string {
	var all []string
	uids := make(map[string]string)
	for _, b := range boards {
		if other, taken := uids[b.UID]; taken {
			all = append(all, fmt.Sprintf("%s: has the uid %q of %s", b.file, b.UID, other))
		}
		uids[b.UID] = b.file
	}
	for _, b := range boards {
		all = append(all, b.objections()...)
		for _, a := range b.Annotations.List {
			for _, o := range k.query(a.Expr, "") {
				all = append(all, fmt.Sprintf("%s: annotation %q: %s", b.file, a.Name, o))
			}
		}
		for _, p := range b.queries() {
			say := func(format string, args ...any) { all = append(all, p.String()+": "+fmt.Sprintf(format, args...)) }
			for _, l := range p.FieldConfig.Defaults.Links {
				uid := regexp.MustCompile(`^/d/([\w-]+)`).FindStringSubmatch(l.URL)
				if uid != nil && uids[uid[1]] == "" {
					say("link %q leads to %s, which is no board", l.Title, uid[1])
				}
				if uid == nil && !strings.HasPrefix(l.URL, "/explore?") && !strings.HasPrefix(l.URL, "/d/${__data.fields.dashboard}?") {
					say("link %q leads neither to a board nor to traces: %s", l.Title, l.URL)
				}
			}
			for _, one := range p.Targets {
				for _, o := range append(k.query(one.Expr, one.LegendFormat), mistakes(p, one)...) {
					say("query %s: %s", one.RefID, o)
				}
			}
		}
	}
	return all
}

// objections returns what is wrong with a board itself, without a look at its expressions.
func (b board) objections() []string {
	var all []string
	say := func(p panel, format string, args ...any) {
		all = append(all, p.String()+": "+fmt.Sprintf(format, args...))
	}
	if !regexp.MustCompile(`^strata-[a-z]+$`).MatchString(b.UID) || b.Title == "" || b.Description == "" {
		all = append(all, fmt.Sprintf("%s: needs a uid of the form strata-name, a title and a description; has %q, %q, %q", b.file, b.UID, b.Title, b.Description))
	}
	if b.SchemaVersion < 39 || b.SchemaVersion > 41 {
		all = append(all, fmt.Sprintf("%s: schemaVersion %d; Grafana 13 reads 39 to 41 as they are", b.file, b.SchemaVersion))
	}
	if len(b.Templating.List) == 0 || b.Templating.List[0].Name != "datasource" || b.Templating.List[0].Type != "datasource" {
		all = append(all, b.file+": the first variable must be the data source")
	}
	ids := make(map[int]string)
	for i, p := range b.all() {
		if other, taken := ids[p.ID]; taken {
			say(p, "has the id of %s", other)
		}
		ids[p.ID] = p.String()
		g := p.GridPos
		if g.W <= 0 || g.H <= 0 || g.X < 0 || g.X+g.W > 24 {
			say(p, "does not lie on the grid: %+v", g)
		}
		for _, q := range b.all()[:i] {
			o := q.GridPos
			if !b.together(p, q) {
				continue
			}
			if g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H {
				say(p, "overlaps %s", q)
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" {
			say(p, "has no description")
		}
		if p.Type == "text" {
			continue
		}
		if p.Title == "" {
			say(p, "has no title")
		}
		if p.FieldConfig.Defaults.Unit == "" {
			say(p, "has no unit")
		}
		if !strings.Contains(p.FieldConfig.Defaults.NoValue, "make ") && p.FieldConfig.Defaults.NoValue != "No alert fires" {
			say(p, "does not say without data what to run: %q", p.FieldConfig.Defaults.NoValue)
		}
		if p.Datasource == nil || p.Datasource.UID != "$datasource" {
			say(p, "does not use the variable $datasource")
		}
		for _, one := range p.Targets {
			if one.Datasource.UID != "$datasource" {
				say(p, "query %s does not use the variable $datasource", one.RefID)
			}
			if regexp.MustCompile(`\[[^$\]]`).MatchString(one.Expr) {
				say(p, "query %s has a fixed range: use $__rate_interval or $__range", one.RefID)
			}
		}
		if len(p.Targets) == 0 {
			say(p, "has no query")
		}
	}
	return all
}

// together tells whether two panels are laid out on one grid: a closed row has one of its own.
func (b board) together(p, q panel) bool {
	inside := func(x panel) int {
		for _, row := range b.Panels {
			if slices.ContainsFunc(row.Panels, func(inner panel) bool { return inner.ID == x.ID }) {
				return row.ID
			}
		}
		return 0
	}
	return inside(p) == inside(q)
}

// query returns what an expression reads that is not known, and what its legend names that it does not return.
func (k known) query(text, legend string) []string {
	expr, err := parse(plain.fill(text))
	if err != nil {
		return []string{err.Error()}
	}
	all := k.unknown(expr)
	if len(all) > 0 {
		return all
	}
	out := k.out(expr)
	for _, found := range regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`).FindAllStringSubmatch(legend, -1) {
		if _, has := out[found[1]]; !has {
			all = append(all, fmt.Sprintf("the legend names the label %q, which the query does not return", found[1]))
		}
	}
	return all
}

// unknown returns the metrics, labels and values that an expression reads and nobody writes.
func (k known) unknown(expr parser.Expr) []string {
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		switch e := node.(type) {
		case *parser.VectorSelector:
			m, has := k[name(e)]
			if !has {
				say("nobody exports the metric %q", name(e))
				return nil
			}
			for _, matcher := range e.LabelMatchers {
				all = append(all, m.unknownValues(name(e), matcher)...)
			}
			if call := around(path); call != "" && m.kind == "gauge" && slices.Contains([]string{"rate", "irate", "increase"}, call) {
				say("%s() of %q, which is a gauge", call, name(e))
			} else if m.kind == "counter" && call == "" && !strings.HasPrefix(name(e), "pg_") && !slices.Contains(mayBeRead, name(e)) {
				say("reads the counter %q without rate() or increase()", name(e))
			}
		case *parser.AggregateExpr:
			in := k.out(e.Expr)
			for _, label := range e.Grouping {
				if _, has := in[label]; !has && len(in) > 0 {
					say("groups by the label %q, which %s does not have", label, e.Expr)
				}
			}
		case *parser.BinaryExpr:
			if e.VectorMatching == nil || !e.VectorMatching.On {
				return nil
			}
			for _, label := range e.VectorMatching.MatchingLabels {
				for _, side := range []parser.Expr{e.LHS, e.RHS} {
					if in := k.out(side); len(in) > 0 {
						if _, has := in[label]; !has {
							say("matches on the label %q, which %s does not have", label, side)
						}
					}
				}
			}
		}
		return nil
	})
	return all
}

// mayBeRead are counters whose value as such is shown: so few that each counts.
var mayBeRead = []string{"strata_epoch_resets_total"}

// around returns the function over the range that a selector is in.
func around(path []parser.Node) string {
	for i := len(path) - 1; i >= 0; i-- {
		if call, ok := path[i].(*parser.Call); ok {
			return call.Func.Name
		}
		if _, ok := path[i].(*parser.MatrixSelector); !ok {
			return ""
		}
	}
	return ""
}

func (m metric) unknownValues(of string, matcher *labels.Matcher) []string {
	if matcher.Name == model.MetricNameLabel {
		return nil
	}
	values, has := m.labels[matcher.Name]
	if !has {
		return []string{fmt.Sprintf("%q has no label %q", of, matcher.Name)}
	}
	if values == nil || matcher.Value == "" {
		return nil
	}
	wanted := []string{matcher.Value}
	if matcher.Type == labels.MatchRegexp || matcher.Type == labels.MatchNotRegexp {
		if wanted = matcher.SetMatches(); len(wanted) == 0 {
			wanted = strings.Split(matcher.Value, "|")
		}
	}
	var all []string
	for _, value := range wanted {
		if !slices.Contains(values, value) {
			all = append(all, fmt.Sprintf("the label %q of %q is never %q, only %s", matcher.Name, of, value, strings.Join(values, ", ")))
		}
	}
	return all
}

func TestBoardsReadOnlyWhatSomebodyExports(t *testing.T) {
	for _, o := range objections(readBoards(t), readKnown(t)) {
		t.Error(o)
	}
}

func TestRulesReadOnlyWhatSomebodyExports(t *testing.T) {
	k := readKnown(t)
	for _, r := range readRules(t) {
		for _, o := range k.query(r.Expr, "") {
			t.Errorf("%s: %s", r, o)
		}
	}
}

func TestARenamedMetricIsRefusedByTheNameOfItsPanels(t *testing.T) {
	k := readKnown(t)
	delete(k, "strata_feed_age_seconds")
	all := strings.Join(objections(readBoards(t), k), "\n")
	for _, want := range []string{
		`freshness.json: panel 4 "Feed, worst replica": query A: nobody exports the metric "strata_feed_age_seconds"`,
		`caching.json: panel `,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no objection has %q:\n%s", want, all)
		}
	}
}

func TestAMetricOfAnotherJobIsRefused(t *testing.T) {
	got := readKnown(t).query(`process_resident_memory_bytes{job="otel-collector"}`, "")
	if len(got) != 1 || !strings.Contains(got[0], `is never "otel-collector"`) {
		t.Errorf("objections %q, want one that the collector has no such metric", got)
	}
}

func TestAlertsLeadToABoardAndAHeadingOfTheRunbook(t *testing.T) {
	text, err := os.ReadFile("../deploy/prometheus/RUNBOOK.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := make(map[string]bool)
	for line := range strings.Lines(string(text)) {
		if heading, ok := strings.CutPrefix(strings.TrimSpace(line), "## "); ok {
			headings[strings.ToLower(heading)] = true
		}
	}
	uids, shown := make(map[string]bool), panel{}
	for _, b := range readBoards(t) {
		uids[b.UID] = true
		for _, p := range b.all() {
			if content, _ := p.Options["content"].(string); b.UID == "strata-telemetry" && content == string(text) {
				shown = p
			}
		}
	}
	if shown.ID == 0 {
		t.Fatal("no panel of telemetry.json shows the runbook as it is")
	}
	// Prometheus' own page makes links of URLs only, and Grafana is where the external label grafana says.
	const grafana = "{{ with $externalLabels.grafana }}{{ . }}{{ else }}http://localhost:3000{{ end }}/d/"
	tested := ""
	for _, file := range ruleTests(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tested += string(text)
	}
	for _, r := range readRules(t) {
		if r.Alert == "" {
			continue
		}
		if want := fmt.Sprintf("%sstrata-telemetry?viewPanel=%d", grafana, shown.ID); r.Annotations["runbook_url"] != want || !headings[strings.ToLower(r.Alert)] {
			t.Errorf("%s: runbook_url is %q, want %q and a heading there", r, r.Annotations["runbook_url"], want)
		}
		if want := grafana + r.Annotations["dashboard"]; r.Annotations["dashboard_url"] != want {
			t.Errorf("%s: dashboard_url is %q, want %q", r, r.Annotations["dashboard_url"], want)
		}
		if !uids[r.Annotations["dashboard"]] {
			t.Errorf("%s: leads to the board %q, which is none", r, r.Annotations["dashboard"])
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
			t.Errorf("%s: needs a summary, a description and a severity", r)
		}
		for _, kind := range []string{"fires", "is quiet"} {
			if !strings.Contains(tested, "name: "+r.Alert+" "+kind) {
				t.Errorf("%s: no case of deploy/prometheus/rules/tests says that it %s", r, kind)
			}
		}
	}
}
