// Package dashboards holds nothing but tests: that boards and rules mean what they say, and, end to end, that each has data.
package dashboards

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"strata/strategies"
)

// board is what the tests read of a dashboard's JSON.
type board struct {
	UID, Title, Description string
	SchemaVersion           int
	Panels                  []panel
	Templating              struct{ List []boardVariable }
	Annotations             struct {
		List []struct {
			Name, Expr string
			Datasource datasource
		}
	}
	file string
}

type boardVariable struct {
	Name, Type string
	Datasource datasource
	Query      any
}

type datasource struct{ Type, UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	Datasource               *datasource
	GridPos                  struct{ H, W, X, Y int }
	Panels                   []panel
	Targets                  []panelTarget
	Repeat                   string
	FieldConfig              struct {
		Defaults struct {
			Unit, NoValue string
			Custom        map[string]any
			Links         []struct{ Title, URL string }
		}
		Overrides []struct {
			Matcher    struct{ Options json.RawMessage }
			Properties []struct {
				ID    string
				Value any
			}
		}
	}
	board string
}

type panelTarget struct {
	Expr, LegendFormat, RefID string
	Instant, Range, Exemplar  bool
	Datasource                datasource
}

// String is how messages name a panel.
func (p panel) String() string { return fmt.Sprintf("%s: panel %d %q", p.board, p.ID, p.Title) }

func readBoards(t testing.TB) []board {
	t.Helper()
	files, err := filepath.Glob("*.json")
	if err != nil || len(files) != 9 {
		t.Fatalf("want nine boards: %v, %v", files, err)
	}
	var all []board
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b, err := decode(file, text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

func decode(file string, text []byte) (board, error) {
	b := board{file: file}
	if err := json.Unmarshal(text, &b); err != nil {
		return b, fmt.Errorf("%s: %w", file, err)
	}
	b.name(b.Panels)
	return b, nil
}

func (b *board) name(panels []panel) {
	for i := range panels {
		panels[i].board = b.file
		b.name(panels[i].Panels)
	}
}

// queries returns the panels that have any, those inside of rows too.
func (b board) queries() []panel {
	var all []panel
	var walk func([]panel)
	walk = func(panels []panel) {
		for _, p := range panels {
			if len(p.Targets) > 0 {
				all = append(all, p)
			}
			walk(p.Panels)
		}
	}
	walk(b.Panels)
	return all
}

// values are what Grafana's variables are replaced by.
type values struct{ strategy, baseline, rateInterval, timeRange, interval string }

var plain = values{strategy: strings.Join(strategies.Names(), "|"), baseline: "none", rateInterval: "20s", timeRange: "15m", interval: "5s"}

var variablePattern = regexp.MustCompile(`\$(\w+|\{\w+(:\w+)?\})`)

// fill replaces Grafana's variables. It leaves one that it does not know, which the parser then refuses.
func (v values) fill(expr string) string {
	return variablePattern.ReplaceAllStringFunc(expr, func(found string) string {
		name, _, _ := strings.Cut(strings.Trim(found, "${}"), ":")
		switch name {
		case "strategy":
			return v.strategy
		case "baseline":
			return v.baseline
		case "__rate_interval":
			return v.rateInterval
		case "__range":
			return v.timeRange
		case "__interval":
			return v.interval
		}
		return found
	})
}
