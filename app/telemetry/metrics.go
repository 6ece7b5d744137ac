package telemetry

import (
	"context"
	"regexp"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"go.opentelemetry.io/otel/trace"
)

// LatencyHistogram returns the options of a histogram of seconds from 100 µs to 10 s. It is classic and native at once:
// Prometheus keeps both, so a board can show exact quantiles and still work where native histograms are switched off.
func LatencyHistogram(name, help string) prometheus.HistogramOpts {
	return histogram(name, help, []float64{
		.0001, .00025, .0005, .001, .0025, .005, .01, .025,
		.05, // the latency objective, so that it can be counted exactly
		.1, .25, .5, 1, 2.5, 5, 10,
	})
}

// AgeHistogram returns the options of a histogram of seconds from 1 ms to an hour, for ages and lags. It is classic and native.
func AgeHistogram(name, help string) prometheus.HistogramOpts {
	return histogram(name, help, []float64{
		.001, .0025, .005, .01, .025, .05, .1,
		.25, // the freshness objective, so that it can be counted exactly
		.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600,
	})
}

func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor:     1.1, // a quantile is off by 5 % at most
		NativeHistogramMaxBucketNumber:  160,
		NativeHistogramMinResetDuration: time.Hour,
	}
}

// Observe records value, with the trace id of ctx as its exemplar if ctx carries a sampled span: an exemplar that leads to
// a trace nobody kept would be a dead link. Without a span it allocates nothing.
func Observe(ctx context.Context, o prometheus.Observer, value float64) {
	span := trace.SpanContextFromContext(ctx)
	if !span.IsSampled() {
		o.Observe(value)
		return
	}
	if e, ok := o.(prometheus.ExemplarObserver); ok {
		e.ObserveWithExemplar(value, prometheus.Labels{"trace_id": span.TraceID().String()})
		return
	}
	o.Observe(value)
}

// newRegistry returns a registry with the metrics of the process: Go's runtime, the operating system's view, and the build.
func newRegistry(version, revision string) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(
		collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(
			collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(
				`^/(sched/(latencies:seconds|gomaxprocs:threads|pauses/total/gc:seconds)|sync/mutex/wait/total:seconds|` +
					`gc/(heap/(live|goal|allocs):bytes|cycles/total:gc-cycles)|memory/classes/.*|cpu/classes/((gc/)?total|idle|user):cpu-seconds)$`)},
		)),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	promauto.With(reg).NewGaugeVec(prometheus.GaugeOpts{
		Name: MetricBuildInfo,
		Help: "Always 1. Its labels say what is running; more than one version at a time is a rollout under way, or one that hangs.",
	}, []string{"version", "revision", "go_version"}).WithLabelValues(version, revision, runtime.Version()).Set(1)
	return reg
}

// Revision is the commit that the binary was built from as the go command noted it, or "unknown" where it was built without that.
func Revision() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "unknown"
}
