package dashboards

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"example.com/strata/strategies"
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
