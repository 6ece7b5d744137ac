package dashboards

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"example.com/strata/strategies"
)

// near is by how much two strategies may differ and still be called equal. The board speaks of the range that it
// shows, k6 of its whole run, and the replicas count from their start, when their caches were empty: with some
// hundred requests each, that alone made 1.26 between two that were equal.
const near = 1.5

const whoLied = "Who lied, and for how long?"

// theFirstScreenNamesTheWinner asks what the home board's tiles and table ask, and compares the names with figures from the other side:
// latencies as k6 measured them, and the counters as the replicas themselves give them.
func (s *pipeline) theFirstScreenNamesTheWinner(t *testing.T, visits []visit) {
	t.Helper()
	clients, replicas := clientMeans(t, visits), s.counted(t)
	perRequest, lied := make(map[string]float64), make([]string, 0, len(replicas))
	for _, name := range strategies.Names() {
		perRequest[name] = replicas[name].databaseSeconds / replicas[name].requests
		if replicas[name].stale > 0 {
			lied = append(lied, name)
		}
	}
	t.Logf("mean of a read as k6 saw it: %v; seconds in Postgres a request: %v; stale by the audit: %v", clients, perRequest, lied)

	home := s.firstScreen(t)
	fastest, mean := home.only(t, "Who answers fastest?")
	if clients[fastest] > near*least(clients) {
		t.Errorf("the board names %s as fastest, and k6 measured %v", fastest, clients)
	}
	if mean <= 0 || mean > near*clients[fastest] {
		t.Errorf("the board's mean of %s is %gs, and k6, which waited for it, measured %gs", fastest, mean, clients[fastest])
	}
	if frugal, _ := home.only(t, "Who asks the database least?"); perRequest[frugal] > near*least(perRequest) {
		t.Errorf("the board names %s as asking the database least, and the replicas counted %v", frugal, perRequest)
	}
	if _, cost := home.only(t, "What does it cost?"); cost <= 0 {
		t.Errorf("the dearest strategy costs %g s a request", cost)
	}
	s.whoLied(t, lied)

	answer := s.answer(t, home.table.Targets[0].Expr)
	slices.SortFunc(answer, func(a, b named) int { return int(a.value - b.value) })
	var order []string
	for _, one := range answer {
		order = append(order, one.name)
	}
	if diff := cmp.Diff(order, strategies.Names()); diff != "" {
		t.Errorf("the table's order (-got +want):\n%s", diff)
	}
	for _, one := range home.table.Targets {
		want := len(strategies.Names()) - 1 // none keeps nothing that could be audited or aged
		if one.LegendFormat == "stale for" {
			want = len(lied)
		}
		if got := s.answer(t, one.Expr); len(got) < want {
			t.Errorf("the column %q has %d lines: %v", one.LegendFormat, len(got), got)
		}
	}
}

// whoLied waits until the last scrape has told Prometheus of the last audit, and wants the tile to name all who lied and nobody else.
func (s *pipeline) whoLied(t *testing.T, lied []string) {
	t.Helper()
	var got []named
	for range 20 {
		got = s.firstScreen(t).tiles[whoLied]
		var names []string
		for _, one := range got {
			if one.value > 0 {
				names = append(names, one.name)
			}
		}
		slices.Sort(names)
		slices.Sort(lied)
		if slices.Equal(names, lied) && (len(lied) > 0 || len(got) == 1) {
			return
		}
		time.Sleep(scrapeInterval / 2)
		lied = lied[:0]
		for name, r := range s.counted(t) {
			if r.stale > 0 {
				lied = append(lied, name)
			}
		}
	}
	t.Errorf("the board says that these lied: %v; the replicas, these: %v", got, lied)
}

func least(of map[string]float64) float64 {
	var all []float64
	for _, v := range of {
		all = append(all, v)
	}
	return slices.Min(all)
}

// clientMeans are the means of all reads by strategy, in seconds, from the summaries of k6.
func clientMeans(t *testing.T, visits []visit) map[string]float64 {
	t.Helper()
	sums, counts, means := make(map[string]float64), make(map[string]float64), make(map[string]float64)
	for _, v := range visits {
		text, err := os.ReadFile(v.summary)
		if err != nil {
			t.Fatal(err)
		}
		var figures struct {
			Classes map[string]struct{ Count, Mean float64 }
		}
		if err := json.Unmarshal(text, &figures); err != nil {
			t.Fatal(err)
		}
		for name, class := range figures.Classes {
			if name != "write" {
				sums[v.strategy] += class.Count * class.Mean
				counts[v.strategy] += class.Count
			}
		}
		means[v.strategy] = sums[v.strategy] / counts[v.strategy]
	}
	return means
}

// counts are what the replicas of a strategy counted since they started.
type counts struct{ requests, databaseSeconds, stale float64 }

func (s *pipeline) counted(t *testing.T) map[string]counts {
	t.Helper()
	all := make(map[string]counts)
	for _, r := range s.services {
		res, err := http.Get("http://" + r.admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		reader := expfmt.NewTextParser(model.UTF8Validation)
		families, err := reader.TextToMetricFamilies(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		c := all[r.strategy]
		each := func(family string, labels map[string]string, add func(*dto.Metric)) {
			for _, m := range families[family].GetMetric() {
				has := make(map[string]string)
				for _, l := range m.GetLabel() {
					has[l.GetName()] = l.GetValue()
				}
				matches := has["strategy"] == r.strategy
				for name, value := range labels {
					matches = matches && has[name] == value
				}
				if matches {
					add(m)
				}
			}
		}
		each("http_server_request_duration_seconds", nil, func(m *dto.Metric) { c.requests += float64(m.GetHistogram().GetSampleCount()) })
		each("db_client_operation_duration_seconds", map[string]string{"db_system_name": "postgresql"}, func(m *dto.Metric) { c.databaseSeconds += m.GetHistogram().GetSampleSum() })
		each("strata_audit_total", map[string]string{"result": "stale"}, func(m *dto.Metric) { c.stale += m.GetCounter().GetValue() })
		all[r.strategy] = c
	}
	return all
}

// screen is what a visitor of the home board sees first.
type screen struct {
	tiles map[string][]named
	table panel
}

type named struct {
	name  string
	value float64
}

func (n named) String() string { return fmt.Sprintf("%s %.4g", n.name, n.value) }

func (s *pipeline) firstScreen(t *testing.T) screen {
	t.Helper()
	home := screen{tiles: make(map[string][]named)}
	for _, b := range readBoards(t) {
		for _, p := range b.Panels {
			if b.UID != "strata-caching" || p.GridPos.Y+p.GridPos.H > firstScreen {
				continue
			}
			switch p.Type {
			case "stat":
				home.tiles[p.Title] = s.answer(t, p.Targets[0].Expr)
			case "table":
				home.table = p
			}
		}
	}
	return home
}

// only is the one name and figure of a tile.
func (h screen) only(t *testing.T, title string) (string, float64) {
	t.Helper()
	if len(h.tiles[title]) != 1 || h.tiles[title][0].name == "" {
		t.Fatalf("%s is answered with %v, want one name and figure", title, h.tiles[title])
	}
	return h.tiles[title][0].name, h.tiles[title][0].value
}

// answer asks an expression over the whole run.
func (s *pipeline) answer(t *testing.T, expr string) []named {
	t.Helper()
	v := shown
	v.timeRange = "3m"
	var data struct {
		Result []struct {
			Metric map[string]string
			Value  [2]any
		}
	}
	if err := s.get("/api/v1/query?"+url.Values{"query": {v.fill(expr)}}.Encode(), &data); err != nil {
		t.Fatal(strings.TrimSpace(err.Error()))
	}
	var all []named
	for _, r := range data.Result {
		if value, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64); err == nil && value == value {
			all = append(all, named{r.Metric["strategy"], value})
		}
	}
	return all
}
