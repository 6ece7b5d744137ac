package telemetry

import (
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	dto "github.com/prometheus/client_model/go"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

func TestLatencyHistogramIsClassicAndNativeAndCountsTheObjective(t *testing.T) {
	reg := prometheus.NewRegistry()
	for name, opts := range map[string]prometheus.HistogramOpts{
		"latency_seconds": LatencyHistogram("latency_seconds", "h"), "age_seconds": AgeHistogram("age_seconds", "h"),
	} {
		promauto.With(reg).NewHistogram(opts).Observe(0.003)
		h := gather(t, reg, name).GetMetric()[0].GetHistogram()
		if h.GetSchema() == 0 || len(h.GetPositiveSpan()) == 0 {
			t.Errorf("%s has no native buckets", name)
		}
		objective := map[string]float64{"latency_seconds": .05, "age_seconds": .25}[name]
		found := false
		for _, b := range h.GetBucket() {
			found = found || b.GetUpperBound() == objective
		}
		if !found {
			t.Errorf("%s has no classic bucket at its objective of %v s", name, objective)
		}
	}
}

func TestExemplarIsRecordedOnlyOfATraceThatIsKept(t *testing.T) {
	h := prometheus.NewHistogram(LatencyHistogram("latency_seconds", "h"))
	for traceparent, want := range map[string]int{sampledParent: 1, unsampledParent: 0, "": 0} {
		reg := prometheus.NewRegistry()
		h = promauto.With(reg).NewHistogram(LatencyHistogram("latency_seconds", "h"))
		ctx := t.Context()
		if traceparent != "" {
			ctx = trace.ContextWithRemoteSpanContext(ctx, remote(t, traceparent))
		}
		Observe(ctx, h, 0.003)
		got := 0
		for _, b := range gather(t, reg, "latency_seconds").GetMetric()[0].GetHistogram().GetBucket() {
			if e := b.GetExemplar(); e != nil {
				got++
				if id := e.GetLabel()[0].GetValue(); id != "0af7651916cd43dd8448eb211c80319c" {
					t.Errorf("the exemplar's trace id is %s", id)
				}
			}
		}
		if got != want {
			t.Errorf("%q: %d exemplars, want %d", traceparent, got, want)
		}
	}
	if got := testing.AllocsPerRun(1000, func() { Observe(t.Context(), h, 0.003) }); got != 0 {
		t.Errorf("observing without a trace allocates %v times, want 0", got)
	}
}

func TestTwoServicesLiveInOneProcess(t *testing.T) {
	a, b := newTelemetry(t, io.Discard, nil), newTelemetry(t, io.Discard, nil)
	NewAdmin(a, nil)
	NewAdmin(b, nil)
	info := gather(t, b.Registry, MetricBuildInfo).GetMetric()[0]
	if !strings.Contains(info.String(), "1.2.3") {
		t.Errorf("%s does not tell the version: %v", MetricBuildInfo, info)
	}
}

func gather(t *testing.T, reg *prometheus.Registry, name string) *dto.MetricFamily {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f
		}
	}
	t.Fatalf("there is no metric %s", name)
	return nil
}

// spanCount is the value of strata_spans_total for one result.
func spanCount(t *testing.T, tel *Telemetry, result string) float64 {
	t.Helper()
	for _, m := range gather(t, tel.Registry, MetricSpans).GetMetric() {
		if m.GetLabel()[0].GetValue() == result {
			return m.GetCounter().GetValue()
		}
	}
	t.Fatalf("%s has no result %s", MetricSpans, result)
	return 0
}

func attr(s *tracepb.Span, key string) string {
	for _, kv := range s.Attributes {
		if kv.Key == key {
			return kv.Value.GetStringValue()
		}
	}
	return ""
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func remote(t *testing.T, traceparent string) trace.SpanContext {
	t.Helper()
	parent, ok := parseTraceparent(traceparent)
	if !ok {
		t.Fatalf("%q is not a traceparent", traceparent)
	}
	return trace.NewSpanContext(parent)
}
