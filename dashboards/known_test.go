package dashboards

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"
)

// metric is what is known of one metric.
type metric struct {
	kind   string              // counter, gauge, histogram, summary, rule
	labels map[string][]string // by name; the values if they are a closed set, else nil
}

// known is every metric that a board or a rule may read, by name, with the names of a histogram's series each apart.
type known map[string]metric

const golden = "../app/testdata/metrics.golden"

// closed are the labels whose values the golden file has in full, whatever was asked of the service when it was written. The values
// of strategy are those of strata_strategy_info for every metric.
var closed = []string{"result", "source", "level", "layer", "class", "outcome", "reason", "scope", "origin", "operation", "state", "store", "db_client_connection_pool_name", "db_client_connection_state", "db_system_name"}

func readKnown(t testing.TB) known {
	t.Helper()
	k := make(known)
	for _, line := range lines(t, golden) {
		k.add(line, true)
	}
	k.addInfo()
	files, err := filepath.Glob("testdata/*.metrics")
	if err != nil || len(files) < 5 {
		t.Fatalf("recorded scrapes: %v, %v", files, err)
	}
	for _, file := range files {
		for _, line := range lines(t, file) {
			k.add(line, false)
		}
	}
	for name, m := range k {
		if strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "go_") {
			m.labels["job"] = withProcess
		}
	}
	k.addRules(t, readRules(t))
	return k
}

// withProcess are the jobs that export what client_golang knows of a process. The collector counts its own memory under another name.
var withProcess = []string{"strata", "postgres", "redis", "tempo", "grafana", "prometheus"}

func lines(t testing.TB, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(strings.Split(string(text), "\n"), func(line string) bool { return line == "" || strings.HasPrefix(line, "#") })
}

// add reads "name type label=value,value" or "name type label".
func (k known) add(line string, service bool) {
	fields := strings.Fields(line)
	m := metric{kind: fields[1], labels: map[string][]string{"job": nil, "instance": nil}}
	for _, field := range fields[2:] {
		label, values, _ := strings.Cut(field, "=")
		m.labels[label] = nil
		if service && slices.Contains(closed, label) {
			m.labels[label] = strings.Split(values, ",")
		}
		if label == "strategy" && fields[0] == "strata_strategy_info" {
			m.labels[label] = strings.Split(values, ",")
		}
	}
	name := fields[0]
	switch m.kind {
	case "histogram":
		bucket := metric{kind: "counter", labels: maps.Clone(m.labels)}
		bucket.labels["le"] = nil
		k[name+"_bucket"] = bucket
		k[name+"_sum"], k[name+"_count"] = metric{"counter", m.labels}, metric{"counter", m.labels}
		k[name] = m // native
	case "summary":
		k[name+"_sum"], k[name+"_count"] = metric{"counter", m.labels}, metric{"counter", m.labels}
		of := metric{kind: "gauge", labels: maps.Clone(m.labels)}
		of.labels["quantile"] = nil
		k[name] = of
	default:
		k[name] = m
	}
}

// addInfo adds what the golden file leaves out since it differs from build to build, and closes the label strategy.
func (k known) addInfo() {
	info := k["strata_build_info"]
	if info.labels != nil {
		info.labels["revision"], info.labels["go_version"] = nil, nil
	}
	strategies := k["strata_strategy_info"].labels["strategy"]
	for _, m := range k {
		if _, has := m.labels["strategy"]; has {
			m.labels["strategy"] = strategies
		}
	}
}

type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
	file                     string
}

func (r rule) String() string { return fmt.Sprintf("%s: %s%s", r.file, r.Record, r.Alert) }

func readRules(t testing.TB) []rule {
	t.Helper()
	files, err := filepath.Glob("../deploy/prometheus/rules/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("rules: %v, %v", files, err)
	}
	var all []rule
	for _, name := range []string{"recording.yml", "slo.yml", "alerts.yml"} {
		text, err := os.ReadFile(filepath.Join("../deploy/prometheus/rules", name))
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Groups []struct{ Rules []rule } }
		if err := yaml.Unmarshal(text, &file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, g := range file.Groups {
			for _, r := range g.Rules {
				r.file = name
				all = append(all, r)
			}
		}
	}
	return all
}

// addRules adds what the recording rules write. Rules come in the order in which they read one another.
func (k known) addRules(t testing.TB, rules []rule) {
	t.Helper()
	for _, r := range rules {
		if r.Record == "" {
			continue
		}
		expr, err := parse(r.Expr)
		if err != nil {
			t.Errorf("%s: %v", r, err)
			continue
		}
		m, has := k[r.Record]
		if !has {
			m = metric{kind: "gauge", labels: make(map[string][]string)}
		}
		for label, values := range k.out(expr) {
			m.labels[label] = values
		}
		for label, value := range r.Labels {
			m.labels[label] = append(m.labels[label], value)
		}
		k[r.Record] = m
	}
}

func parse(expr string) (parser.Expr, error) {
	return parser.NewParser(parser.Options{}).ParseExpr(expr)
}

// out returns the labels of what an expression returns.
func (k known) out(expr parser.Expr) map[string][]string {
	result := make(map[string][]string)
	switch e := expr.(type) {
	case *parser.VectorSelector:
		maps.Copy(result, k[name(e)].labels)
	case *parser.MatrixSelector:
		return k.out(e.VectorSelector)
	case *parser.SubqueryExpr:
		return k.out(e.Expr)
	case *parser.ParenExpr:
		return k.out(e.Expr)
	case *parser.UnaryExpr:
		return k.out(e.Expr)
	case *parser.StepInvariantExpr:
		return k.out(e.Expr)
	case *parser.AggregateExpr:
		in := k.out(e.Expr)
		if e.Op == parser.TOPK || e.Op == parser.BOTTOMK {
			return in
		}
		for label, values := range in {
			if slices.Contains(e.Grouping, label) != e.Without {
				result[label] = values
			}
		}
	case *parser.Call:
		for _, arg := range e.Args {
			if arg.Type() == parser.ValueTypeVector || arg.Type() == parser.ValueTypeMatrix {
				maps.Copy(result, k.out(arg))
			}
		}
		if e.Func.Name == "histogram_quantile" {
			delete(result, "le")
		}
	case *parser.BinaryExpr:
		left, right := k.out(e.LHS), k.out(e.RHS)
		if e.LHS.Type() == parser.ValueTypeScalar {
			return right
		}
		maps.Copy(result, left)
		if e.Op == parser.LOR {
			maps.Copy(result, right)
		}
		if e.VectorMatching != nil {
			for _, label := range e.VectorMatching.Include {
				result[label] = right[label]
			}
		}
	}
	return result
}

func name(v *parser.VectorSelector) string {
	for _, m := range v.LabelMatchers {
		if m.Name == model.MetricNameLabel && m.Type == labels.MatchEqual {
			return m.Value
		}
	}
	return v.Name
}
