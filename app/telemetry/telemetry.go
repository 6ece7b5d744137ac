// Package telemetry is how the service is seen from outside: its log, its metrics, its traces and its admin port. Every
// name that leaves the process, of a metric, a label, a span or an attribute, stands in names.go.
package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Config holds the settings of a Telemetry. Zero values mean the defaults. Traces are configured by the standard OTEL_*
// variables alone.
type Config struct {
	LogLevel  string // debug, info, warn or error; info
	LogFormat string // json or text; json
	Service   string // what the service calls itself where OTEL_SERVICE_NAME does not say; strata
	Version   string // of the build; unknown
	Revision  string // the commit that it was built from; what the go command noted
}

// Telemetry is what every other package is handed to be seen by.
type Telemetry struct {
	Log      *slog.Logger         // adds trace_id and span_id of the context; hides secrets
	Registry *prometheus.Registry // of this service alone, so that two can live in one process
	Tracer   trace.Tracer         // starts spans only below a sampled one; see StartServer

	sampler  sampler
	root     trace.Tracer             // starts any span it is asked for
	provider *sdktrace.TracerProvider // nil where traces are off
}

// New returns a Telemetry that logs to out. It returns an error that names the variable if one of the OTEL_* variables that
// concern traces cannot be understood. The caller owns the result and ends it with Shutdown.
func New(ctx context.Context, cfg Config, out io.Writer) (*Telemetry, error) {
	if cfg.Service == "" {
		cfg.Service = "strata"
	}
	if cfg.Version == "" {
		cfg.Version = "unknown"
	}
	if cfg.Revision == "" {
		cfg.Revision = Revision()
	}
	log, err := NewLogger(cfg, out)
	if err != nil {
		return nil, err
	}
	t := &Telemetry{Log: log, Registry: newRegistry(cfg.Version, cfg.Revision)}
	if err := t.startTraces(ctx, cfg); err != nil { // no reason not to serve
		t.sampler = sampler{}
		t.Log.ErrorContext(ctx, "traces are off: what the environment says of them cannot be understood", "error", err)
	}
	return t, nil
}

// Shutdown sends the spans that are still held, and waits for it until ctx ends. Spans that end after it are lost.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last spans: %w", err)
	}
	return nil
}
