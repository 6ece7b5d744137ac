package dashboards

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// Kinds of fault that are in a query.

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
