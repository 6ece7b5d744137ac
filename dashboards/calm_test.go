package dashboards

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// What holds for boards as a whole.

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
