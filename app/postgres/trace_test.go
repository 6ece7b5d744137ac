package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
)

// traced makes the DB record its spans, and returns a context with a sampled span.
func traced(t *testing.T, db *DB) (context.Context, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	db.tracer = provider.Tracer("test")
	ctx, span := db.tracer.Start(t.Context(), "request")
	t.Cleanup(func() { span.End() })
	return ctx, spans
}

func TestEachQueryOfATracedRequestIsASpan(t *testing.T) {
	db := newSmallDatabase(t).open(t, Config{})
	ctx, spans := traced(t, db)
	ctx, _ = freshness.Collect(ctx)
	l, _, err := db.Create(ctx, draft("alpha"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Listing(ctx, l.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Listing(ctx, 99); !errors.Is(err, listing.ErrNotFound) {
		t.Fatal(err)
	}
	if _, _, err := db.Create(ctx, draft("nowhere")); !errors.Is(err, listing.ErrUnknownCity) {
		t.Fatal(err)
	}
	type span struct {
		Name, Summary, System, Status string
		Kind                          trace.SpanKind
		Failed                        bool
	}
	var got []span
	for _, s := range spans.Ended() {
		attrs := attribute.NewSet(s.Attributes()...)
		text := func(key attribute.Key) string { v, _ := attrs.Value(key); return v.AsString() }
		got = append(got, span{s.Name(), text("db.query.summary"), text("db.system.name"), text("db.response.status_code"), s.SpanKind(), s.Status().Code == codes.Error})
	}
	want := []span{
		{"create_listing", "create_listing", "postgresql", "", trace.SpanKindClient, false},
		{"listing_by_id", "listing_by_id", "postgresql", "", trace.SpanKindClient, false},
		{"listing_by_id", "listing_by_id", "postgresql", "", trace.SpanKindClient, false},
		{"create_listing", "create_listing", "postgresql", "23503", trace.SpanKindClient, true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}

func TestLogOfATracedWriteLeadsToItsRequest(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{PoolSize: 1})
	ctx, _ := traced(t, db)
	l, xid, err := db.Create(ctx, draft("alpha"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := db.Update(t.Context(), l.ID, 0, draft("beta")); err != nil { // the same connection, not traced
		t.Fatal(err)
	}
	const logged = `SELECT coalesce(traceparent, '') FROM change_log ORDER BY seq DESC OFFSET $1 LIMIT 1`
	sc := trace.SpanContextFromContext(ctx)
	if got, want := one[string](t, d, logged, 1), "00-"+sc.TraceID().String()+"-"+sc.SpanID().String()+"-01"; got != want {
		t.Errorf("traced write left traceparent %q, want %q", got, want)
	}
	if got := one[string](t, d, logged, 0); got != "" {
		t.Errorf("untraced write left traceparent %q", got)
	}
	if got := one[string](t, d, `SELECT xid::text FROM change_log ORDER BY seq DESC OFFSET 1 LIMIT 1`); got != xid.XID.String() {
		t.Errorf("the log has transaction %s, the write returned %s", got, xid)
	}
}

func TestEachQueryHasItsMetricFromTheStart(t *testing.T) {
	d := newSmallDatabase(t)
	db := d.open(t, Config{})
	if len(db.metrics.seconds) != len(queryNames) {
		t.Errorf("%d metrics for %d queries", len(db.metrics.seconds), len(queryNames))
	}
	for _, name := range queryNames {
		if db.metrics.seconds[operation{name, "none"}] == nil {
			t.Errorf("query %s has no metric", name)
		}
		if strings.ToLower(name) != name || strings.ContainsAny(name, " .-") {
			t.Errorf("query name %q is not in snake case", name)
		}
	}
	if _, err := db.Cities(t.Context()); err != nil { // would panic without its metric
		t.Fatal(err)
	}
}
