package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readyTimeout is less than the usual second that a Kubernetes probe waits: it must read our reason, not its own timeout.
const readyTimeout = 900 * time.Millisecond

// Admin is the port for operators and machines: metrics, probes and profiles. It is plain net/http on its own listener, so
// that it answers when the service is saturated.
type Admin struct {
	server   *http.Server
	ready    func(context.Context) error
	started  atomic.Bool
	draining atomic.Bool
}

// NewAdmin returns an admin server that calls itself ready when ready returns no error. Errors that are joined are printed
// one a line, so each should name what is not ready.
func NewAdmin(tel *Telemetry, ready func(context.Context) error) *Admin {
	a := &Admin{ready: ready}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(tel.Registry, promhttp.HandlerOpts{
		EnableOpenMetrics:   true, // exemplars are in no other text format
		Registry:            tel.Registry,
		ErrorLog:            slog.NewLogLogger(tel.Log.Handler(), slog.LevelError),
		MaxRequestsInFlight: 4, // one Prometheus, its twin, and two people
	}))
	mux.HandleFunc("GET /livez", a.livez)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /startupz", a.startupz)
	// Not pprof's cmdline: flags may hold passwords.
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	a.server = &http.Server{
		Handler:           mux,
		ErrorLog:          slog.NewLogLogger(tel.Log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * time.Minute, // a profile of a minute, and time to fetch it
		IdleTimeout:       2 * time.Minute, // longer than any scrape interval, so that connections are kept
	}
	return a
}

// Serve answers on l until Shutdown, and then returns nil. It closes l.
func (a *Admin) Serve(l net.Listener) error {
	if err := a.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the admin port: %w", err)
	}
	return nil
}

// SetStarted makes /startupz succeed, and lets /readyz ask the checks.
func (a *Admin) SetStarted() { a.started.Store(true) }

// SetDraining makes /readyz fail for good, so that no new traffic is sent here, while /livez goes on succeeding.
func (a *Admin) SetDraining() { a.draining.Store(true) }

// Shutdown stops listening and waits for the answers under way until ctx ends; those that are left are cut off then.
func (a *Admin) Shutdown(ctx context.Context) error {
	if err := a.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("closing the admin port: %w", err), a.server.Close())
	}
	return nil
}

// livez asks nobody: a process whose database is away must not be restarted for it.
func (a *Admin) livez(w http.ResponseWriter, _ *http.Request) { answer(w, nil) }

func (a *Admin) startupz(w http.ResponseWriter, _ *http.Request) {
	if !a.started.Load() {
		answer(w, errors.New("starting"))
		return
	}
	answer(w, nil)
}

func (a *Admin) readyz(w http.ResponseWriter, r *http.Request) {
	switch {
	case a.draining.Load():
		answer(w, errors.New("draining"))
		return
	case !a.started.Load():
		answer(w, errors.New("starting"))
		return
	case a.ready == nil:
		answer(w, nil)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	answer(w, a.ready(ctx))
}

// answer writes "ok", or 503 and one line for each thing that is wrong.
func answer(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	if err == nil {
		_, _ = io.WriteString(w, "ok\n")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	for line := range strings.Lines(HidePasswords(err.Error())) {
		_, _ = fmt.Fprintf(w, "not ready: %s\n", strings.TrimRight(line, "\n"))
	}
}
