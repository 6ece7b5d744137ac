package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
)

const (
	sampledParent   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampledParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// receiver is a collector that keeps what it is sent.
type receiver struct {
	collector.UnimplementedTraceServiceServer
	mu        sync.Mutex
	spans     []*tracepb.Span
	resources map[string]string
	tenants   []string // the header that each batch came with
}

func (r *receiver) Export(ctx context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	r.keep(req, md.Get("tenant"))
	return &collector.ExportTraceServiceResponse{}, nil
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, hr *http.Request) {
	body, err := io.ReadAll(hr.Body)
	var req collector.ExportTraceServiceRequest
	if err != nil || hr.URL.Path != "/v1/traces" || proto.Unmarshal(body, &req) != nil {
		http.Error(w, "not an export request", http.StatusBadRequest)
		return
	}
	r.keep(&req, hr.Header.Values("Tenant"))
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *receiver) keep(req *collector.ExportTraceServiceRequest, tenants []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tenants = append(r.tenants, tenants...)
	r.resources = make(map[string]string)
	for _, rs := range req.ResourceSpans {
		for _, kv := range rs.Resource.Attributes {
			r.resources[kv.Key] = kv.Value.GetStringValue()
		}
		for _, ss := range rs.ScopeSpans {
			r.spans = append(r.spans, ss.Spans...)
		}
	}
}

func (r *receiver) named(name string) []*tracepb.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []*tracepb.Span
	for _, s := range r.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

func startGRPC(t *testing.T) (*receiver, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := new(receiver)
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, r)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return r, "http://" + l.Addr().String()
}

func startHTTP(t *testing.T) (*receiver, string) {
	t.Helper()
	r := new(receiver)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return r, server.URL
}

// quiet removes what the machine's own environment may say of traces.
func quiet(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES",
		"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
	} {
		t.Setenv(name, "")
	}
}

func newTelemetry(t *testing.T, out io.Writer, env map[string]string) *Telemetry {
	t.Helper()
	quiet(t)
	for name, value := range env {
		t.Setenv(name, value)
	}
	tel, err := New(t.Context(), Config{Version: "1.2.3"}, out)
	if err != nil {
		t.Fatal(err)
	}
	return tel
}

func shutdown(t *testing.T, tel *Telemetry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := tel.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestSpansReachACollectorByEitherProtocolAndNoneIsLostAtShutdown(t *testing.T) {
	for protocol, start := range map[string]func(*testing.T) (*receiver, string){"grpc": startGRPC, "http/protobuf": startHTTP} {
		t.Run(protocol, func(t *testing.T) {
			received, endpoint := start(t)
			tel := newTelemetry(t, io.Discard, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_HEADERS": "tenant=blue",
				"OTEL_SERVICE_NAME": "strata-a", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=lab",
			})
			const requests = 700 // more than one batch
			for range requests {
				ctx, server := tel.StartServer(t.Context(), sampledParent, "vendor=1", "GET /v1/listings/{id}", AttrHTTPRoute.String("/v1/listings/{id}"))
				_, load := tel.Tracer.Start(ctx, SpanCacheLoad, trace.WithAttributes(AttrClass.String("listing")))
				load.End()
				server.End()
			}
			shutdown(t, tel)

			servers, loads := received.named("GET /v1/listings/{id}"), received.named(SpanCacheLoad)
			if len(servers) != requests || len(loads) != requests {
				t.Fatalf("received %d server spans and %d loads, want %d each", len(servers), len(loads), requests)
			}
			if got := spanCount(t, tel, "sent"); got != 2*requests {
				t.Errorf("%s{result=sent} is %v, want %d", MetricSpans, got, 2*requests)
			}
			server := servers[0]
			load := loads[slices.IndexFunc(loads, func(s *tracepb.Span) bool { return bytes.Equal(s.ParentSpanId, server.SpanId) })]
			type seen struct {
				Kind                    tracepb.Span_SpanKind
				Trace, Parent, State    string
				ChildTrace, ChildParent bool
				Route, Class            string
			}
			got := seen{
				server.Kind, hexOf(server.TraceId), hexOf(server.ParentSpanId), server.TraceState,
				bytes.Equal(load.TraceId, server.TraceId), bytes.Equal(load.ParentSpanId, server.SpanId),
				attr(server, "http.route"), attr(load, "strata.cache.class"),
			}
			want := seen{
				tracepb.Span_SPAN_KIND_SERVER, "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "vendor=1",
				true, true, "/v1/listings/{id}", "listing",
			}
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("spans (-got +want):\n%s", diff)
			}
			for name, want := range map[string]string{"service.name": "strata-a", "service.version": "1.2.3", "deployment.environment.name": "lab", "telemetry.sdk.language": "go"} {
				if got := received.resources[name]; got != want {
					t.Errorf("resource %s is %q, want %q", name, got, want)
				}
			}
			if len(received.tenants) == 0 || received.tenants[0] != "blue" {
				t.Errorf("batches came with the headers %q, want tenant=blue", received.tenants)
			}
		})
	}
}

func TestTracesAreOffUnlessTheEnvironmentAsksForThem(t *testing.T) {
	for name, tt := range map[string]struct {
		env map[string]string
		on  bool
	}{
		"silent":             {nil, false},
		"sampler alone":      {map[string]string{"OTEL_TRACES_SAMPLER": "always_on"}, false},
		"endpoint":           {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true},
		"endpoint of traces": {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, true},
		"exporter":           {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true},
		"exporter none":      {map[string]string{"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
		"disabled":           {map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			tel := newTelemetry(t, io.Discard, tt.env)
			if got := tel.Sampled(sampledParent); got != tt.on {
				t.Errorf("a sampled parent is followed: %v, want %v", got, tt.on)
			}
			_, span := tel.StartServer(t.Context(), sampledParent, "", "GET /")
			if span.IsRecording() != tt.on {
				t.Errorf("the server span records: %v, want %v", span.IsRecording(), tt.on)
			}
			shutdown(t, tel)
		})
	}
}

func TestEnvironmentThatCannotBeUnderstoodIsNamedAndNoReasonNotToServe(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, tt := range []struct{ name, value string }{
		{"OTEL_TRACES_SAMPLER", "sometimes"},
		{"OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote"},
		{"OTEL_TRACES_SAMPLER_ARG", "2"},
		{"OTEL_TRACES_SAMPLER_ARG", "NaN"},
		{"OTEL_TRACES_SAMPLER_ARG", "half"},
		{"OTEL_TRACES_EXPORTER", "zipkin"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "authorization hunter2"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "tenant=blue,authorization=hunter2%zz"},
		{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a key=hunter2"},
		{"OTEL_RESOURCE_ATTRIBUTES", "no pairs"},
		{endpoint, "collector:4317"},
		{endpoint, "http://user:hunter2@bad host"},
	} {
		t.Run(tt.name+"="+tt.value, func(t *testing.T) {
			quiet(t)
			t.Setenv(endpoint, "http://127.0.0.1:1")
			t.Setenv(tt.name, tt.value)
			var log bytes.Buffer
			tel, err := New(t.Context(), Config{}, &log)
			if err != nil {
				t.Fatal(err)
			}
			defer shutdown(t, tel)
			if said := log.String(); !strings.Contains(said, tt.name) || strings.Contains(said, "hunter2") {
				t.Errorf("the log says %q, want a line that names %s and tells no password", said, tt.name)
			}
			for line := range strings.Lines(log.String()) {
				if !json.Valid([]byte(line)) {
					t.Errorf("a line is no JSON: %s", line)
				}
			}
		})
	}
}

func TestHeadDecisionFollowsTheParentOrTheRatio(t *testing.T) {
	low, high := "00-ffffffffffffffff0000000000000001-b7ad6b7169203331-", "00-0000000000000001ffffffffffffffff-b7ad6b7169203331-"
	for _, tt := range []struct {
		sampler, arg, traceparent string
		share                     float64 // of decisions that are yes
	}{
		{"", "", sampledParent, 1},
		{"", "", unsampledParent, 0},
		{"", "", "", defaultRatio},
		{"", "0.25", "", 0.25},
		{"", "0.25", "garbage", 0.25},
		{"parentbased_traceidratio", "", "", 1},
		{"parentbased_traceidratio", "0", sampledParent, 1},
		{"parentbased_always_on", "", unsampledParent, 0},
		{"parentbased_always_off", "", sampledParent, 1},
		{"parentbased_always_off", "", "", 0},
		{"always_on", "", unsampledParent, 1},
		{"always_off", "", sampledParent, 0},
		{"traceidratio", "0.5", low + "00", 1},
		{"traceidratio", "0.5", high + "01", 0},
		{"Traceidratio", " 1 ", high + "00", 1},
	} {
		t.Run(tt.sampler+" "+tt.arg+" "+tt.traceparent, func(t *testing.T) {
			s, err := newSampler(tt.sampler, tt.arg)
			if err != nil {
				t.Fatal(err)
			}
			const n = 200_000
			yes := 0
			for range n {
				if s.sampled(tt.traceparent) {
					yes++
				}
			}
			deviation := 6 * math.Sqrt(tt.share*(1-tt.share)/n) // six standard deviations: one false alarm in a thousand million
			if got := float64(yes) / n; math.Abs(got-tt.share) > deviation {
				t.Errorf("share of traces kept is %v, want %v ± %v", got, tt.share, deviation)
			}
		})
	}
}

func TestSpanIsMadeExactlyWhereTheHeadDecidedSo(t *testing.T) {
	received, endpoint := startGRPC(t)
	tel := newTelemetry(t, io.Discard, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_TRACES_SAMPLER_ARG": "0.3",
	})
	want := 0
	for range 1000 {
		ctx := t.Context()
		var span trace.Span
		if tel.Sampled("") {
			want++
			if ctx, span = tel.StartServer(ctx, "", "", "root"); !span.SpanContext().IsSampled() {
				t.Fatal("the SDK dropped a span that the head had decided to keep")
			}
		}
		_, child := tel.Tracer.Start(ctx, "child")
		if child.IsRecording() != (span != nil) {
			t.Fatalf("the child records: %v, below a server span: %v", child.IsRecording(), span != nil)
		}
		child.End()
		if span != nil {
			span.End()
		}
	}
	_, orphan := tel.Tracer.Start(t.Context(), "orphan")
	orphan.End()
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), remote(t, unsampledParent))
	_, unsampled := tel.Tracer.Start(ctx, "orphan")
	unsampled.End()
	shutdown(t, tel)
	if got := len(received.named("root")); got != want || want == 0 {
		t.Errorf("received %d roots, want %d", got, want)
	}
	if got := len(received.named("child")); got != want {
		t.Errorf("received %d children, want %d", got, want)
	}
	if got := len(received.named("orphan")); got != 0 {
		t.Errorf("received %d spans that belong to no request, want none", got)
	}
}

func TestRequestThatIsNotTracedAllocatesNothing(t *testing.T) {
	tel := newTelemetry(t, io.Discard, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER_ARG": "0"})
	defer func() { shutdown(t, tel) }()
	ctx := t.Context()
	for name, f := range map[string]func(){
		"Sampled with a parent":    func() { tel.Sampled(sampledParent) },
		"Sampled without a parent": func() { tel.Sampled("") },
		"Tracer.Start":             func() { _, span := tel.Tracer.Start(ctx, SpanCacheLoad); span.End() },
		"Traceparent":              func() { Traceparent(ctx) },
	} {
		if got := testing.AllocsPerRun(1000, f); got != 0 {
			t.Errorf("%s allocates %v times, want 0", name, got)
		}
	}
}

// traceparents are headers that are hard to tell good from bad.
var traceparents = []string{
	sampledParent, unsampledParent, "", "00", "garbage",
	"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	"00-00000000000000000000000000000000-b7ad6b7169203331-01",
	"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
	"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-more",
	"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02",
	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03",
	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-04",
	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
	"00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
	"00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
	"0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}

func TestTraceparentIsReadAsOpenTelemetryReadsIt(t *testing.T) {
	for _, h := range traceparents {
		checkTraceparent(t, h)
	}
}

func FuzzTraceparent(f *testing.F) {
	for _, h := range traceparents {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, h string) { checkTraceparent(t, h) })
}

func checkTraceparent(t *testing.T, h string) {
	t.Helper()
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": h})
	want := trace.SpanContextFromContext(ctx)
	parsed, ok := parseTraceparent(h)
	got := trace.NewSpanContext(parsed)
	if ok != want.IsValid() || ok && !got.Equal(want) {
		t.Errorf("%q: parsed as %v, %v, want %v, %v", h, got, ok, want, want.IsValid())
	}
}

func TestTraceparentRoundTrips(t *testing.T) {
	ctx := trace.ContextWithRemoteSpanContext(t.Context(), remote(t, sampledParent))
	if got := Traceparent(ctx); got != sampledParent {
		t.Errorf("traceparent is %q, want %q", got, sampledParent)
	}
}

func TestLostSpansAreCountedAndLoggedOnce(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer refusing.Close()
	var log bytes.Buffer
	tel := newTelemetry(t, &log, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": refusing.URL})
	for range 2 {
		_, span := tel.StartServer(t.Context(), sampledParent, "", "GET /")
		span.End()
		if err := tel.provider.ForceFlush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := spanCount(t, tel, "lost"); got != 2 {
		t.Errorf("%s{result=lost} is %v, want 2", MetricSpans, got)
	}
	shutdown(t, tel)
	if got := strings.Count(log.String(), "spans are being lost"); got != 1 {
		t.Errorf("the loss is logged %d times, want once:\n%s", got, log.String())
	}
}

func TestSpansThatTheQueueCannotHoldAreCounted(t *testing.T) {
	received, endpoint := startHTTP(t)
	tel := newTelemetry(t, io.Discard, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_SCHEDULE_DELAY": "600000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "600",
	})
	for range 25 {
		_, span := tel.StartServer(t.Context(), sampledParent, "", "GET /")
		span.End()
	}
	shutdown(t, tel)
	sent, dropped := spanCount(t, tel, "sent"), spanCount(t, tel, "dropped")
	if got := len(received.named("GET /")); float64(got) != sent || sent+dropped != 25 || dropped == 0 {
		t.Errorf("%d spans received, %v counted as sent and %v as dropped, of 25", got, sent, dropped)
	}
}

func TestAttributesThatOpenTelemetryNamesAreNamedSo(t *testing.T) {
	for ours, theirs := range map[string]string{
		string(AttrHTTPMethod): string(semconv.HTTPRequestMethodKey), string(AttrHTTPRoute): string(semconv.HTTPRouteKey),
		string(AttrHTTPStatus): string(semconv.HTTPResponseStatusCodeKey), string(AttrURLPath): string(semconv.URLPathKey),
		string(AttrURLScheme): string(semconv.URLSchemeKey), string(AttrURLQuery): string(semconv.URLQueryKey), string(AttrProtocolVersion): string(semconv.NetworkProtocolVersionKey), string(AttrServerPort): string(semconv.ServerPortKey),
		string(AttrErrorType): string(semconv.ErrorTypeKey), string(AttrDBSystem): string(semconv.DBSystemNameKey),
		string(AttrDBOperation): string(semconv.DBOperationNameKey), string(AttrDBSummary): string(semconv.DBQuerySummaryKey),
		string(AttrDBNamespace): string(semconv.DBNamespaceKey),
		string(AttrDBStatus):    string(semconv.DBResponseStatusCodeKey), string(AttrServerAddress): string(semconv.ServerAddressKey),
	} {
		if ours != theirs {
			t.Errorf("attribute %s is called %s by the semantic conventions", ours, theirs)
		}
	}
}

func BenchmarkSampledWithoutParent(b *testing.B) {
	s := sampler{on: true, byParent: true, bound: 1 << 56}
	b.ReportAllocs()
	for b.Loop() {
		s.sampled("")
	}
}

func BenchmarkSampledWithParent(b *testing.B) {
	s := sampler{on: true, byParent: true, bound: 1 << 56}
	b.ReportAllocs()
	for b.Loop() {
		s.sampled(unsampledParent)
	}
}
