// Package dashboards holds nothing but tests: that boards and rules mean what they say, and, end to end, that each has data.
package dashboards

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/strata/strategies"
)

// board is what the tests read of a dashboard's JSON.
type board struct {
	UID, Title, Description string
	Refresh                 string
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
	Options                  map[string]any
	FieldConfig              struct {
		Defaults struct {
			Unit, NoValue string
			Max           *float64
			Custom        map[string]any
			Links         []struct{ Title, URL string }
			Thresholds    struct {
				Steps []struct {
					Value *float64
					Color string
				}
			}
		}
		Overrides []panelOverride
	}
	board string
}

type panelOverride struct {
	Matcher struct {
		ID      string
		Options json.RawMessage
	}
	Properties []panelProperty
}

type panelProperty struct {
	ID    string
	Value any
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

// all returns the panels and rows, those inside of rows too.
func (b board) all() []panel {
	var all []panel
	for _, p := range b.Panels {
		all = append(append(all, p), p.Panels...)
	}
	return all
}

// queries returns the panels that have any.
func (b board) queries() []panel {
	return slices.DeleteFunc(b.all(), func(p panel) bool { return len(p.Targets) == 0 })
}

// property is what the last override by name gives a series of the panel, or nil.
func (p panel) property(series, id string) any {
	var value any
	for _, o := range p.FieldConfig.Overrides {
		var name string
		if o.Matcher.ID != "byName" || json.Unmarshal(o.Matcher.Options, &name) != nil || name != series {
			continue
		}
		for _, property := range o.Properties {
			if property.ID == id {
				value = property.Value
			}
		}
	}
	return value
}

// titles are those of a panel's copies.
func (p panel) titles() []string {
	if p.Repeat == "" {
		return []string{p.Title}
	}
	var all []string
	for _, name := range strategies.Names() {
		all = append(all, strings.ReplaceAll(p.Title, "$strategy", name))
	}
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
		case "instance", "run":
			return ".*"
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
