package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/strata/loadtest/report"
	"example.com/strata/loadtest/witness"
)

// witnessWriteEvery is the time between two changes of the witness: often enough for a figure, and as rare as changes of what
// is watched are in life. Each touches all pages and the statistics of its city.
const witnessWriteEvery = time.Second

// sampleEvery is the time between two samples of what changes during a run.
const sampleEvery = 500 * time.Millisecond

// used is CPU time in seconds.
type used struct{ service, postgres, redis float64 }

// measurement is the raw material of a run at the equal rate.
type measurement struct {
	k6      *k6Figures
	verdict *witness.Verdict

	database dbCounters
	timeline []report.Sample
	cpu      used
	answered answered
	rss      uint64
}

// measure runs one strategy: warm, the equal rate, capacity. It also returns how long warming took.
func (l *laboratory) measure(ctx context.Context, strategy string) (report.Strategy, time.Duration, error) {
	var none report.Strategy
	l.progress.next()
	s, err := l.start(ctx, strategy)
	if err != nil {
		return none, 0, err
	}
	defer s.stop()
	began := time.Now()
	if err := warm(ctx, s.url, l.warming); err != nil {
		return none, 0, err
	}
	warmed := time.Since(began)

	l.progress.next()
	r, err := l.run(ctx, strategy, s)
	if err != nil {
		return none, 0, err
	}
	measured := l.evaluate(strategy, r)
	if measured.RedisMemoryBytes, err = l.redisMemory(ctx); err != nil {
		return none, 0, err
	}
	if l.probe == 0 {
		return measured, warmed, nil
	}

	l.progress.next()
	attacker := l.attacker(s)
	best, limit, err := search(ctx, l.rate, capacitySteps, func(ctx context.Context, rate float64) (probe, error) {
		return attacker.probe(ctx, rate, l.settings.probe)
	})
	if err != nil {
		return none, 0, fmt.Errorf("looking for its capacity: %w", err)
	}
	measured.CapacityRPS, measured.CapacityP99, measured.CapacityCPU = best.rate, best.p99.Seconds(), best.generator
	measured.CapacityGenerator, measured.CapacityLimit = "vegeta", limit
	return measured, warmed, nil
}

// run plays the traffic at the equal rate, with the witness and all that measures.
func (l *laboratory) run(ctx context.Context, strategy string, s *service) (*measurement, error) {
	watcher, err := witness.Open(ctx, witness.Config{
		DatabaseURL: l.stack.OwnerURL, ServiceURL: s.url, Cities: witnessed(l.traffic.cities), WriteEvery: witnessWriteEvery,
	})
	if err != nil {
		return nil, err
	}
	defer watcher.Close()
	if err := l.db.reset(ctx); err != nil {
		return nil, err
	}
	before, err := l.usage(s)
	if err != nil {
		return nil, err
	}
	said, err := scrapeMetrics(ctx, s.admin+"/metrics")
	if err != nil {
		return nil, err
	}

	r := new(measurement)
	if err := l.play(ctx, strategy, s, watcher, r); err != nil {
		return nil, err
	}

	after, err := l.usage(s)
	if err != nil {
		return nil, err
	}
	r.cpu = used{after.service - before.service, after.postgres - before.postgres, after.redis - before.redis}
	if r.database, err = l.db.counters(ctx); err != nil {
		return nil, err
	}
	statements, err := l.db.statements(ctx)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(l.dir, "queries-"+strategy+".txt"), []byte(statements), 0o644); err != nil {
		return nil, fmt.Errorf("keeping the database's statements: %w", err)
	}
	saidAfter, err := scrapeMetrics(ctx, s.admin+"/metrics")
	if err != nil {
		return nil, err
	}
	r.answered = between(said, saidAfter)
	return r, nil
}

// play runs k6, and everything that accompanies it until it ends.
func (l *laboratory) play(ctx context.Context, strategy string, s *service, watcher *witness.Witness, r *measurement) error {
	group, ctx := errgroup.WithContext(ctx)
	accompanying, end := context.WithCancel(ctx)
	group.Go(func() (err error) {
		r.verdict, err = watcher.Run(accompanying)
		return err
	})
	group.Go(func() (err error) {
		r.timeline, err = l.db.watch(accompanying, sampleEvery)
		return err
	})
	group.Go(func() (err error) {
		r.rss, err = peak(accompanying, s.process.PID())
		return err
	})
	group.Go(func() (err error) {
		defer end()
		r.k6, err = runK6(ctx, l.stack, k6Settings{
			binary: l.k6, script: l.script, dir: l.dir, strategy: strategy, url: s.url, token: s.token,
			rate: l.rate, duration: l.duration, traffic: l.traffic,
		})
		return err
	})
	return group.Wait()
}

// peak returns the most memory that a process was seen to occupy until ctx ended.
func peak(ctx context.Context, pid int) (uint64, error) {
	ticker := time.NewTicker(sampleEvery)
	defer ticker.Stop()
	var most uint64
	for {
		rss, err := residentBytes(pid)
		if err != nil {
			return 0, errors.Join(errors.New("the service is gone"), err)
		}
		most = max(most, rss)
		select {
		case <-ctx.Done():
			return most, nil
		case <-ticker.C:
		}
	}
}

// usage returns the CPU time that the service and its servers have used so far.
func (l *laboratory) usage(s *service) (u used, err error) {
	if u.service, err = cpuSeconds(s.process.PID()); err != nil {
		return u, err
	}
	if u.postgres, err = cpuSeconds(l.stack.PostgresPID()); err != nil {
		return u, err
	}
	if l.stack.MiniRedis { // its time is our own
		return u, nil
	}
	u.redis, err = cpuSeconds(l.stack.RedisPID())
	return u, err
}

// redisMemory returns what Redis holds. It is 0 for an imitation, which does not know.
func (l *laboratory) redisMemory(ctx context.Context) (uint64, error) {
	if l.stack.MiniRedis {
		return 0, nil
	}
	info, err := l.redis.Info(ctx, "memory").Result()
	if err != nil {
		return 0, fmt.Errorf("asking Redis for its memory: %w", err)
	}
	_, rest, _ := strings.Cut(info, "used_memory:")
	digits, _, _ := strings.Cut(rest, "\r\n")
	bytes, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("asking Redis for its memory: %w", err)
	}
	return bytes, nil
}

// evaluate turns a run into figures.
func (l *laboratory) evaluate(strategy string, r *measurement) report.Strategy {
	s := report.Strategy{
		Name:    strategy,
		RateRPS: float64(r.k6.Requests) / l.duration.Seconds(), Requests: r.k6.Requests, Dropped: r.k6.Dropped, Errors: r.k6.Errors,
		P50Seconds: r.k6.Latency.percentile(50), P95Seconds: r.k6.Latency.percentile(95), P99Seconds: r.k6.Latency.percentile(99),
		MeanSeconds: r.k6.Latency.Mean, Latency: r.k6.Latency.buckets(), Classes: make(map[string]report.Class),
		GeneratorCPUSeconds: r.k6.cpuSeconds,

		DBQueries: r.database.queries, DBFeedQueries: r.database.feedQueries, DBSeconds: r.database.seconds, DBCPUSeconds: r.cpu.postgres,
		DBBlocksHit: r.database.blocksHit, DBBlocksRead: r.database.blocksRead, DBTimeline: lastOf(r.timeline, l.duration),

		ServiceCPUSeconds: r.cpu.service, ServiceRSSBytes: r.rss, RedisCPUSeconds: r.cpu.redis,
		HitRatio: r.answered.hitRatio, LayerHitRatios: r.answered.layers, Answers: r.answered.answers,
	}
	for name, class := range r.k6.Classes {
		s.Classes[name] = report.Class{Requests: class.Count, P50Seconds: class.percentile(50), P99Seconds: class.percentile(99)}
	}
	if r.answered.requests > 0 {
		s.DBQueriesPerRequest = float64(s.DBQueries) / float64(r.answered.requests)
	}
	testify(&s, r.verdict)
	return s
}

// testify fills in what the witness saw. A read of his that got no answer is an error like any other.
func testify(s *report.Strategy, v *witness.Verdict) {
	stale := v.Stale()
	s.WitnessReads, s.WitnessWrites, s.StaleReads = v.Reads(), v.Writes, int64(len(stale))
	s.Errors += v.Errors
	if s.WitnessReads > 0 {
		s.StaleShare = float64(s.StaleReads) / float64(s.WitnessReads)
	}
	s.StalenessP50Seconds, s.StalenessP99Seconds = quantile(stale, 0.5).Seconds(), quantile(stale, 0.99).Seconds()
	s.StalenessWorstSeconds = quantile(stale, 1).Seconds()
	s.Staleness = distribution(stale)
	s.StaleByKind = make(map[string]report.StaleKind)
	for name, kind := range v.Kinds {
		s.StaleByKind[name] = report.StaleKind{Reads: kind.Reads, Stale: int64(len(kind.Stale)), WorstSeconds: kind.Worst().Seconds()}
	}
}

// lastOf returns the samples of the end of a run, as if it had begun with them: before, k6 was preparing.
func lastOf(samples []report.Sample, length time.Duration) []report.Sample {
	if len(samples) == 0 {
		return samples
	}
	began := max(0, samples[len(samples)-1].Seconds-length.Seconds())
	var last []report.Sample
	for _, s := range samples {
		if s.Seconds > began {
			last = append(last, report.Sample{Seconds: s.Seconds - began, Value: s.Value})
		}
	}
	return last
}
