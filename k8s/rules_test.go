package k8s

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// rulesFile is the one file of which kustomize cannot make what an operator needs.
const rulesFile = "components/prometheus-operator/rules.yaml"

func TestThePrometheusRuleHoldsTheRulesThatPrometheusReads(t *testing.T) {
	files, err := filepath.Glob("../deploy/prometheus/rules/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no rules (%v)", err)
	}
	slices.Sort(files)
	groups := []any{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var rules struct {
			Groups []any `json:"groups"`
		}
		if err := yaml.Unmarshal(text, &rules); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		groups = append(groups, rules.Groups...)
	}
	want, err := yaml.Marshal(map[string]any{
		"apiVersion": "monitoring.coreos.com/v1",
		"kind":       "PrometheusRule",
		"metadata": map[string]any{"name": "strata", "labels": map[string]any{
			"app.kubernetes.io/name": "strata", "app.kubernetes.io/component": "observability",
		}},
		"spec": map[string]any{"groups": groups},
	})
	if err != nil {
		t.Fatal(err)
	}
	want = slices.Concat([]byte("# Made of deploy/prometheus/rules by go test -update; change those.\n"), want)
	if *update {
		if err := os.WriteFile(rulesFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what deploy/prometheus/rules says (go test -update makes it anew; -got +want):\n%s", rulesFile, cmp.Diff(string(got), string(want)))
	}
}
