package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"example.com/strata/app/cache"
	"example.com/strata/app/telemetry"
)

func TestASampledRequestLeavesAServerSpanAndAnExemplar(t *testing.T) {
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	var mu sync.Mutex
	var exported bytes.Buffer // OTLP: names and texts stand in it as they are
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.Copy(&exported, r.Body)
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
	s := newService(t, cache.Config{Strategy: cache.Stamped})

	s.get(t, "/v1/listings/5", "traceparent", "00-"+traceID+"-b7ad6b7169203331-01")
	s.get(t, "/v1/cities", "traceparent", "00-ffffffffffffffffffffffffffffffff-b7ad6b7169203331-00")
	if err := s.tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"GET /v1/listings/{id}", "/v1/listings/5", "strata.source", "stamped"} {
		if !bytes.Contains(exported.Bytes(), []byte(want)) {
			t.Errorf("%q is not in what was exported", want)
		}
	}
	if bytes.Contains(exported.Bytes(), []byte("/v1/cities")) {
		t.Error("a request whose caller does not trace it was traced")
	}
	if got := s.exemplars(t); len(got) != 1 || got[0] != traceID {
		t.Errorf("exemplars are of the traces %q, want %q", got, traceID)
	}
}

// exemplars returns the traces that the exemplars of the requests' durations lead to.
func (s *service) exemplars(t *testing.T) (traces []string) {
	t.Helper()
	families, err := s.tel.Registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != telemetry.MetricHTTPDuration {
			continue
		}
		for _, m := range family.GetMetric() {
			for _, bucket := range m.GetHistogram().GetBucket() {
				for _, pair := range bucket.GetExemplar().GetLabel() {
					traces = append(traces, pair.GetValue())
				}
			}
		}
	}
	return traces
}
