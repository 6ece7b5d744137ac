package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestGoAndK6DrawTheSameRequests(t *testing.T) {
	const each = 3000
	worlds := []struct {
		traffic
		first uint32
	}{
		{traffic{seed: 1, listings: 100_000, hot: 10_000, cities: []string{"london", "paris", "new-york", "porto"}, writes: 0.002}, 0},
		{traffic{seed: 4294967295, listings: 2000, hot: 2000, cities: []string{"rome"}, writes: 0.5}, 1 << 31},
		{traffic{seed: 77, listings: 1_000_003, hot: 999, cities: strings.Fields("a b c d e f g h i j k l m n o p q r s t u v w x y z"), writes: 0}, 4_294_960_000},
	}
	lib, err := filepath.Abs("lib/traffic.js")
	if err != nil {
		t.Fatal(err)
	}
	var script strings.Builder
	fmt.Fprintf(&script, "import { Traffic } from %q;\nexport default function () {}\nexport function handleSummary() {\n  const lines = [];\n", "file://"+lib)
	var want []string
	for _, w := range worlds {
		fmt.Fprintf(&script, "  draw(new Traffic({ seed: %d, listings: %d, hot: %d, cities: %q.split(' '), writes: %v }), %d, lines);\n",
			w.seed, w.listings, w.hot, strings.Join(w.cities, " "), w.writes, w.first)
		for i := range uint32(each) {
			r := w.request(w.first + i)
			want = append(want, fmt.Sprintf("%s %s %s %.6f", r.class, r.method, r.path, r.factor))
		}
	}
	fmt.Fprintf(&script, "  return { stdout: lines.join('\\n') };\n}\n"+`function draw(traffic, first, lines) {
  for (let i = 0; i < %d; i++) {
    const r = traffic.request(first + i);
    lines.push([r.name, r.method, r.path, (r.factor ?? 0).toFixed(6)].join(' '));
  }
}
`, each)
	path := filepath.Join(t.TempDir(), "draw.js")
	if err := os.WriteFile(path, []byte(script.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	out, err := exec.CommandContext(t.Context(), k6Binary(t), "run", "--quiet", "--no-usage-report", "--log-output=none", path).Output()
	if err != nil {
		t.Fatalf("k6: %v\n%s", err, out)
	}
	got := strings.Split(strings.TrimSpace(string(out)), "\n")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-Go +k6):\n%.2000s", diff)
	}
}

func TestTrafficHasTheSharesThatItClaims(t *testing.T) {
	const n = 100_000
	world := traffic{seed: 3, listings: 50_000, hot: 5000, cities: []string{"a", "b", "c"}, writes: 0.01}
	classes := make(map[string]int)
	ids := make(map[int]int)
	for i := range uint32(n) {
		r := world.request(i)
		classes[r.class]++
		if r.class == classDetail {
			ids[r.id]++
		}
		if r.id < 0 || r.id > world.listings {
			t.Fatalf("request %d is for listing %d of %d", i, r.id, world.listings)
		}
	}
	for class, want := range map[string]float64{classDetail: 0.693, classSearch: 0.2475, classStats: 0.0495, classWrite: 0.01} {
		if got := float64(classes[class]) / n; got < want*0.95 || got > want*1.05 {
			t.Errorf("share of %s: got %.4f, want %.4f", class, got, want)
		}
	}
	if len(ids) > world.hot {
		t.Errorf("%d listings were asked for; only %d are in demand", len(ids), world.hot)
	}
	most := 0
	for _, count := range ids {
		most = max(most, count)
	}
	if share := float64(most) / float64(classes[classDetail]); share < 0.1 || share > 0.2 {
		t.Errorf("the most popular listing has %.3f of the detail requests, want 0.1 to 0.2", share)
	}
}

func TestWarmTrafficNamesEachReadOnce(t *testing.T) {
	world := traffic{seed: 3, listings: 5000, hot: 500, cities: []string{"a", "b"}, writes: 0.1}
	paths := world.distinct(1<<31, 20_000)
	seen := make(map[string]bool)
	for _, path := range paths {
		if seen[path] {
			t.Errorf("%s comes twice", path)
		}
		seen[path] = true
	}
	for i := range uint32(5000) {
		if r := world.request(1<<31 + i); r.class != classWrite && !seen[r.path] {
			t.Errorf("%s is not among them", r.path)
		}
	}
}

// k6Binary returns the k6 to test with: the one that STRATA_K6 names, that of bin/, that of PATH, or a new one.
func k6Binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("STRATA_K6"); path != "" {
		return path
	}
	for _, candidate := range []string{"../bin/k6", "k6"} {
		if path, err := exec.LookPath(candidate); err == nil || errors.Is(err, exec.ErrDot) {
			abs, err := filepath.Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			return abs
		}
	}
	return buildK6(t)
}

// buildK6 builds k6 outside this module, whose dependencies are not to be k6's.
func buildK6(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command := exec.CommandContext(t.Context(), "go", "install", "go.k6.io/k6/v2@v2.2.0")
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+dir)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building k6: %v\n%s", err, out)
	}
	return filepath.Join(dir, "k6")
}
