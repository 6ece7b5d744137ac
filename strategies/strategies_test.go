package strategies

import (
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestEveryStrategyIsWholeAndItsOwn(t *testing.T) {
	if all := All(); len(all) < 4 || all[0].Name != Baseline || all[len(all)-1].Name != "stamped" {
		t.Fatalf("the order is %v, want the baseline first and stamped last", Names())
	}
	seen := make(map[string]string)
	for _, s := range All() {
		if !regexp.MustCompile(`^[a-z]+$`).MatchString(s.Name) {
			t.Errorf("%q is no name: it is a label's value, a part of a file's name and of a regular expression", s.Name)
		}
		if s.Short == "" || strings.HasSuffix(s.Short, ".") || !strings.HasSuffix(s.Sentence, ".") || s.Elsewhere == "" {
			t.Errorf("%s has the texts %q, %q, %q", s.Name, s.Short, s.Sentence, s.Elsewhere)
		}
		for _, own := range []string{s.Name, s.Light, s.Dark, s.Short} {
			if other := seen[own]; other != "" {
				t.Errorf("%s and %s share %q", other, s.Name, own)
			}
			seen[own] = s.Name
		}
	}
}

// Text needs a contrast of 4.5 against its ground (WCAG 2.2, 1.4.3). The grounds are those of the report and of Grafana.
func TestEveryColourCanBeReadAsText(t *testing.T) {
	for _, s := range All() {
		for ground, colour := range map[string]string{"#ffffff": s.Light, "#f6f6f3": s.Light, "#15171b": s.Dark, "#181b1f": s.Dark, "#1d2025": s.Dark} {
			if c := contrast(t, colour, ground); c < 4.5 {
				t.Errorf("%s: %s on %s has a contrast of %.1f, want 4.5", s.Name, colour, ground, c)
			}
		}
	}
	if c := contrast(t, "#f2a33a", "#ffffff"); c > 4.5 {
		t.Errorf("the measure calls orange on white readable: %.1f", c)
	}
}

func contrast(t *testing.T, a, b string) float64 {
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	sum := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil || len(colour) != 7 {
			t.Fatalf("%q is no colour", colour)
		}
		c := float64(n) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}

// lists is what a second list of strategies, or a second choice of a colour, looks like.
var lists = regexp.MustCompile(`["'](none|ttl|aside)["'](: *[^\n]{0,80})?,\s*["'](ttl|aside|tuned|stamped)["']|none[,|]ttl[,|]aside|` +
	`["'](none|ttl|aside|tuned|stamped)["']\W{1,4}["']#[0-9a-f]{6}`)

func TestNobodyElseListsTheStrategies(t *testing.T) {
	written := []string{".go", ".js", ".sh", ".yaml", ".yml", ".html", ".css"} // by hand; boards and reports are made from the list
	exempt := []string{
		"app/",        // the service defines them, and a test there compares
		"strategies/", // here
	}
	read := 0
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		path := strings.TrimPrefix(filepath.ToSlash(name), "../")
		if d.IsDir() && (d.Name() == "testdata" || d.Name() == "results" || d.Name() == "bin" || path != ".." && strings.HasPrefix(d.Name(), ".")) {
			return filepath.SkipDir
		}
		isTest := strings.HasSuffix(path, "_test.go")
		if d.IsDir() || isTest || !slices.Contains(written, filepath.Ext(path)) && d.Name() != "Tiltfile" && d.Name() != "Makefile" {
			return nil
		}
		if slices.ContainsFunc(exempt, func(folder string) bool { return strings.HasPrefix(path, folder) }) {
			return nil
		}
		read++
		text, err := os.ReadFile(name)
		if found := lists.Find(text); found != nil {
			t.Errorf("%s has %q of its own: strategies/strategies.json is the list", path, found)
		}
		return err
	})
	if err != nil || read < 50 {
		t.Fatalf("read %d files (%v)", read, err)
	}
	for _, own := range []string{`[]string{"none", "ttl"}`, `{"none": "x", "ttl": "y"}`, `['aside', 'stamped']`, `query: none,ttl,aside,stamped`, `"ttl": {"#b84e00"`} {
		if !lists.MatchString(own) {
			t.Errorf("%s passes for no list", own)
		}
	}
}
