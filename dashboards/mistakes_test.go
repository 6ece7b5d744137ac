package dashboards

import (
	"encoding/json"
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

// gone are metrics that newer versions of what we run do not have.
var gone = regexp.MustCompile(`^pg_stat_bgwriter_(buffers_backend|buffers_checkpoint|checkpoint)`)

// mayBeZero are metrics by which nobody may divide: 0 means that there is no limit.
var mayBeZero = regexp.MustCompile(`^redis_(memory_max_bytes|config_maxmemory)$`)

var percentile = regexp.MustCompile(`\bp(50|90|95|99)\b`)

// mistakes returns which of the mistakes of the best-known boards an expression of a panel makes.
func mistakes(p panel, t panelTarget) []string {
	expr, err := parse(plain.fill(t.Expr))
	if err != nil {
		return nil // query says so
	}
	var all []string
	say := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	quantile := ""
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		switch e := node.(type) {
		case *parser.VectorSelector:
			if gone.MatchString(name(e)) {
				say("%s is gone since PostgreSQL 17", name(e))
			}
			for _, m := range e.LabelMatchers {
				if m.Name == model.MetricNameLabel && m.Type != labels.MatchEqual {
					say("one pattern over several metrics: %s", m)
				}
			}
			if quantileOf(e) && averaged(path) {
				say("averages or adds up quantiles: %s", name(e))
			}
		case *parser.Call:
			if e.Func.Name == "histogram_quantile" {
				if averaged(path) {
					say("averages or adds up quantiles")
				}
				if number, ok := e.Args[0].(*parser.NumberLiteral); ok {
					quantile = fmt.Sprintf("p%g", number.Val*100)
				}
			}
		case *parser.BinaryExpr:
			if e.Op == parser.LOR && constant(e.RHS) {
				say("\"or %s\" hides a gap", e.RHS)
			}
			if e.Op == parser.DIV {
				if sums(e.LHS) && sums(e.RHS) {
					say("divides sums of durations: slow requests weigh more than quick ones")
				}
				for _, metric := range read(e.RHS) {
					if mayBeZero.MatchString(metric) {
						say("divides by %s, which may be 0", metric)
					}
				}
			}
		}
		return nil
	})
	if quantile != "" && regexp.MustCompile(`(?i)\b(average|avg|mean)\b`).MatchString(p.Title) {
		say("the title says that it is a mean, and it is %s", quantile)
	}
	if claims := percentile.FindAllString(p.Title, -1); quantile != "" && len(claims) > 0 && !slices.Contains(claims, quantile) {
		say("the title says %s, and it is %s", strings.Join(claims, ", "), quantile)
	}
	return all
}

// quantileOf tells whether a series is a quantile already.
func quantileOf(e *parser.VectorSelector) bool {
	if regexp.MustCompile(`[:_]p\d\d(_|$)`).MatchString(name(e)) {
		return true
	}
	return slices.ContainsFunc(e.LabelMatchers, func(m *labels.Matcher) bool { return m.Name == "quantile" })
}

// averaged tells whether what is found at the end of a path is averaged or added up on the way.
func averaged(path []parser.Node) bool {
	return slices.ContainsFunc(path, func(node parser.Node) bool {
		switch e := node.(type) {
		case *parser.AggregateExpr:
			return e.Op == parser.AVG || e.Op == parser.SUM
		case *parser.Call:
			return e.Func.Name == "avg_over_time" || e.Func.Name == "sum_over_time"
		}
		return false
	})
}

func constant(e parser.Expr) bool {
	switch e := e.(type) {
	case *parser.ParenExpr:
		return constant(e.Expr)
	case *parser.Call:
		return e.Func.Name == "vector"
	case *parser.NumberLiteral:
		return true
	}
	return false
}

// sums tells whether all that an expression reads are sums of durations.
func sums(e parser.Expr) bool {
	names := read(e)
	return len(names) > 0 && !slices.ContainsFunc(names, func(name string) bool { return !strings.HasSuffix(name, "_seconds_sum") })
}

// read returns the metrics that an expression reads.
func read(e parser.Expr) []string {
	var names []string
	parser.Inspect(e, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			names = append(names, name(v))
		}
		return nil
	})
	return names
}

// TestEachMistakeIsRefused is the negative control of every check: a good board is broken in one place, and the objection names the panel.
func TestEachMistakeIsRefused(t *testing.T) {
	k := readKnown(t)
	good := readFixture(t)
	if all := objections([]board{good}, k); len(all) != 0 {
		t.Fatalf("the fixture is refused before it is broken: %v", all)
	}
	query := func(expr string) func(*board) { return func(b *board) { b.Panels[0].Targets[0].Expr = expr } }
	for name, tt := range map[string]struct {
		spoil func(*board)
		want  string
	}{
		"no PromQL":                {query(`sum(rate(strata_answers_total[$__rate_interval])`), "unclosed left parenthesis"},
		"variable nobody sets":     {query(`sum(rate(strata_answers_total{strategy=~"$strategy"}[$window]))`), "unexpected"},
		"metric with a typo":       {query(`sum(rate(strata_answer_total[$__rate_interval]))`), `nobody exports the metric "strata_answer_total"`},
		"label with a typo":        {query(`sum(rate(strata_answers_total{sorce="postgres"}[$__rate_interval]))`), `"strata_answers_total" has no label "sorce"`},
		"value with a typo":        {query(`sum(rate(strata_answers_total{source="postgresql"}[$__rate_interval]))`), `the label "source" of "strata_answers_total" is never "postgresql"`},
		"pattern with a typo":      {query(`sum(rate(strata_cache_requests_total{outcome=~"hit|mis"}[$__rate_interval]))`), `is never "mis"`},
		"group with a typo":        {query(`sum by (sauce) (rate(strata_answers_total[$__rate_interval]))`), `groups by the label "sauce"`},
		"match on a missing label": {query(`sum by (source) (rate(strata_answers_total[$__rate_interval])) / on (strategy) sum by (strategy) (rate(strata_answers_total[$__rate_interval]))`), `matches on the label "strategy"`},
		"legend with a typo":       {func(b *board) { b.Panels[0].Targets[0].LegendFormat = "{{sauce}}" }, `the legend names the label "sauce"`},
		"rate of a gauge":          {query(`sum(rate(strata_ledger_tags[$__rate_interval]))`), "which is a gauge"},
		"counter as it is":         {query(`sum(strata_answers_total)`), "without rate()"},
		"sums of durations":        {query(`sum(rate(http_server_request_duration_seconds_sum{http_response_status_code="500"}[$__rate_interval])) / sum(rate(http_server_request_duration_seconds_sum[$__rate_interval]))`), "divides sums of durations"},
		"hidden gap":               {query(`sum(rate(strata_answers_total[$__rate_interval])) or vector(0)`), "hides a gap"},
		"mean that is a median": {func(b *board) {
			b.Panels[0].Title = "Average latency"
			query(`histogram_quantile(0.5, sum by (le) (rate(http_server_request_duration_seconds_bucket[$__rate_interval])))`)(b)
		}, "the title says that it is a mean, and it is p50"},
		"p99 that is p95": {func(b *board) {
			b.Panels[0].Title = "Latency, p99"
			query(`histogram_quantile(0.95, sum by (le) (rate(http_server_request_duration_seconds_bucket[$__rate_interval])))`)(b)
		}, "the title says p99, and it is p95"},
		"gone since PostgreSQL 17": {query(`sum(rate(pg_stat_bgwriter_buffers_backend_total[$__rate_interval]))`), "gone since PostgreSQL 17"},
		"division by maxmemory":    {query(`sum(redis_memory_used_bytes) / sum(redis_memory_max_bytes)`), "divides by redis_memory_max_bytes, which may be 0"},
		"fixed range":              {query(`sum(rate(strata_answers_total[5m]))`), "has a fixed range"},
		"pattern over metrics":     {query(`sum({__name__=~"strata_.*_total"})`), "one pattern over several metrics"},
		"averaged quantiles":       {query(`avg(histogram_quantile(0.99, sum by (strategy, le) (rate(http_server_request_duration_seconds_bucket[$__rate_interval]))))`), "averages or adds up quantiles"},
		"quantiles averaged later": {query(`avg_over_time(strategy:http_server_request_duration_seconds:p99_1m[$__range])`), "averages or adds up quantiles"},
		"no unit":                  {func(b *board) { b.Panels[0].FieldConfig.Defaults.Unit = "" }, "has no unit"},
		"no description":           {func(b *board) { b.Panels[0].Description = "" }, "has no description"},
		"no sentence without data": {func(b *board) { b.Panels[0].FieldConfig.Defaults.NoValue = "" }, "does not say without data what to run"},
		"no title":                 {func(b *board) { b.Panels[0].Title = "" }, "has no title"},
		"no query":                 {func(b *board) { b.Panels[0].Targets = nil }, "has no query"},
		"fixed data source":        {func(b *board) { b.Panels[0].Datasource.UID = "prometheus" }, "does not use the variable $datasource"},
		"fixed source of a query":  {func(b *board) { b.Panels[0].Targets[0].Datasource.UID = "prometheus" }, "query A does not use the variable $datasource"},
		"link to nowhere":          {func(b *board) { b.Panels[0].FieldConfig.Defaults.Links[0].URL = "/d/strata-cash" }, "leads to strata-cash, which is no board"},
		"panels that overlap":      {func(b *board) { b.Panels[1].GridPos.X = 4 }, "overlaps"},
		"panel beside the grid":    {func(b *board) { b.Panels[0].GridPos.W = 30 }, "does not lie on the grid"},
		"the same id twice":        {func(b *board) { b.Panels[1].ID = 1 }, "has the id of"},
		"no uid":                   {func(b *board) { b.UID = "" }, "needs a uid"},
		"newer schema":             {func(b *board) { b.SchemaVersion = 42 }, "schemaVersion 42"},
		"no data source variable":  {func(b *board) { b.Templating.List = nil }, "the first variable must be the data source"},
		"annotation of nothing":    {func(b *board) { b.Annotations.List[0].Expr = "strata_strategy == 1" }, `annotation "Strategy changes": nobody exports the metric "strata_strategy"`},
	} {
		t.Run(name, func(t *testing.T) {
			b := readFixture(t)
			tt.spoil(&b)
			all := objections([]board{b}, k)
			if !slices.ContainsFunc(all, func(o string) bool { return strings.HasPrefix(o, "fixture.json: ") && strings.Contains(o, tt.want) }) {
				t.Errorf("objections %q, none has %q", all, tt.want)
			}
		})
	}
	if all := objections([]board{good, good}, k); len(all) != 1 || !strings.Contains(all[0], `has the uid "strata-fixture"`) {
		t.Errorf("two boards with one uid: %q", all)
	}
}

// readFixture returns a board that nothing is wrong with. It is not called .json, or Grafana, which is given the whole folder, would load it.
func readFixture(t *testing.T) board {
	t.Helper()
	text, err := os.ReadFile("testdata/fixture.board")
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(text) {
		t.Fatal("testdata/fixture.board is not JSON")
	}
	b, err := decode("fixture.json", text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
