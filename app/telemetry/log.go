package telemetry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// NewLogger returns a log alone, for commands that need no more of a Telemetry.
func NewLogger(cfg Config, out io.Writer) (*slog.Logger, error) {
	level, err := parseLevel(cfg.LogLevel)
	if err != nil {
		return nil, err
	}
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: tidy}
	switch cfg.LogFormat {
	case "", "json":
		return slog.New(traceHandler{slog.NewJSONHandler(out, opts)}), nil
	case "text":
		return slog.New(traceHandler{slog.NewTextHandler(out, opts)}), nil
	}
	return nil, fmt.Errorf("log format %q is neither json nor text", cfg.LogFormat)
}

func parseLevel(text string) (slog.Level, error) {
	switch text {
	case "debug":
		return slog.LevelDebug, nil
	case "", "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q is none of debug, info, warn, error", text)
}

type requestIDKey struct{}

// WithRequestID returns a context whose lines in the log name the request.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// traceHandler adds the request's id, and the ids of the context's span, so that a line leads to its trace.
type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		r.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	if id, ok := ctx.Value(requestIDKey{}).(string); ok {
		r.AddAttrs(slog.String("request_id", id))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}

// Hidden is printed in place of a secret.
const Hidden = "[hidden]"

// tidy hides secrets and prints durations for people. As to secrets it is the last line of defence, not the first: nobody
// logs a password on purpose, but the error of a driver may hold the URL that it was given.
func tidy(_ []string, a slog.Attr) slog.Attr {
	switch strings.ToLower(a.Key) {
	case "authorization", "password", "token", "tokens", "cookie", "secret":
		return slog.String(a.Key, Hidden)
	}
	switch a.Value.Kind() {
	case slog.KindDuration:
		return slog.String(a.Key, a.Value.Duration().String())
	case slog.KindString:
		if text := a.Value.String(); strings.Contains(text, "://") || strings.Contains(text, "password=") {
			return slog.String(a.Key, HidePasswords(text))
		}
	case slog.KindAny:
		if err, ok := a.Value.Any().(error); ok {
			return slog.String(a.Key, HidePasswords(err.Error()))
		}
	}
	return a
}

// HidePasswords returns text with the password of every URL in it replaced by Hidden, and so the value of every
// "password=". A URL that does not parse is covered too: it is what error messages quote.
func HidePasswords(text string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "://")
		b.WriteString(before)
		if !found {
			return hideParameters(b.String())
		}
		b.WriteString("://")
		authority := rest[:indexOr(rest, " \t\r\n\"'`")]
		at := strings.LastIndexByte(authority, '@') // the last: a password may hold one that was not escaped
		if user, _, ok := strings.Cut(authority[:max(at, 0)], ":"); ok {
			b.WriteString(user + ":" + Hidden)
			rest = rest[at:]
		}
		text = rest
	}
}

func hideParameters(text string) string {
	const name = "password="
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, name)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString(name + Hidden)
		text = rest[indexOr(rest, " \t\r\n\"'`&"):]
	}
}

// indexOr returns where the first of chars stands in text, or its length.
func indexOr(text, chars string) int {
	if i := strings.IndexAny(text, chars); i >= 0 {
		return i
	}
	return len(text)
}
