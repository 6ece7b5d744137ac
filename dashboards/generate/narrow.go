package main

import (
	"regexp"
	"strings"

	"github.com/prometheus/prometheus/promql/parser"
)

// ofReplicas are the metrics that a replica exports, and so have its instance.
var ofReplicas = regexp.MustCompile(`^(strata|http_server|db_client)_|^(go|process)_`)

// durations stand in for Grafana's variables while an expression is parsed: as many characters, so that positions stay.
var durations = strings.NewReplacer("$__rate_interval", "000000000000020s", "$__range", "0000900s")

// narrow restricts what a board with the variable instance reads of the service's replicas to those that are chosen.
func (d *dashboard) narrow() {
	if !d.narrowed {
		return
	}
	for _, p := range d.all() {
		for i := range p.Targets {
			p.Targets[i].Expr = narrowed(p.Targets[i].Expr)
		}
	}
}

func narrowed(expr string) string {
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(durations.Replace(expr))
	if err != nil {
		panic(expr + ": " + err.Error()) // the tests run this program
	}
	var ends []int
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok && ofReplicas.MatchString(v.Name) {
			ends = append(ends, int(v.PosRange.Start)+len(v.Name))
		}
		return nil
	})
	for i := len(ends) - 1; i >= 0; i-- { // from the end, so that positions stay
		at, matcher := ends[i], `instance=~"$instance"`
		if strings.HasPrefix(expr[at:], "{") {
			expr = expr[:at+1] + matcher + ", " + expr[at+1:]
		} else {
			expr = expr[:at] + "{" + matcher + "}" + expr[at:]
		}
	}
	return expr
}

// all returns the board's panels, those of closed rows too.
func (d *dashboard) all() []*panel {
	var all []*panel
	for _, p := range d.Panels {
		all = append(all, p)
		if p.Panels != nil {
			all = append(all, *p.Panels...)
		}
	}
	return all
}
