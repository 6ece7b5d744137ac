// Package tools holds the repository's own programs and scripts.
package tools

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// checkout is a small repository that names its module in each way that this one does.
var checkout = map[string]string{
	"go.mod":         "module strata\n\ngo 1.26.0\n",
	"k8s/go.mod":     "module strata/k8s\n\ngo 1.26.0\n",
	"k8s/k8s.go":     "package k8s\n",
	"app/main.go":    "package main\n\nimport (\n\t_ \"strata/app/cache\"\n\t_ \"strata/deploy\"\n)\n\nfunc main() { println(\"strata:\", \"strata/1.0\") }\n",
	"deploy/up.go":   "package deploy\n\nconst prefix, elsewhere = \"strata/\", \"strata/results\"\n",
	"app/cache/c.go": "package cache\n",
}

func TestModuleIsRenamedWhereItIsNamedAndNowhereElse(t *testing.T) {
	dir := newCheckout(t)
	if out, err := exec.CommandContext(t.Context(), "./module.sh", "example.com/mine/strata", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for name, want := range map[string]string{
		"go.mod":       "module example.com/mine/strata\n\ngo 1.26.0\n",
		"k8s/go.mod":   "module example.com/mine/strata/k8s\n\ngo 1.26.0\n",
		"app/main.go":  "package main\n\nimport (\n\t_ \"example.com/mine/strata/app/cache\"\n\t_ \"example.com/mine/strata/deploy\"\n)\n\nfunc main() { println(\"strata:\", \"strata/1.0\") }\n",
		"deploy/up.go": "package deploy\n\nconst prefix, elsewhere = \"example.com/mine/strata/\", \"strata/results\"\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is now:\n%s\nwant:\n%s", name, got, want)
		}
	}
}

func TestModuleRefusesWhatNobodyCouldImport(t *testing.T) {
	for _, path := range []string{"", "strata", "strata/app", "example.com", "example.com/", "example.com/a b", "https://example.com/a", "example.com/a#b"} {
		dir := newCheckout(t)
		out, err := exec.CommandContext(t.Context(), "./module.sh", path, dir).CombinedOutput()
		if err == nil || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%q: %v, %q; want an error of one line", path, err, out)
		}
		if got, _ := os.ReadFile(filepath.Join(dir, "go.mod")); string(got) != checkout["go.mod"] {
			t.Errorf("%q: go.mod was changed to %q", path, got)
		}
	}
}

func newCheckout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range checkout {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "."}} {
		if out, err := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	return dir
}
