package report

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample reads a report of a whole run with four strategies.
func sample(t *testing.T) *Report {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, err := ReadJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	Find(r)
	return r
}

// partial returns reports that something is missing from.
func partial(t *testing.T) map[string]*Report {
	t.Helper()
	pick := func(change func(*Report)) *Report {
		r := sample(t)
		change(r)
		Find(r)
		return r
	}
	return map[string]*Report{
		"empty":              pick(func(r *Report) { *r = Report{} }),
		"baseline only":      pick(func(r *Report) { r.Strategies = r.Strategies[:1] }),
		"one cache only":     pick(func(r *Report) { r.Strategies = r.Strategies[3:] }),
		"no baseline":        pick(func(r *Report) { r.Strategies = r.Strategies[1:] }),
		"names only":         pick(func(r *Report) { r.Strategies = []Strategy{{Name: "none"}, {Name: "stamped"}} }),
		"unknown strategy":   pick(func(r *Report) { r.Strategies[1].Name = `<b>"odd" & $1` }),
		"no name":            pick(func(r *Report) { r.Strategies[1].Name = "" }),
		"no conditions":      pick(func(r *Report) { r.Conditions = Conditions{} }),
		"everything dropped": pick(func(r *Report) { r.Strategies[0].Dropped, r.Strategies[3].Errors = 9000, 48_000 }),
		"no witness": pick(func(r *Report) {
			for i := range r.Strategies {
				s := &r.Strategies[i]
				s.WitnessReads, s.WitnessWrites, s.StaleReads, s.StaleShare, s.Staleness, s.StaleByKind = 0, 0, 0, 0, nil, nil
				s.StalenessP50Seconds, s.StalenessP99Seconds, s.StalenessWorstSeconds = 0, 0, 0
			}
		}),
		"no distributions": pick(func(r *Report) {
			for i := range r.Strategies {
				s := &r.Strategies[i]
				s.Latency, s.Staleness, s.DBTimeline, s.Answers, s.Classes, s.LayerHitRatios = nil, nil, nil, nil, nil, nil
			}
		}),
		"distributions of nothing": pick(func(r *Report) {
			for i := range r.Strategies {
				s := &r.Strategies[i]
				s.Latency, s.Staleness, s.DBTimeline = []Bucket{{}}, []Bucket{{UpTo: 0, Count: 3}}, []Sample{{}}
			}
		}),
	}
}

func TestTableOfAWholeRunIsAsItWas(t *testing.T) {
	var b bytes.Buffer
	if err := WriteTable(&b, sample(t), false); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "table.golden")
	if *update {
		if err := os.WriteFile(golden, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(want)); diff != "" {
		t.Errorf("table differs from %s (-got +want); run with -update if that is meant:\n%s", golden, diff)
	}
	for _, line := range strings.Split(b.String(), "\n") {
		if width := len([]rune(line)); width > 110 {
			t.Errorf("line of %d columns: %s", width, line)
		}
	}
}

func TestColourChangesNothingButColour(t *testing.T) {
	r := sample(t)
	var without, with bytes.Buffer
	if err := errors.Join(WriteTable(&without, r, false), WriteTable(&with, r, true)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(without.String(), "\x1b") || !strings.Contains(with.String(), "\x1b") {
		t.Error("escapes are where no colour was asked for, or missing where it was")
	}
	stripped := regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(with.String(), "")
	if diff := cmp.Diff(trimmed(stripped), trimmed(without.String())); diff != "" {
		t.Errorf("text with colour differs (-with +without):\n%s", diff)
	}
}

// trimmed drops spaces at the ends of lines.
func trimmed(text string) string {
	return regexp.MustCompile(`(?m) +$`).ReplaceAllString(text, "")
}

func TestBestIsMarkedOnlyAmongWhatCanBeCompared(t *testing.T) {
	r := sample(t)
	best := func(name string) (marked []string) {
		for _, g := range r.groups() {
			for _, m := range g.measures {
				if m.name != name {
					continue
				}
				cells, _ := r.cells(m)
				for i, c := range cells {
					if c.Best {
						marked = append(marked, r.Strategies[i].Name)
					}
				}
			}
		}
		return marked
	}
	if diff := cmp.Diff(best("p99"), []string{"ttl"}); diff != "" {
		t.Error("p99:", diff)
	}
	if got := best("Failed"); got != nil {
		t.Errorf("best of a row of equal values: %v", got)
	}
	r.find("ttl").Dropped = 20_000
	if diff := cmp.Diff(best("p99"), []string{"stamped"}); diff != "" {
		t.Error("p99 where the run of ttl was spoilt:", diff)
	}
	r.find("ttl").CapacityRPS = 5000 // at least: nobody knows whether it is below that of stamped
	if got := best("Capacity, requests/s"); got != nil {
		t.Errorf("best capacity beside a lower bound: %v", got)
	}
}

func TestPageIsWellFormedAndNeedsNothingElse(t *testing.T) {
	reports := partial(t)
	reports["whole"] = sample(t)
	for name, r := range reports {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteHTML(&b, r); err != nil {
				t.Fatal(err)
			}
			text := readable(t, b.Bytes())
			for _, foreign := range []string{"ZgotmplZ", "<script", "<link", "src=", "@import", "url(", "href=", "NaN", "Inf"} {
				if strings.Contains(b.String(), foreign) {
					t.Errorf("page contains %q", foreign)
				}
			}
			for _, s := range r.sections(false) {
				for _, row := range s.Rows {
					for _, c := range row.Cells {
						if !strings.Contains(text, c.Text) {
							t.Errorf("%s: %q is missing", row.Name, c.Text)
						}
					}
				}
			}
			for _, f := range r.Findings {
				if !strings.Contains(text, strings.Join(strings.Fields(f.Text), " ")) {
					t.Errorf("finding is missing: %s", f.Text)
				}
			}
		})
	}
}

func TestPictureIsWellFormed(t *testing.T) {
	reports := partial(t)
	reports["whole"] = sample(t)
	for name, r := range reports {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := WriteSVG(&b, r); err != nil {
				t.Fatal(err)
			}
			readable(t, b.Bytes())
			if strings.Contains(b.String(), "var(") || strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
				t.Error("picture depends on a style sheet, or draws what is no number")
			}
		})
	}
}

func TestTableOfAPartialReportIsWritten(t *testing.T) {
	for name, r := range partial(t) {
		var b bytes.Buffer
		if err := WriteTable(&b, r, false); err != nil || b.Len() == 0 {
			t.Errorf("%s: %d bytes, %v", name, b.Len(), err)
		}
		if strings.Contains(b.String(), "NaN") || strings.Contains(b.String(), "Inf") {
			t.Errorf("%s: a figure is no number:\n%s", name, b.String())
		}
	}
}

// readable parses XML, fails if it is not well formed, and returns its text with single spaces.
func readable(t *testing.T, document []byte) string {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(document))
	var text strings.Builder
	ids := map[string]bool{}
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return strings.Join(strings.Fields(strings.ReplaceAll(text.String(), "\u00a0", " ")), " ")
		}
		if err != nil {
			t.Fatalf("not well formed: %v", err)
		}
		switch token := token.(type) {
		case xml.CharData:
			text.Write(token)
		case xml.StartElement:
			for _, a := range token.Attr {
				if a.Name.Local == "id" && ids[a.Value] {
					t.Errorf("id %q is there twice", a.Value)
				}
				if a.Name.Local == "id" {
					ids[a.Value] = true
				}
			}
		}
	}
}

func TestJSONComesBackAsItWent(t *testing.T) {
	for name, r := range map[string]*Report{"whole": sample(t), "empty": {Strategies: []Strategy{}, Findings: []Finding{}}} {
		var b bytes.Buffer
		if err := WriteJSON(&b, r); err != nil {
			t.Fatal(err)
		}
		back, err := ReadJSON(&b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(back, r); diff != "" {
			t.Errorf("%s (-got +want):\n%s", name, diff)
		}
	}
}

func TestJSONHasTheFieldsThatReadersRelyOn(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, &Report{Strategies: make([]Strategy, 1)}); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Strategies []map[string]any `json:"strategies"`
		Findings   []any            `json:"findings"`
	}
	if err := json.Unmarshal(b.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{
		"name", "rate_rps", "p50_seconds", "p95_seconds", "p99_seconds", "errors", "capacity_rps", "db_queries_per_request", "db_cpu_seconds",
		"service_cpu_seconds", "hit_ratio", "stale_share", "staleness_p99_seconds", "staleness_worst_seconds",
	} {
		if _, there := read.Strategies[0][field]; !there {
			t.Errorf("strategies[].%s is missing", field)
		}
	}
	if read.Findings == nil {
		t.Error("findings is null, want a list")
	}
}

func TestJSONThatIsNoReportIsRefused(t *testing.T) {
	if _, err := ReadJSON(strings.NewReader("not a report")); err == nil {
		t.Error("no error")
	}
}

func TestAProgramIsNamedOnceBesideItsVersion(t *testing.T) {
	for _, tt := range [][3]string{
		{"postgres", "15.18", "postgres 15.18"}, {"redis", "redis 7.0.15", "redis 7.0.15"}, {"redis", "valkey 8.1.4", "valkey 8.1.4"},
		{"redis", "miniredis", "miniredis"}, {"go", "go1.26.8", "go 1.26.8"}, {"k6", "v2.2.0", "k6 v2.2.0"}, {"kernel", "linux 6.1", "linux 6.1"},
		{"strata", "unknown", "strata unknown"},
	} {
		if got := versionOf(tt[0], tt[1]); got != tt[2] {
			t.Errorf("version %q of %s is shown as %q, want %q", tt[1], tt[0], got, tt[2])
		}
	}
}
