package dashboards

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"strata/strategies"
)

// fault is a kind of fault that a board can have although each of its queries is answered: seen in a real Grafana, and looked for on
// every panel of every board. Find returns a sentence for each place.
type fault struct {
	kind string
	find func(panel) []string
}

// faults of panels; those of whole boards are below.
var faults = []fault{
	{"a variable in a matcher, which Grafana does not fill in", variableInMatcher},
	{"cells of a heatmap in the unit of its axis", unitOfCells},
	{"an id that a unit turns into a quantity", idsWithUnits},
	{"a stack whose top line is a series that is zero", stackWithLines},
	{"a percent axis that goes to 10,000 % where all is zero", axisOfNothing},
	{"a limit outside of the axis", limitOutside},
	{"something divided by almost no requests", dividedByNothing},
	{"a sum over replicas called a strategy's", sumOfReplicas},
	{"a quantile of buckets too wide to have one", quantileOfWideBuckets},
	{"several lines in one colour", linesInOneColour},
	{"topk in a range query, which shows more than k and gaps", topkOverTime},
	{"a title that is cut", titleCut},
	{"a legend or a table that is clipped", clipped},
	{"an option that Grafana has given up", deprecated},
}

func TestNoBoardHasAFaultOfAKnownKind(t *testing.T) {
	for _, f := range faults {
		t.Run(f.kind, func(t *testing.T) {
			for _, b := range readBoards(t) {
				for _, p := range b.all() {
					for _, sentence := range f.find(p) {
						t.Errorf("%s: %s", p, sentence)
					}
				}
			}
		})
	}
}

func custom(p panel, name string) map[string]any {
	m, _ := p.FieldConfig.Defaults.Custom[name].(map[string]any)
	return m
}

func variableInMatcher(p panel) (all []string) {
	for _, o := range p.FieldConfig.Overrides {
		if regexp.MustCompile(`\$(\w|\{)`).Match(o.Matcher.Options) {
			all = append(all, fmt.Sprintf("the matcher %s is taken by the letter", o.Matcher.Options))
		}
	}
	return all
}

func unitOfCells(p panel) []string {
	cells, _ := p.Options["cellValues"].(map[string]any)
	if p.Type == "heatmap" && cells["unit"] != "short" {
		return []string{fmt.Sprintf("its cells are counts, and are shown in %q", p.FieldConfig.Defaults.Unit)}
	}
	return nil
}

func idsWithUnits(p panel) (all []string) {
	if p.Type != "table" {
		return nil
	}
	for _, one := range p.Targets {
		expr, err := parse(plain.fill(one.Expr))
		if err != nil {
			continue
		}
		for _, label := range grouping(expr) {
			if p.property(label, "unit") != "string" {
				all = append(all, fmt.Sprintf("the column %s would be shown in %q", label, p.FieldConfig.Defaults.Unit))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// grouping are the labels that an expression keeps by name.
func grouping(expr parser.Expr) []string {
	found := make(map[string]bool)
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		outermost := !slices.ContainsFunc(path, func(n parser.Node) bool { _, is := n.(*parser.AggregateExpr); return is })
		if a, ok := node.(*parser.AggregateExpr); ok && !a.Without && (outermost || a.Op == parser.TOPK) {
			for _, label := range a.Grouping {
				found[label] = true
			}
		} else if ok && len(a.Grouping) > 0 {
			for _, label := range a.Grouping {
				found[label] = found[label] || insideTopk(path)
			}
		}
		return nil
	})
	maps.DeleteFunc(found, func(label string, kept bool) bool { return !kept || label == "le" })
	return slices.Sorted(maps.Keys(found))
}

func insideTopk(path []parser.Node) bool {
	for _, n := range path {
		if a, ok := n.(*parser.AggregateExpr); ok && a.Op != parser.TOPK && a.Op != parser.BOTTOMK {
			return false
		}
	}
	return true
}

func stackWithLines(p panel) (all []string) {
	mode := custom(p, "stacking")["mode"]
	if p.Type != "timeseries" || mode != "normal" && mode != "percent" {
		return nil
	}
	if width, _ := p.FieldConfig.Defaults.Custom["lineWidth"].(float64); width > 0 {
		all = append(all, "the line of a series that is zero lies on top of the stack")
	}
	if !slices.ContainsFunc(p.FieldConfig.Overrides, func(o panelOverride) bool {
		return o.Matcher.ID == "byValue" && strings.Contains(string(o.Matcher.Options), `allIsZero`) && len(o.Properties) > 0 && o.Properties[0].ID == "custom.hideFrom"
	}) {
		all = append(all, "a series that is zero is not hidden")
	}
	return all
}

func axisOfNothing(p panel) []string {
	d := p.FieldConfig.Defaults
	soft, isSoft := d.Custom["axisSoftMax"].(float64)
	if p.Type == "timeseries" && d.Unit == "percentunit" && custom(p, "stacking")["mode"] != "percent" && (d.Max == nil || *d.Max > 1) && (!isSoft || soft <= 0) {
		return []string{"the axis has neither an end nor a soft one"}
	}
	return nil
}

func limitOutside(p panel) (all []string) {
	if p.Type != "timeseries" || custom(p, "thresholdsStyle")["mode"] == nil || custom(p, "thresholdsStyle")["mode"] == "off" {
		return nil
	}
	soft, _ := p.FieldConfig.Defaults.Custom["axisSoftMax"].(float64)
	if p.FieldConfig.Defaults.Max != nil {
		soft = *p.FieldConfig.Defaults.Max
	}
	for _, step := range p.FieldConfig.Defaults.Thresholds.Steps {
		if step.Value != nil && *step.Value > soft {
			all = append(all, fmt.Sprintf("the limit %g is above the axis while all values are small", *step.Value))
		}
	}
	return all
}

func dividedByNothing(p panel) (all []string) {
	for _, one := range p.Targets {
		all = append(all, smallDivisors(one.Expr)...)
	}
	return all
}

var ratioOrQuantile = regexp.MustCompile(`:(ratio|p\d\d_)`)

// smallDivisors finds what a run's edges make of a ratio: the extreme of a recorded one, and a division of one thing by the number of
// another, where a few of the latter are enough for any value. A share of the same counter stays between 0 and 1.
func smallDivisors(text string) (all []string) {
	expr, err := parse(plain.fill(text))
	if err != nil {
		return nil
	}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		switch e := node.(type) {
		case *parser.Call:
			if names := read(e); (e.Func.Name == "max_over_time" || e.Func.Name == "min_over_time") && slices.ContainsFunc(names, ratioOrQuantile.MatchString) {
				all = append(all, fmt.Sprintf("%s of %s is that of the run's first and last moments", e.Func.Name, strings.Join(names, ", ")))
			}
		case *parser.BinaryExpr:
			if e.Op == parser.DIV && !related(read(e.LHS), read(e.RHS)) && countsRequests(e.RHS) && bound(e.RHS) <= 0 {
				all = append(all, fmt.Sprintf("%s may be almost 0", e.RHS))
			}
		}
		return nil
	})
	return all
}

// related tells whether two sides of a division read the same metrics.
func related(left, right []string) bool {
	base := func(name string) string {
		return regexp.MustCompile(`(_sum|_count|_bucket|_total)$`).ReplaceAllString(name, "")
	}
	for _, name := range left {
		if slices.ContainsFunc(right, func(other string) bool { return base(other) == base(name) }) {
			return true
		}
	}
	return false
}

func countsRequests(e parser.Expr) bool {
	return slices.ContainsFunc(read(e), func(name string) bool {
		return strings.HasPrefix(name, "http_server_request_duration_seconds") || strings.Contains(name, "requests:rate")
	})
}

// bound is what a divisor is compared with: x > 10.
func bound(e parser.Expr) float64 {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return bound(e.Expr)
	case *parser.BinaryExpr:
		if n, ok := e.RHS.(*parser.NumberLiteral); ok && (e.Op == parser.GTR || e.Op == parser.GTE) {
			return n.Val
		}
	}
	return 0
}

func TestNoRuleDividesByAlmostNothing(t *testing.T) {
	for _, r := range readRules(t) {
		if strings.HasPrefix(r.Record, "strategy:") {
			for _, sentence := range smallDivisors(r.Expr) {
				t.Errorf("%s: %s", r, sentence)
			}
		}
	}
}

var ofAProcess = regexp.MustCompile(`^(process_resident|go_gc_heap|go_memstats|go_goroutines|strata_cache_(size|entries))|strategy:process_resident_memory_bytes:sum$`)

func sumOfReplicas(p panel) (all []string) {
	for _, one := range p.Targets {
		expr, err := parse(plain.fill(one.Expr))
		if err != nil {
			continue
		}
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if v, ok := node.(*parser.VectorSelector); ok && strings.HasSuffix(name(v), "_bytes:sum") {
				all = append(all, fmt.Sprintf("%s is of as many replicas as there happen to be", name(v)))
			}
			if a, ok := node.(*parser.AggregateExpr); ok && a.Op == parser.SUM && slices.Equal(a.Grouping, []string{"strategy"}) && slices.ContainsFunc(read(a), ofAProcess.MatchString) {
				all = append(all, fmt.Sprintf("%s is of as many replicas as there happen to be", a))
			}
			return nil
		})
	}
	return all
}

// wide are the histograms whose bounds are so far apart that a quantile says next to nothing: entries' ages go from a minute to an hour
// in three steps, so that a process of 13 minutes had served one of 14. They have a sum, and so a mean.
var wide = []string{"strata_cache_entry_age_seconds_bucket"}

func quantileOfWideBuckets(p panel) (all []string) {
	for _, one := range p.Targets {
		expr, err := parse(plain.fill(one.Expr))
		if err != nil {
			continue
		}
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if c, ok := node.(*parser.Call); ok && c.Func.Name == "histogram_quantile" {
				for _, metric := range read(c) {
					if slices.Contains(wide, metric) {
						all = append(all, "a quantile of "+metric)
					}
				}
			}
			return nil
		})
	}
	return all
}

// linesInOneColour: where colours say strategies, a panel has one line of each, or tells the others apart by their style.
func linesInOneColour(p panel) (all []string) {
	coloured := slices.ContainsFunc(p.FieldConfig.Overrides, func(o panelOverride) bool { return strings.Contains(string(o.Matcher.Options), "/^none") })
	if !coloured {
		return nil
	}
	plainLines := 0
	for _, one := range p.Targets {
		for _, label := range regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`).FindAllStringSubmatch(one.LegendFormat, -1) {
			if label[1] != "strategy" {
				all = append(all, fmt.Sprintf("the lines of query %s differ by %s and not by colour", one.RefID, label[1]))
			}
		}
		if strings.HasPrefix(one.LegendFormat, "{{strategy}}") && !slices.ContainsFunc(p.FieldConfig.Overrides, func(o panelOverride) bool { return o.styles(one.LegendFormat) }) {
			plainLines++
		}
	}
	if plainLines > 1 {
		all = append(all, fmt.Sprintf("has %d lines of each strategy in its colour", plainLines))
	}
	return all
}

// styles tells whether an override draws the series with this ending in another way.
func (o panelOverride) styles(legend string) bool {
	var pattern string
	if json.Unmarshal(o.Matcher.Options, &pattern) != nil {
		return false
	}
	r, err := regexp.Compile(strings.Trim(pattern, "/"))
	return err == nil && r.MatchString(legend) && slices.ContainsFunc(o.Properties, func(p panelProperty) bool { return p.ID == "custom.lineStyle" })
}

func topkOverTime(p panel) (all []string) {
	for _, one := range p.Targets {
		expr, err := parse(plain.fill(one.Expr))
		if err != nil || !one.Range {
			continue
		}
		parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
			if a, ok := node.(*parser.AggregateExpr); ok && (a.Op == parser.TOPK || a.Op == parser.BOTTOMK) {
				all = append(all, fmt.Sprintf("query %s: %s", one.RefID, a))
			}
			return nil
		})
	}
	return all
}

// lettersPerColumn fit into a title on a screen of 1440 pixels with Grafana's menu open: (1440-290-32)/24 is 46 pixels a column, a letter
// takes 7.2, and the panel's edge and icon take a sixth of a narrow one.
const lettersPerColumn = 5.2

func titleCut(p panel) []string {
	if p.Type == "row" || p.Type == "text" {
		return nil
	}
	w, title := p.GridPos.W, p.Title
	if p.Repeat != "" {
		w = 24 / len(strategies.Names())
		title = strings.ReplaceAll(title, "$strategy", "stamped")
	}
	if room := int(lettersPerColumn * float64(w)); len([]rune(title)) > room {
		return []string{fmt.Sprintf("%d letters of title, and room for %d", len([]rune(title)), room)}
	}
	return nil
}

// clipped measures tables of strategies, whose number of lines is known, by Grafana's own heights in pixels.
func clipped(p panel) (all []string) {
	legend, _ := p.Options["legend"].(map[string]any)
	if legend["displayMode"] == "table" && legend["placement"] == "bottom" && p.GridPos.H < 10 {
		all = append(all, "the legend is a table below a low panel: Grafana gives it a third of the height")
	}
	if p.Type == "table" && strings.Contains(p.Targets[0].Expr, "by (strategy)") {
		line := map[any]int{"sm": 36, "md": 42, "lg": 48}[p.Options["cellHeight"]]
		if need, have := 40+36+line*len(strategies.Names()), p.GridPos.H*38-8; need > have {
			all = append(all, fmt.Sprintf("needs %d pixels for a line of each strategy, and has %d", need, have))
		}
	}
	return all
}

func deprecated(p panel) (all []string) {
	if _, has := p.Options["footer"]; has && p.Type == "table" {
		all = append(all, "footer is no option of a table any more")
	}
	if slices.Contains([]string{"graph", "singlestat", "table-old"}, p.Type) {
		all = append(all, "there is no panel of type "+p.Type)
	}
	return all
}

func TestGrafanaIsNotToldWhatItHasGivenUp(t *testing.T) {
	text, err := os.ReadFile("../deploy/grafana/grafana.ini")
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []string{"viewers_can_edit", "angular_support_enabled", "check_for_plugin_update ="} {
		if strings.Contains(string(text), option) {
			t.Errorf("grafana.ini has %s", option)
		}
	}
}

// positive tells whether an annotation's values are above 0 whatever the metric's are: Grafana drops the others.
func positive(e parser.Expr) bool {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return positive(e.Expr)
	case *parser.AggregateExpr:
		return e.Op == parser.COUNT || e.Op == parser.GROUP || positive(e.Expr)
	case *parser.BinaryExpr:
		n, literal := e.RHS.(*parser.NumberLiteral)
		switch {
		case e.Op == parser.LUNLESS || e.Op == parser.LAND:
			return positive(e.LHS)
		case literal && !e.ReturnBool && (e.Op == parser.EQLC || e.Op == parser.GTE):
			return n.Val > 0
		case literal && !e.ReturnBool && e.Op == parser.GTR:
			return n.Val >= 0
		}
	}
	return false
}

func TestAnnotationsAreAboveZeroAndRunsAreRegions(t *testing.T) {
	for _, b := range readBoards(t) {
		for _, a := range b.Annotations.List {
			expr, err := parse(plain.fill(a.Expr))
			if err != nil || !positive(expr) {
				t.Errorf("%s: annotation %q may be 0 or less, and Grafana drops it: %s", b.file, a.Name, a.Expr)
			}
			if binary, ok := expr.(*parser.BinaryExpr); ok && a.Name == "k6 runs" && binary.Op == parser.LUNLESS {
				t.Errorf("%s: annotation %q marks a run's beginning and not its end", b.file, a.Name)
			}
		}
	}
}

func TestBoardsAreCalm(t *testing.T) {
	for _, b := range readBoards(t) {
		if b.Refresh != "15s" {
			t.Errorf("%s is asked anew every %s, want 15s", b.file, b.Refresh)
		}
		if b.UID == "strata-caching" {
			continue
		}
		for i := range 4 {
			if p := b.Panels[i]; p.Type != "stat" || p.GridPos.Y != 0 || p.GridPos.W != 6 {
				t.Errorf("%s: its first line is not a strip of four figures", p)
			}
		}
		for _, p := range b.all() {
			if p.Type == "timeseries" && slices.Contains([]string{"Breaker", "Targets that answer"}, p.Title) {
				t.Errorf("%s: states are a state timeline's", p)
			}
		}
	}
}

// firstScreen is what 1440x900 pixels show of a board: the top takes 190 with two lines of variables, and a row of the grid 38.
const firstScreen = (900 - 190) / 38

func TestTheHomeBoardsFirstScreenHoldsTheVerdictInFewQueries(t *testing.T) {
	for _, b := range readBoards(t) {
		if b.UID != "strata-caching" {
			continue
		}
		tiles, tables, asked := 0, 0, len(b.Annotations.List)
		for _, v := range b.Templating.List {
			if v.Type == "query" {
				asked++
			}
		}
		for _, p := range b.Panels {
			if p.GridPos.Y < firstScreen {
				asked += len(p.Targets)
			}
			if p.GridPos.Y+p.GridPos.H > firstScreen {
				continue
			}
			if p.Type == "stat" && strings.HasSuffix(p.Title, "?") && p.Options["textMode"] == "value_and_name" {
				tiles++
			}
			if p.Type == "table" {
				tables++
			}
		}
		if tiles != 4 || tables != 1 {
			t.Errorf("the first screen holds %d tiles with a name and a figure and %d tables, want 4 and 1", tiles, tables)
		}
		if asked >= 30 {
			t.Errorf("the first screen asks %d queries, want fewer than 30", asked)
		}
	}
}

// TestReplicasAreChosenOnEveryPanel: a variable that half of the panels ignore is worse than none.
func TestReplicasAreChosenOnEveryPanel(t *testing.T) {
	boards := 0
	for _, b := range readBoards(t) {
		if !slices.ContainsFunc(b.Templating.List, func(v boardVariable) bool { return v.Name == "instance" }) {
			continue
		}
		boards++
		for _, p := range b.all() {
			for _, one := range p.Targets {
				expr, err := parse(plain.fill(one.Expr))
				if err != nil {
					continue // the contract says so
				}
				parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
					v, ok := node.(*parser.VectorSelector)
					if ok && regexp.MustCompile(`^((strata|http_server|db_client)_|(go|process)_)`).MatchString(name(v)) &&
						!slices.ContainsFunc(v.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == "instance" }) {
						t.Errorf("%s: query %s reads all replicas: %s", p, one.RefID, v)
					}
					return nil
				})
			}
		}
	}
	if boards < 4 {
		t.Errorf("%d boards have the variable instance, want 4", boards)
	}
}

// TestEachKindOfFaultIsFound is the negative control: a sound panel is spoilt in one way, and exactly that kind is found.
func TestEachKindOfFaultIsFound(t *testing.T) {
	sound := `{"id": 1, "type": "timeseries", "title": "Answers", "gridPos": {"w": 12, "h": 8}, "fieldConfig": {"defaults": {"unit": "ops", "custom": {"lineWidth": 2}}, "overrides": []},
		"options": {}, "targets": [{"refId": "A", "range": true, "expr": "sum by (strategy) (rate(strata_answers_total[$__rate_interval]))", "legendFormat": "{{strategy}}"}]}`
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(sound) }
	expr := func(e string) string {
		return replace("sum by (strategy) (rate(strata_answers_total[$__rate_interval]))", e)
	}
	coloured := `"overrides": [{"matcher": {"id": "byRegexp", "options": "/^none\\b.*/"}, "properties": []}]`
	spoilt := map[string]string{
		faults[0].kind:  replace(`"overrides": []`, `"overrides": [{"matcher": {"id": "byName", "options": "faster than ${baseline}"}, "properties": []}]`),
		faults[1].kind:  replace(`timeseries`, `heatmap`),
		faults[2].kind:  replace(`timeseries`, `table`, `by (strategy)`, `by (queryid)`),
		faults[3].kind:  replace(`"lineWidth": 2`, `"lineWidth": 1, "stacking": {"mode": "normal"}`),
		faults[4].kind:  replace(`"ops"`, `"percentunit"`),
		faults[5].kind:  replace(`"ops"`, `"ops", "thresholds": {"steps": [{"value": null}, {"value": 14}]}`, `"lineWidth": 2`, `"thresholdsStyle": {"mode": "dashed"}`),
		faults[6].kind:  expr(`rate(process_cpu_seconds_total[1m]) / (rate(http_server_request_duration_seconds_count[1m]) > 0)`),
		faults[7].kind:  expr(`sum by (strategy) (process_resident_memory_bytes)`),
		faults[8].kind:  expr(`histogram_quantile(0.99, rate(strata_cache_entry_age_seconds_bucket[1m]))`),
		faults[9].kind:  replace(`"overrides": []`, coloured, `{{strategy}}`, `{{strategy}} {{result}}`),
		faults[10].kind: expr(`topk(3, sum by (strategy) (rate(strata_answers_total[1m])))`),
		faults[11].kind: replace(`Answers`, strings.Repeat("Answers ", 9)),
		faults[12].kind: replace(`"options": {}`, `"options": {"legend": {"displayMode": "table", "placement": "bottom"}}`),
		faults[13].kind: replace(`timeseries`, `graph`),
	}
	for kind, text := range spoilt {
		var p panel
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		for _, f := range faults {
			if found := f.find(p); len(found) > 0 != (f.kind == kind) {
				t.Errorf("a panel with %s: the check for %s finds %v", kind, f.kind, found)
			}
		}
	}
	for text, want := range map[string]bool{`k6_vus`: false, `sum by (strategy) (k6_vus)`: false, `count by (run) (k6_vus)`: true, `ALERTS == 1`: true, `ALERTS == 0`: false, `k6_vus > 0 unless k6_vus offset 10s`: true} {
		e, err := parse(text)
		if err != nil || positive(e) != want {
			t.Errorf("%s is above 0: %v, want %v (%v)", text, positive(e), want, err)
		}
	}
}

// TestThePictureIsOfThisBoard: the picture is drawn by TestEveryPanelAndEveryRuleHasDataUnderLoad, by itself and not by Grafana, so it
// can fall behind the board.
func TestThePictureIsOfThisBoard(t *testing.T) {
	picture, err := os.ReadFile(filepath.Join("caching.svg"))
	if err != nil {
		t.Fatal(err)
	}
	drawn := make(map[string]bool)
	for _, found := range regexp.MustCompile(`class="(?:title|row)">([^<]*)<`).FindAllStringSubmatch(string(picture), -1) {
		drawn[found[1]] = true
	}
	for _, b := range readBoards(t) {
		if b.UID != "strata-caching" {
			continue
		}
		for _, p := range b.all() {
			if p.Type == "text" {
				continue
			}
			for _, title := range p.titles() {
				if !drawn[title] {
					t.Errorf("%s: dashboards/caching.svg has no %q (make picture draws it)", p, title)
				}
				delete(drawn, title)
			}
		}
	}
	for title := range drawn {
		t.Errorf("dashboards/caching.svg has %q, and the board has not", title)
	}
}
