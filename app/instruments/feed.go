package instruments

import (
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
	"example.com/strata/app/telemetry"
)

// feed is what a process with a feed exports and logs of it.
type feed struct {
	log               *slog.Logger
	polled, failed    prometheus.Counter
	fromAPI, fromElse prometheus.Counter
	resets            *prometheus.CounterVec
	lag               prometheus.Histogram
	problems, hears   prometheus.Gauge
}

// Feed returns the observer of a process's feed, and registers metrics of it and of the ledger that
// it fills.
func Feed(tel *telemetry.Telemetry, ledger *freshness.Ledger) changelog.Observer {
	auto := promauto.With(tel.Registry)
	polls := auto.NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricFeedPolls,
		Help: "Looks at the change log. Errors mean that the connection broke; the feed continues from the last snapshot, late.",
	}, []string{telemetry.LabelResult})
	changes := auto.NewCounterVec(prometheus.CounterOpts{
		Name: telemetry.MetricFeedChanges,
		Help: "Changes read, by who made them: the service's own writes, or anybody else with access to the database.",
	}, []string{telemetry.LabelOrigin})
	f := &feed{
		log:    tel.Log,
		polled: polls.WithLabelValues("ok"), failed: polls.WithLabelValues("error"),
		fromAPI: changes.WithLabelValues("api"), fromElse: changes.WithLabelValues("other"),
		resets: auto.NewCounterVec(prometheus.CounterOpts{
			Name: telemetry.MetricEpochResets,
			Help: "Times that the ledger forgot everything, so that all entries became misses. Epoch: a crash, failover or restore, " +
				"or what is watched was altered. Full: more tags changed than it may remember.",
		}, []string{telemetry.LabelReason}),
		lag: auto.NewHistogram(telemetry.AgeHistogram(telemetry.MetricFeedLag,
			"Time from a change being logged to its being in the ledger. It includes the rest of the writer's transaction.")),
		problems: auto.NewGauge(prometheus.GaugeOpts{
			Name: telemetry.MetricWatchProblems,
			Help: "What keeps changes of watched tables from being logged. Above 0 the caches are blind and the database answers; " +
				"the log names each with the SQL that mends it.",
		}),
		hears: auto.NewGauge(prometheus.GaugeOpts{
			Name: telemetry.MetricFeedHears,
			Help: "1 if notifications of commits reach the feed. At 0 it learns of each change by its next poll: look for a pooler " +
				"in between, and give the feed a connection of its own (--feed-url).",
		}),
	}
	for _, reason := range []freshness.Reset{freshness.ResetStart, freshness.ResetEpoch, freshness.ResetFull} {
		f.resets.WithLabelValues(string(reason))
	}
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: telemetry.MetricFeedAge,
		Help: "Time since the ledger's as-of time: how old an answer out of a cache may be at most. Above 2 the caches are blind and the database answers.",
	}, func() float64 {
		if asOf := ledger.AsOf().Time; !asOf.IsZero() {
			return time.Since(asOf).Seconds()
		}
		return 0
	})
	auto.NewGaugeFunc(prometheus.GaugeOpts{
		Name: telemetry.MetricLedgerTags, Help: "Tags with a known change within the change log's retention.",
	}, func() float64 { return float64(ledger.Tags()) })
	return f
}

// Polled implements changelog.Observer. The lag of what was read back says how old the log is, not
// how late the feed.
func (f *feed) Polled(p changelog.Polled) {
	f.polled.Inc()
	if p.Reset != freshness.NoReset {
		f.resets.WithLabelValues(string(p.Reset)).Inc()
		f.log.Info("ledger reset", "reason", string(p.Reset), "epoch", p.Epoch.String(), "floor", p.Floor.String(), "changes", len(p.Changes))
	}
	for _, c := range p.Changes {
		if strings.HasPrefix(c.Origin, "strata") {
			f.fromAPI.Inc()
		} else {
			f.fromElse.Inc()
		}
		if !p.First {
			f.lag.Observe(c.Lag.Seconds())
		}
	}
}

// Interrupted implements changelog.Observer.
func (f *feed) Interrupted(err error) {
	f.failed.Inc()
	f.log.Warn("change feed interrupted", "error", err)
}

// Watched implements changelog.Observer.
func (f *feed) Watched(problems []changelog.Problem) {
	f.problems.Set(float64(len(problems)))
	for _, p := range problems {
		f.log.LogAttrs(context.Background(), slog.LevelError, "changes go unlogged, so the caches are blind",
			slog.String("table", p.Relation), slog.String("problem", p.What), slog.String("mend", p.Mend))
	}
}

// Listening implements changelog.Observer.
func (f *feed) Listening(heard bool) {
	if heard {
		f.hears.Set(1)
		return
	}
	f.hears.Set(0)
	f.log.Warn("notifications do not reach the feed: it learns of a change by its next poll",
		"mend", "give it a connection past the pooler (--feed-url)")
}

// PruningFailed implements changelog.Observer.
func (f *feed) PruningFailed(err error) { f.log.Warn("pruning the change log", "error", err) }
