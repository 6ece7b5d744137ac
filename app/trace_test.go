package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receiver is an OTLP collector that keeps what it is sent.
type receiver struct {
	mu    sync.Mutex
	spans []*tracepb.Span
}

// receive starts a receiver that the services of this test send their spans to. What is not sent before is sent when they stop.
func receive(t *testing.T) *receiver {
	t.Helper()
	r := new(receiver)
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
		"OTEL_TRACES_SAMPLER": "parentbased_always_off", "OTEL_BSP_SCHEDULE_DELAY": "600000",
	} {
		t.Setenv(name, value)
	}
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	var export collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &export) != nil {
		http.Error(w, "not an export request", http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range export.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (r *receiver) received() []*tracepb.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans)
}

func traceID(n int) string { return fmt.Sprintf("%032x", n) }

// traced is the header line of a request that its caller traces.
func traced(n int) string { return fmt.Sprintf("traceparent: 00-%s-b7ad6b7169203331-01", traceID(n)) }

// tree writes the spans of a trace, children below their parents in the order in which they began. What differs from run to run is a star.
func tree(all []*tracepb.Span, trace string) string {
	var b strings.Builder
	names := make(map[string]string)
	for _, s := range all {
		names[string(s.SpanId)] = s.Name
	}
	var write func(parent, indent string)
	write = func(parent, indent string) {
		var children []*tracepb.Span
		for _, s := range all {
			if hex.EncodeToString(s.TraceId) == trace && hex.EncodeToString(s.ParentSpanId) == parent {
				children = append(children, s)
			}
		}
		slices.SortStableFunc(children, func(a, b *tracepb.Span) int { return int(int64(a.StartTimeUnixNano) - int64(b.StartTimeUnixNano)) })
		for _, s := range children {
			fmt.Fprintf(&b, "%s%s (%s)%s\n", indent, s.Name, strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_")), map[bool]string{true: " failed"}[s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR])
			var lines []string
			for _, a := range s.Attributes {
				lines = append(lines, indent+"    "+a.Key+" = "+shown(a)+"\n")
			}
			slices.Sort(lines)
			b.WriteString(strings.Join(lines, ""))
			for _, l := range s.Links {
				fmt.Fprintf(&b, "%s    link to %s\n", indent, names[string(l.SpanId)])
			}
			write(hex.EncodeToString(s.SpanId), indent+"  ")
		}
	}
	write("b7ad6b7169203331", "")
	return b.String()
}

func shown(a *common.KeyValue) string {
	switch a.Key {
	case "server.port", "server.address", "db.namespace", "strata.age_ms":
		return "*"
	}
	switch v := a.Value.Value.(type) {
	case *common.AnyValue_StringValue:
		return v.StringValue
	case *common.AnyValue_IntValue:
		return fmt.Sprint(v.IntValue)
	case *common.AnyValue_BoolValue:
		return fmt.Sprint(v.BoolValue)
	}
	return a.Value.String()
}

func TestSpansOfEachKindOfRequest(t *testing.T) {
	received := receive(t)
	ownerURL, app := seeded(t, 200)
	emptyRedis(t) // an entry of another test's database would take no mark
	a, b := serve(t, app), serve(t, app)
	auth := "Authorization: Bearer " + writeToken
	kinds := []string{"", "miss", "view_l1", "view_l2", "page", "write", "after_write", "error"}
	a.want(t, "/v1/listings/7", traced(1))
	a.want(t, "/v1/listings/7", traced(2))
	b.want(t, "/v1/listings/7", traced(3))
	a.want(t, "/v1/listings?city=lisbon&limit=3", traced(4))
	wrote := a.ask(t, "PATCH", "/v1/listings/7", `{"price_minor": 5}`, auth, traced(5))
	a.want(t, "/v1/listings/7", traced(6), "Strata-Seen: "+wrote.header.Get("Strata-Seen"))
	execOn(t, ownerURL, `ALTER TABLE listings RENAME TO elsewhere`)
	if got := a.ask(t, "GET", "/v1/listings/193", "", traced(7)); got.status != http.StatusServiceUnavailable {
		t.Errorf("without its table: %d, want 503", got.status)
	}
	execOn(t, ownerURL, `ALTER TABLE elsewhere RENAME TO listings`)
	for _, s := range []*service{a, b} {
		if err := s.stop(); err != nil {
			t.Fatal(err)
		}
	}
	for n, kind := range kinds[1:] {
		got, golden := tree(received.received(), traceID(n+1)), filepath.Join("testdata", "spans_"+kind+".golden")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
			t.Errorf("spans of %s (-want +got; go test ./app -run Spans -update writes them):\n%s", kind, diff)
		}
	}
}

func emptyRedis(t *testing.T) {
	t.Helper()
	opts, err := redis.ParseURL(stack.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	defer func() { _ = client.Close() }()
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func execOn(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestFirstReadAfterATracedWriteIsInItsTraceEvenIfNobodyTracesTheRead(t *testing.T) {
	received := receive(t)
	_, app := seeded(t, 200)
	s := serve(t, app)
	s.want(t, "/v1/listings/7")
	wrote := s.ask(t, "PATCH", "/v1/listings/7", `{"price_minor": 5}`, "Authorization: Bearer "+writeToken, traced(1))
	for range 3 {
		s.want(t, "/v1/listings/7", "Strata-Seen: "+wrote.header.Get("Strata-Seen"))
	}
	s.want(t, "/v1/listings/8") // not changed
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	if got := tree(received.received(), traceID(1)); strings.Count(got, "cache.load") != 1 {
		t.Errorf("the write's trace, which should hold one load:\n%s", got)
	}
}

func TestTerminatingUnderLoadLosesNoSpan(t *testing.T) {
	received := receive(t)
	_, app := seeded(t, 200)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM) // as main does
	defer stop()
	s := serve(t, app)
	var mu sync.Mutex
	answered := make(map[string]bool)
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(answered) }
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			for n := 1; n < 1500; n++ {
				id := i*10_000 + n
				if a, err := s.try("GET", fmt.Sprintf("/v1/listings/%d", 1+n%50), "", traced(id)); err != nil || a.status != http.StatusOK {
					return // it came after the listener was closed
				}
				mu.Lock()
				answered[traceID(id)] = true
				mu.Unlock()
			}
		})
	}
	eventually(t, "requests are answered", func() bool { return count() >= 200 })
	missing := func() (n int) {
		sent := make(map[string]bool)
		for _, span := range received.received() {
			if strings.HasPrefix(span.Name, "GET ") {
				sent[hex.EncodeToString(span.TraceId)] = true
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for id := range answered {
			if !sent[id] {
				n++
			}
		}
		return n
	}
	if missing() == 0 {
		t.Error("all spans were sent before the end: this test would not notice if none were at the end")
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	clients.Wait()
	if got := missing(); got != 0 {
		t.Errorf("%d of %d answered requests have no span", got, count())
	}
}
