package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// newExporter returns the exporter that the environment asks for. The exporters read the endpoint, headers, certificates and
// limits themselves. But where they cannot understand one they print it, secret or not, and go on without: so what people
// get wrong is checked here first.
func newExporter(ctx context.Context) (sdktrace.SpanExporter, error) {
	if kind := os.Getenv("OTEL_TRACES_EXPORTER"); kind != "" && kind != "otlp" {
		return nil, fmt.Errorf("OTEL_TRACES_EXPORTER: %q is neither otlp nor none", kind)
	}
	protocol, variable := firstEnv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	endpoint, endpointVariable := firstEnv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	if endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, fmt.Errorf("%s: not a URL of the form http://host:port or https://host:port", endpointVariable)
		}
	}
	if err := checkHeaders("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"); err != nil {
		return nil, err
	}
	switch protocol {
	case "grpc":
		return otlptracegrpc.New(ctx)
	case "", "http/protobuf":
		return otlptracehttp.New(ctx)
	}
	return nil, fmt.Errorf("%s: %q is neither grpc nor http/protobuf", variable, protocol)
}

// firstEnv returns the first of the variables that is set, and its name.
func firstEnv(names ...string) (value, name string) {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			return v, name
		}
	}
	return "", names[len(names)-1]
}

// checkHeaders returns an error that names the variable whose value is not of the form "name=value,name=value". Values are
// credentials more often than not, and are not quoted.
func checkHeaders(variables ...string) error {
	for _, variable := range variables {
		headers := strings.TrimSpace(os.Getenv(variable))
		if headers == "" {
			continue
		}
		for i, header := range strings.Split(headers, ",") {
			name, value, ok := strings.Cut(header, "=")
			if _, err := url.PathUnescape(value); !ok || err != nil || !headerName(strings.TrimSpace(name)) {
				return fmt.Errorf("%s: number %d is not of the form name=value, with special characters as %%20", variable, i+1)
			}
		}
	}
	return nil
}

func headerName(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

// countedExporter counts what the exporter took and lost, and says so in the log when that changes rather than at every
// batch: a collector that is away must not fill the disk.
type countedExporter struct {
	sdktrace.SpanExporter
	sent, lost prometheus.Counter
	log        *slog.Logger
	failing    atomic.Bool
	held       atomic.Int64 // spans that ended and are not yet sent or lost
}

func newCountedExporter(e sdktrace.SpanExporter, spans *prometheus.CounterVec, log *slog.Logger) *countedExporter {
	return &countedExporter{SpanExporter: e, sent: spans.WithLabelValues("sent"), lost: spans.WithLabelValues("lost"), log: log}
}

func newSpanCounter(reg prometheus.Registerer) *prometheus.CounterVec {
	spans := promauto.With(reg).NewCounterVec(prometheus.CounterOpts{
		Name: MetricSpans,
		Help: "Finished spans. Lost ones mean that the collector is away or refuses them: see the log, and the collector's own metrics. Dropped ones never got there, because more " +
			"ended than the collector takes: sample fewer (OTEL_TRACES_SAMPLER_ARG) or hold more (OTEL_BSP_MAX_QUEUE_SIZE).",
	}, []string{LabelResult})
	spans.WithLabelValues("sent")
	spans.WithLabelValues("lost")
	spans.WithLabelValues("dropped")
	return spans
}

// ExportSpans returns no error: the SDK would only print it.
func (e *countedExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	defer e.held.Add(-int64(len(spans)))
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err != nil {
		e.lost.Add(float64(len(spans)))
		if !e.failing.Swap(true) {
			e.log.WarnContext(ctx, "spans are being lost", "error", err)
		}
		return nil
	}
	e.sent.Add(float64(len(spans)))
	if e.failing.Swap(false) {
		e.log.InfoContext(ctx, "spans are being sent again")
	}
	return nil
}

// gate stands in front of the SDK's queue, which drops without a word what it cannot hold, and counts what it turns away.
type gate struct {
	sdktrace.SpanProcessor
	exporter *countedExporter
	most     int64
	dropped  prometheus.Counter
}

// newGate returns a processor that sends spans in batches.
func newGate(e *countedExporter, spans *prometheus.CounterVec) *gate {
	const byDefault = 8192 // four times the SDK's: a burst of spans that are all kept should not lose one
	most, err := strconv.Atoi(os.Getenv("OTEL_BSP_MAX_QUEUE_SIZE"))
	if err != nil || most <= 0 {
		most = byDefault
	}
	return &gate{
		SpanProcessor: sdktrace.NewBatchSpanProcessor(e, sdktrace.WithMaxQueueSize(most)),
		exporter:      e, most: int64(most), dropped: spans.WithLabelValues("dropped"),
	}
}

// OnEnd implements sdktrace.SpanProcessor.
func (g *gate) OnEnd(s sdktrace.ReadOnlySpan) {
	if g.exporter.held.Add(1) > g.most {
		g.exporter.held.Add(-1)
		g.dropped.Inc()
		return
	}
	g.SpanProcessor.OnEnd(s)
}
