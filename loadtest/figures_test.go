package main

import (
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"example.com/strata/loadtest/report"
)

func TestDistributionCountsEveryDurationInItsBucket(t *testing.T) {
	durations := []time.Duration{0, time.Millisecond, time.Millisecond, 40 * time.Millisecond, 200 * time.Second}
	buckets := distribution(durations)
	if got := count(buckets, 0); got != int64(len(durations)) {
		t.Errorf("got %d in all buckets, want %d", got, len(durations))
	}
	if got := count(buckets, 0.005); got != 2 {
		t.Errorf("got %d above 5 ms, want 2", got)
	}
	if got := len(distribution(nil)); got != 0 {
		t.Errorf("nothing makes %d buckets, want none", got)
	}
}

func TestQuantileIsOneOfTheDurations(t *testing.T) {
	sorted := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 6, 0.99: 10, 1: 10} {
		if got := quantile(sorted, q); got != want {
			t.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("quantile of nothing: got %v, want 0", got)
	}
}

func TestPercentilesOfK6BecomeTheSameDistribution(t *testing.T) {
	// 10,000 observations, evenly on a logarithmic axis between 1 ms and 1 s.
	value := func(percent float64) float64 { return 0.001 * math.Pow(1000, percent/100) }
	latency := k6Latency{Count: 10_000, Min: value(0), Max: value(100)}
	for p := 0.5; p < 100; p += 0.5 {
		latency.Percentiles = append(latency.Percentiles, [2]float64{p, value(p)})
	}
	buckets := latency.buckets()
	if got := count(buckets, 0); got != 10_000 {
		t.Errorf("got %d in all buckets, want 10000", got)
	}
	for _, half := range []float64{value(25), value(50), value(75), value(99)} {
		want := 10_000 * (1 - math.Log(half/0.001)/math.Log(1000))
		// A bucket is a sixtieth of the range, and cannot be told apart.
		if got := float64(count(buckets, half)); math.Abs(got-want) > 10_000/60+1 {
			t.Errorf("got %.0f above %.4f s, want about %.0f", got, half, want)
		}
	}
	if got := latency.percentile(50); got != value(50) {
		t.Errorf("p50: got %v, want %v", got, value(50))
	}
	if got := len((k6Latency{}).buckets()); got != 0 {
		t.Errorf("nothing makes %d buckets, want none", got)
	}
}

// count returns how many observations lie in buckets above a duration in seconds.
func count(buckets []report.Bucket, above float64) (n int64) {
	for _, b := range buckets {
		if b.UpTo > above {
			n += b.Count
		}
	}
	return n
}

func TestScrapesAreComparedByLabel(t *testing.T) {
	bodies := []string{`# TYPE strata_answers_total counter
strata_answers_total{source="view_l1",strategy="stamped"} 100
strata_answers_total{source="postgres",strategy="stamped"} 50
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{http_request_method="GET",le="+Inf"} 140
http_server_request_duration_seconds_sum{http_request_method="GET"} 1
http_server_request_duration_seconds_count{http_request_method="GET"} 140
http_server_request_duration_seconds_bucket{http_request_method="PATCH",http_response_status_code="200",le="+Inf"} 10
http_server_request_duration_seconds_sum{http_request_method="PATCH",http_response_status_code="200"} 1
http_server_request_duration_seconds_count{http_request_method="PATCH",http_response_status_code="200"} 10
`, `# TYPE strata_answers_total counter
strata_answers_total{source="view_l1",strategy="stamped"} 190
strata_answers_total{source="postgres",strategy="stamped"} 65
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{http_request_method="GET",le="+Inf"} 240
http_server_request_duration_seconds_sum{http_request_method="GET"} 2
http_server_request_duration_seconds_count{http_request_method="GET"} 240
http_server_request_duration_seconds_bucket{http_request_method="PATCH",http_response_status_code="200",le="+Inf"} 15
http_server_request_duration_seconds_sum{http_request_method="PATCH",http_response_status_code="200"} 2
http_server_request_duration_seconds_count{http_request_method="PATCH",http_response_status_code="200"} 15
# TYPE strata_cache_requests_total counter
strata_cache_requests_total{level="view",layer="l1",class="page",outcome="hit",strategy="stamped"} 90
strata_cache_requests_total{level="view",layer="l1",class="page",outcome="miss",strategy="stamped"} 6
strata_cache_requests_total{level="view",layer="l1",class="stats",outcome="invalidated",strategy="stamped"} 4
strata_cache_requests_total{level="view",layer="l1",class="stats",outcome="bypass",strategy="stamped"} 1000
strata_cache_requests_total{level="data",layer="l2",class="stats",outcome="hit",strategy="stamped"} 0
`}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(bodies[0]))
		bodies = bodies[1:]
	}))
	t.Cleanup(service.Close)
	before, err := scrapeMetrics(t.Context(), service.URL)
	if err != nil {
		t.Fatal(err)
	}
	after, err := scrapeMetrics(t.Context(), service.URL)
	if err != nil {
		t.Fatal(err)
	}
	got := between(before, after)
	if got.requests != 105 || got.answers["view_l1"] != 90 || got.answers["postgres"] != 10 {
		t.Errorf("got %d requests and reads %v, want 105, of them 90 from view_l1 and 10 from postgres: the 5 writes are not reads", got.requests, got.answers)
	}
	if math.Abs(got.hitRatio-0.9) > 1e-9 {
		t.Errorf("hit ratio: got %v, want 0.9", got.hitRatio)
	}
	if len(got.layers) != 1 || math.Abs(got.layers["view_l1"]-0.9) > 1e-9 {
		t.Errorf("layers: got %v, want 0.9 of view_l1 and no other", got.layers)
	}
}

func TestCPUTimeOfThisProcessGrows(t *testing.T) {
	before, err := cpuSeconds(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	own := ownCPUSeconds()
	for began := ownCPUSeconds(); ownCPUSeconds() < began+0.05; { // burn some
	}
	after, err := cpuSeconds(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// Clock ticks are 10 ms.
	if after-before < 0.03 || ownCPUSeconds()-own < 0.05 {
		t.Errorf("after 50 ms of work: got %v s and %v s more", after-before, ownCPUSeconds()-own)
	}
	if rss, err := residentBytes(os.Getpid()); err != nil || rss == 0 {
		t.Errorf("got %d bytes, %v, want some", rss, err)
	}
	if _, err := cpuSeconds(1 << 30); err == nil {
		t.Error("a process that does not exist has used CPU time")
	}
}

func TestTimelineBeginsWithTheLoad(t *testing.T) {
	samples := []report.Sample{{Seconds: 0.5, Value: 1}, {Seconds: 1, Value: 2}, {Seconds: 1.5, Value: 3}, {Seconds: 2, Value: 4}}
	want := []report.Sample{{Seconds: 0.5, Value: 3}, {Seconds: 1, Value: 4}}
	if diff := cmp.Diff(want, lastOf(samples, time.Second)); diff != "" {
		t.Errorf("the last second (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(samples, lastOf(samples, time.Minute)); diff != "" {
		t.Errorf("more than there is (-want +got):\n%s", diff)
	}
}
