package httpapi

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
	"example.com/strata/app/telemetry"
)

func TestReadsAnswerUnderEveryStrategy(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped, Lab: true})
	for _, strategy := range cache.Strategies() {
		for _, path := range []string{"/v1/listings/7", "/v1/listings?city=lisbon&sort=price_asc&limit=3", "/v1/cities", "/v1/cities/lisbon/stats"} {
			first := s.get(t, path, "Strata-Strategy", strategy.String())
			second := s.get(t, path, "Strata-Strategy", strategy.String())
			if first.status != http.StatusOK || first.body != second.body || first.header.Get("ETag") == "" || first.header.Get("ETag") != second.header.Get("ETag") {
				t.Errorf("%s %s: status %d, then %d, or the second answer differs", strategy, path, first.status, second.status)
			}
			if got := second.header.Get("Cache-Status"); (strategy == cache.Stamped || strategy == cache.TTL) != strings.HasPrefix(got, "view-l1; hit") {
				t.Errorf("%s %s: Cache-Status of the second answer is %q", strategy, path, got)
			}
			again := s.get(t, path, "Strata-Strategy", strategy.String(), "If-None-Match", first.header.Get("ETag"))
			if again.status != http.StatusNotModified || again.body != "" {
				t.Errorf("%s %s: with its ETag status %d and %d bytes", strategy, path, again.status, len(again.body))
			}
			head := s.do(t, "HEAD", path, "", "Strata-Strategy", strategy.String())
			if head.status != http.StatusOK || head.body != "" || head.header.Get("ETag") != first.header.Get("ETag") {
				t.Errorf("%s %s: HEAD has status %d, %d bytes, ETag %q", strategy, path, head.status, len(head.body), head.header.Get("ETag"))
			}
		}
	}
}

func TestPagesFollowEachOtherToTheEnd(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	seen, pages, path := map[int64]bool{}, 0, "/v1/listings?city=lisbon&limit=7"
	for cursor := ""; ; pages++ {
		var page listing.Page
		s.get(t, path+"&cursor="+cursor).into(t, &page)
		for _, l := range page.Items {
			if seen[l.ID] || l.City != "lisbon" {
				t.Errorf("listing %d of %s comes twice or does not belong", l.ID, l.City)
			}
			seen[l.ID] = true
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(seen) != 20 || pages != 2 {
		t.Errorf("%d listings on %d pages before the last, want 20 on 2", len(seen), pages)
	}
}

func TestTheLaboratorysHeaderIsIgnoredElsewhere(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	for range 2 {
		if got := s.get(t, "/v1/cities", "Strata-Strategy", "no such thing"); got.status != http.StatusOK {
			t.Fatalf("status %d", got.status)
		}
	}
	if got := s.get(t, "/v1/cities", "Strata-Strategy", "none").header.Get("Cache-Status"); !strings.HasPrefix(got, "view-l1; hit") {
		t.Errorf("Cache-Status is %q", got)
	}
}

func TestAcceptDoesNotChangeTheTypeThatViewsKeep(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	for _, accept := range []string{"json", "text/html", "application/problem+json", ""} {
		if got := s.get(t, "/v1/cities", "Accept", accept).header.Get("Content-Type"); got != typeJSON {
			t.Errorf("Accept %q: Content-Type %q", accept, got)
		}
	}
}

func TestRequestsWithCredentialsPassByTheViews(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	for range 3 {
		if got := s.get(t, "/v1/cities", "Authorization", "Bearer "+testToken).header.Get("Cache-Status"); strings.Contains(got, "view") {
			t.Errorf("Cache-Status is %q", got)
		}
	}
}

func TestAListingsLife(t *testing.T) {
	for _, strategy := range []cache.Strategy{cache.None, cache.Stamped} {
		t.Run(strategy.String(), func(t *testing.T) { testLife(t, newService(t, cache.Config{Strategy: strategy})) })
	}
}

func testLife(t *testing.T, s *service) {
	created := s.write(t, "POST", "/v1/listings", goodBody(t, map[string]any{"amenities": []string{"lift", "balcony", "lift"}}))
	var l listing.Listing
	created.into(t, &l)
	path := created.header.Get("Location")
	if created.status != http.StatusCreated || path != "/v1/listings/"+strconv.FormatInt(l.ID, 10) || l.Version != 1 || l.Region != "Lisboa" {
		t.Fatalf("created: status %d, Location %q: %s", created.status, path, created.body)
	}
	if diff := cmp.Diff(l.Amenities, []string{"balcony", "lift"}); diff != "" {
		t.Error(diff)
	}
	s.sees(t, path, created)

	patched := s.write(t, "PATCH", path, `{"price_minor":99,"description":null,"city":"porto"}`, "If-Match", created.header.Get("ETag"))
	patched.into(t, &l)
	if patched.status != http.StatusOK || l.PriceMinor != 99 || l.Description != "" || l.City != "porto" || l.Region != "Norte" || l.Version != 2 || l.Title != "Flat with a view" {
		t.Fatalf("patched: status %d: %s", patched.status, patched.body)
	}
	s.sees(t, path, patched)

	late := s.write(t, "PUT", path, goodBody(t, nil), "If-Match", created.header.Get("ETag"))
	if late.status != http.StatusPreconditionFailed {
		t.Errorf("a write that is late: status %d", late.status)
	}
	replaced := s.write(t, "PUT", path, goodBody(t, map[string]any{"title": "Other"}), "If-Match", created.header.Get("ETag")+", "+patched.header.Get("ETag"))
	replaced.into(t, &l)
	if replaced.status != http.StatusOK || l.Title != "Other" || l.City != "lisbon" || l.Version != 3 {
		t.Fatalf("replaced: status %d: %s", replaced.status, replaced.body)
	}
	s.sees(t, path, replaced)

	gone := s.write(t, "DELETE", path, "", "If-Match", "*")
	if gone.status != http.StatusNoContent || gone.body != "" || gone.header.Get("Strata-Seen") == "" {
		t.Errorf("deleted: status %d, Strata-Seen %q", gone.status, gone.header.Get("Strata-Seen"))
	}
	if got := s.get(t, path); got.status != http.StatusNotFound {
		t.Errorf("after its deletion: status %d", got.status)
	}
	if got := s.write(t, "DELETE", path, "", "If-Match", "*"); got.status != http.StatusNotFound {
		t.Errorf("deleted again: status %d", got.status)
	}
}

// sees checks that a read, without a word about the write before it, shows what the write answered, and with its ETag.
func (s *service) sees(t *testing.T, path string, write reply) {
	t.Helper()
	if commit, err := freshness.ParseCommit(write.header.Get("Strata-Seen")); err != nil || commit.Epoch == 0 {
		t.Errorf("Strata-Seen is %q", write.header.Get("Strata-Seen"))
	}
	got := s.get(t, path)
	if got.body != write.body || got.header.Get("ETag") != write.header.Get("ETag") {
		t.Errorf("%s: the write answered %s %s, the read after it %s %s", path, write.header.Get("ETag"), write.body, got.header.Get("ETag"), got.body)
	}
}

func TestAWriteShowsAtOnceInEverythingItTouches(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	paths := []string{"/v1/listings/3", "/v1/listings?city=porto", "/v1/listings?city=faro", "/v1/listings?limit=100", "/v1/cities", "/v1/cities/porto/stats", "/v1/cities/faro/stats"}
	other := s.get(t, "/v1/cities/lisbon/stats").header.Get("ETag")
	before := make(map[string]reply)
	for _, path := range paths {
		before[path] = s.get(t, path)
	}
	if got := s.write(t, "PATCH", "/v1/listings/3", `{"city":"faro"}`); got.status != http.StatusOK {
		t.Fatalf("status %d: %s", got.status, got.body)
	}
	for _, path := range paths {
		if s.get(t, path).body == before[path].body {
			t.Errorf("%s is as before", path)
		}
	}
	if got := s.get(t, "/v1/cities/lisbon/stats"); got.header.Get("ETag") != other || !strings.HasPrefix(got.header.Get("Cache-Status"), "view-l1; hit") {
		t.Errorf("statistics of a city that was not touched: %q", got.header.Get("Cache-Status"))
	}
}

func TestAReadIsAtLeastAsNewAsWhatItsClientHasSeen(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	for i := range 20 {
		s.get(t, "/v1/listings/1") // so that there is something stale to serve
		var xid string
		price := 1000 + i
		if err := s.owner.QueryRow(t.Context(), `UPDATE listings SET price_minor = $1 WHERE id = 1 RETURNING pg_current_xact_id()::text`, price).Scan(&xid); err != nil {
			t.Fatal(err)
		}
		var l listing.Listing
		s.get(t, "/v1/listings/1", "Strata-Seen", xid).into(t, &l)
		if l.PriceMinor != int64(price) {
			t.Fatalf("round %d: price %d, want %d", i, l.PriceMinor, price)
		}
	}
}

func TestAnInventedTransactionCostsAMomentAndNoMore(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	start := time.Now()
	got := s.get(t, "/v1/listings/1", "Strata-Seen", "18446744073709551615")
	if got.status != http.StatusOK || time.Since(start) > s.cfg.RequestTimeout/2 { // that it would take if it waited for the transaction
		t.Errorf("status %d after %v", got.status, time.Since(start))
	}
}

func TestEveryAnswerIsCountedOnce(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped, Lab: true})
	asked := 0
	ask := func(r reply) { asked++ }
	for _, strategy := range cache.Strategies() {
		for range 2 {
			for _, path := range []string{"/v1/listings/1", "/v1/listings/999", "/v1/listings?city=porto", "/v1/listings?city=a&city=b", "/v1/cities", "/v1/cities/porto/stats", "/nowhere", "/docs"} {
				ask(s.get(t, path, "Strata-Strategy", strategy.String()))
			}
		}
		ask(s.do(t, "HEAD", "/v1/cities", "", "Strata-Strategy", strategy.String()))
		ask(s.write(t, "PATCH", "/v1/listings/1", `{"price_minor":5}`, "Strata-Strategy", strategy.String()))
		ask(s.do(t, "POST", "/v1/listings", "{}"))
		ask(s.do(t, "BREW", "/v1/listings", ""))
		ask(s.do(t, "PUT", "/v1/cities", ""))
	}
	sum, bySource := s.sum(t, telemetry.MetricAnswers, telemetry.LabelSource)
	if int(sum) != asked {
		t.Errorf("%v answers are counted, %d were given: %v", sum, asked, bySource)
	}
	for _, source := range cache.Sources {
		if _, ok := bySource[source.String()]; !ok {
			t.Errorf("source %s has no counter", source)
		}
	}
	for _, source := range []cache.Source{cache.SourceViewL1, cache.SourcePostgres, cache.SourceError} {
		if bySource[source.String()] == 0 {
			t.Errorf("no answer came from %s: %v", source, bySource)
		}
	}
	observed, byRoute := s.sum(t, telemetry.MetricHTTPDuration, telemetry.LabelRoute)
	if int(observed) != asked {
		t.Errorf("%v durations are observed, %d answers were given", observed, asked)
	}
	want := map[string]bool{"": true, "/v1/listings": true, "/v1/listings/{id}": true, "/v1/cities": true, "/v1/cities/{city}/stats": true, "/docs": true}
	for route := range byRoute {
		if !want[route] {
			t.Errorf("there is a route %q", route)
		}
		delete(want, route)
	}
	if len(want) > 0 {
		t.Errorf("these routes were not observed: %v", want)
	}
	if active, _ := s.sum(t, telemetry.MetricHTTPActive, telemetry.LabelMethod); active != 0 {
		t.Errorf("%v requests are still being served", active)
	}
}

// sum adds up a metric: in all, and by the value of a label.
func (s *service) sum(t *testing.T, metric, label string) (sum float64, by map[string]float64) {
	t.Helper()
	families, err := s.tel.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	by = make(map[string]float64)
	for _, family := range families {
		if family.GetName() != metric {
			continue
		}
		for _, m := range family.GetMetric() {
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			sum += value
			by[labelOf(m, label)] += value
		}
	}
	return sum, by
}

func labelOf(m *dto.Metric, name string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return fmt.Sprintf("no label %s", name)
}
