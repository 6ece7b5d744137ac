package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/redis/go-redis/v9"

	"example.com/strata/deploy/local"
	"example.com/strata/loadtest/report"
)

// equalShare is how much of what none answers under full load the equal rate is: enough to make it work, and room for k6 and the witness,
// which take their part of the machine.
const equalShare = 0.45

// capacitySteps bounds a search for the capacity.
const capacitySteps = 7

// How the equal rate is calibrated.
const (
	calibrateFor      = 6 * time.Second
	calibrateVisitors = 16
)

// laboratory is what a comparison works with.
type laboratory struct {
	settings
	stack    *local.Stack
	db       *database
	redis    *redis.Client
	traffic  *traffic
	prices   []int64
	warming  []string // paths that warm a service
	dir      string   // of results
	rate     float64  // the equal one
	progress *progress
}

// compare runs all strategies and saves the report. It returns the report and its folder. Nothing else is left behind.
func compare(ctx context.Context, s settings, errOut *os.File) (r *report.Report, folder string, err error) {
	began := time.Now().UTC()
	dir, err := newFolder(s.out, began)
	if err != nil {
		return nil, "", err
	}
	defer func() {
		if ctx.Err() != nil { // half a run is nothing to keep; after an error its logs are
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	progress := newProgress(errOut, s.plan())
	defer progress.stop()

	lab, err := open(ctx, s, dir, progress)
	if err != nil {
		return nil, "", err
	}
	defer func() { err = errors.Join(err, lab.close()) }()
	r = &report.Report{Started: began, Conditions: conditionsOf(ctx, s, lab.stack, lab.traffic)}
	if r.Conditions.RateFrom, err = lab.chooseRate(ctx); err != nil {
		return nil, "", err
	}
	r.Conditions.RateRPS = lab.rate
	lab.warming = lab.traffic.distinct(warmFrom, int(lab.rate*s.warm.Seconds()))
	for _, strategy := range s.strategies {
		measured, warmed, err := lab.measure(ctx, strategy)
		if err != nil {
			return nil, "", fmt.Errorf("strategy %s: %w", strategy, err)
		}
		r.Strategies = append(r.Strategies, measured)
		r.Conditions.WarmSeconds = max(r.Conditions.WarmSeconds, warmed.Seconds())
	}
	r.Finished = time.Now().UTC()
	report.Find(r)
	return r, dir, save(r, dir)
}

// plan lists the steps in the order in which progress.next is called.
func (s *settings) plan() []step {
	plan := []step{
		{"starting Postgres and Redis", 4 * time.Second},
		{fmt.Sprintf("seeding %d listings", s.listings), time.Second + time.Duration(s.listings)*120*time.Microsecond},
	}
	if s.rate == 0 {
		plan = append(plan, step{"calibrating the rate", time.Second + calibrateFor})
	}
	for _, strategy := range s.strategies {
		plan = append(plan,
			step{strategy + ": starting and warming", 7 * time.Second},
			step{strategy + ": the equal rate", s.duration + 2*time.Second})
		if s.probe > 0 {
			plan = append(plan, step{strategy + ": its capacity", (capacitySteps - 1) * s.probe})
		}
	}
	return plan
}

// open starts the servers and fills the database.
func open(ctx context.Context, s settings, dir string, progress *progress) (lab *laboratory, err error) {
	lab = &laboratory{settings: s, dir: dir, progress: progress, rate: s.rate}
	defer func() {
		if err != nil {
			err = errors.Join(err, lab.close())
			lab = nil
		}
	}()
	progress.next()
	if lab.stack, err = local.Start(ctx, local.Config{Log: progress.say}); err != nil {
		return lab, err
	}
	options, err := redis.ParseURL(lab.stack.RedisURL)
	if err != nil {
		return lab, fmt.Errorf("reading the address of Redis: %w", err)
	}
	lab.redis = redis.NewClient(options)

	progress.next()
	owner := []string{"DATABASE_OWNER_URL=" + lab.stack.OwnerURL}
	if _, err = runCommand(ctx, s.strata, owner, "migrate"); err != nil {
		return lab, err
	}
	if _, err = runCommand(ctx, s.strata, owner, "seed", fmt.Sprintf("--listings=%d", s.listings), fmt.Sprintf("--seed=%d", s.seed)); err != nil {
		return lab, err
	}
	if lab.db, err = openDatabase(ctx, lab.stack.SuperuserURL); err != nil {
		return lab, err
	}
	if lab.prices, err = lab.db.prices(ctx); err != nil {
		return lab, err
	}
	cities, err := lab.db.cities(ctx)
	if err != nil {
		return lab, err
	}
	lab.traffic = &traffic{seed: uint32(s.seed ^ s.seed>>32), listings: s.listings, hot: s.hot, cities: cities, writes: s.writes}
	return lab, nil
}

// close stops everything.
func (l *laboratory) close() error {
	var errs []error
	if l.db != nil {
		l.db.close()
	}
	if l.redis != nil {
		errs = append(errs, l.redis.Close())
	}
	if l.stack != nil {
		errs = append(errs, l.stack.Stop())
	}
	return errors.Join(errs...)
}

// chooseRate finds the equal rate, unless it is given, and says how.
func (l *laboratory) chooseRate(ctx context.Context) (string, error) {
	if l.rate > 0 {
		return "given on the command line", nil
	}
	l.progress.next()
	s, err := l.start(ctx, "none")
	if err != nil {
		return "", fmt.Errorf("calibrating: %w", err)
	}
	defer s.stop()
	full, err := l.attacker(s).saturate(ctx, calibrateVisitors, calibrateFor)
	if err != nil {
		return "", fmt.Errorf("calibrating: %w", err)
	}
	l.rate = max(1, math.Floor(full*equalShare))
	return fmt.Sprintf("%.0f %% of the %.0f requests/s that the strategy none answered to %d visitors who asked without a pause", 100*equalShare, full, calibrateVisitors), nil
}

// start starts a fresh service with empty caches on a database that is at rest.
func (l *laboratory) start(ctx context.Context, strategy string) (*service, error) {
	if err := l.redis.FlushAll(ctx).Err(); err != nil {
		return nil, fmt.Errorf("emptying Redis: %w", err)
	}
	if err := l.db.settle(ctx); err != nil {
		return nil, err
	}
	return startService(ctx, l.stack, l.strata, strategy, l.dir, l.ttl)
}

func (l *laboratory) attacker(s *service) *attacker {
	a := &attacker{
		traffic: l.traffic, prices: l.prices, url: s.url, token: s.token,
		served: func() (float64, error) {
			u, err := l.usage(s)
			return u.service + u.postgres + u.redis, err
		},
	}
	a.next.Store(capacityFrom)
	return a
}

// witnessed are the cities whose listings the witness changes: popular ones, but not the very first.
func witnessed(cities []string) [2]string {
	const skip = 10
	at := max(min(skip, len(cities)-2), 0)
	return [2]string{cities[at], cities[min(at+1, len(cities)-1)]}
}
