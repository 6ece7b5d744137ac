package main

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/deploy/local"
	"example.com/strata/loadtest/report"
)

func TestComparisonOfTwoStrategies(t *testing.T) {
	out := t.TempDir()
	s := settings{
		strategies: []string{"none", "ttl", "stamped"}, duration: 3 * time.Second, warm: 20 * time.Second, probe: 300 * time.Millisecond, listings: 2000, hot: 200,
		writes: 0.002, ttl: 10 * time.Second, rate: 150, seed: 7, strata: serviceBinary(t), k6: k6Binary(t), script: "browse.js", out: out,
	}
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	r, dir, err := compare(t.Context(), s, stderr)
	if err != nil {
		t.Fatal(err)
	}

	file, err := os.Open(filepath.Join(out, "latest", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	saved, err := report.ReadJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(saved.Strategies) != 3 || saved.Conditions.Listings != 2000 || saved.Conditions.Versions["k6"] == "" || len(saved.Findings) == 0 {
		t.Errorf("report.json lacks something: %+v", saved.Conditions)
	}
	if page, err := os.ReadFile(filepath.Join(dir, "report.html")); err != nil || !strings.Contains(string(page), "stamped") {
		t.Errorf("report.html: %v, or it does not name stamped", err)
	}
	for _, measured := range r.Strategies {
		complete(t, measured)
	}
	none, ttl, stamped := r.Strategies[0], r.Strategies[1], r.Strategies[2]
	if none.StaleReads > 0 || none.HitRatio > 0 {
		t.Errorf("without a cache %d reads were stale and a share of %.3f was answered by a cache, want none", none.StaleReads, none.HitRatio)
	}
	if ttl.StalenessWorstSeconds <= stamped.StalenessWorstSeconds {
		t.Errorf("ttl was at worst %.3f s stale, stamped %.3f s; want ttl to be worse", ttl.StalenessWorstSeconds, stamped.StalenessWorstSeconds)
	}
	if stamped.DBQueries > none.DBQueries/2 {
		t.Errorf("stamped made %d queries, none %d; want less than half", stamped.DBQueries, none.DBQueries)
	}
	if stamped.DBFeedQueries == 0 || stamped.HitRatio < 0.5 {
		t.Errorf("stamped made %d queries for its feed and hit %.3f; want some, and most", stamped.DBFeedQueries, stamped.HitRatio)
	}
}

// complete reports what a strategy's figures lack.
func complete(t *testing.T, s report.Strategy) {
	t.Helper()
	for name, missing := range map[string]bool{
		"requests":  s.Requests < 300,
		"rate":      s.RateRPS < 100,
		"latency":   s.P50Seconds <= 0 || s.P95Seconds < s.P50Seconds || s.P99Seconds < s.P95Seconds || s.MeanSeconds <= 0,
		"buckets":   count(s.Latency, 0) != s.Requests,
		"classes":   s.Classes[classDetail].Requests == 0 || s.Classes[classSearch].Requests == 0 || s.Classes[classStats].Requests == 0,
		"no errors": s.Errors > 0,
		"database":  s.DBQueries == 0 || s.DBQueriesPerRequest <= 0 || s.DBSeconds <= 0 || len(s.DBTimeline) < 3 || s.DBBlocksHit == 0,
		"service":   s.ServiceCPUSeconds <= 0 || s.ServiceRSSBytes == 0 || s.GeneratorCPUSeconds <= 0,
		"answers":   s.Answers["postgres"]+s.Answers["view_l1"] == 0,
		"witness":   s.WitnessReads < 50 || s.WitnessWrites == 0 || len(s.StaleByKind) != 3,
		"capacity":  s.CapacityLimit == "" || s.CapacityGenerator == "",
	} {
		if missing {
			t.Errorf("%s: its %s is not right in %+v", s.Name, name, s)
		}
	}
}

func TestInterruptedComparisonLeavesNothing(t *testing.T) {
	out := t.TempDir()
	s := settings{
		strategies: []string{"none"}, duration: time.Minute, listings: 500, hot: 100, ttl: time.Second, rate: 50, seed: 1,
		strata: serviceBinary(t), k6: k6Binary(t), script: "browse.js", out: out,
	}
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	ended := make(chan error, 1)
	go func() {
		_, _, err := compare(ctx, s, stderr)
		ended <- err
	}()
	until(t, "k6 has begun", func() bool {
		logs, err := filepath.Glob(filepath.Join(out, "*", "k6-none.log"))
		return err == nil && len(logs) == 1
	})
	interrupt()
	if err := <-ended; err == nil {
		t.Error("an interrupted comparison says that all is well")
	}
	left, err := fs.Glob(os.DirFS(out), "*")
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left in the folder of results (%v), want nothing", left, err)
	}
}

func TestWrongFlagsAreOneLineAndCodeTwo(t *testing.T) {
	for _, args := range [][]string{
		{"-strategies", "none,magic"}, {"-strategies", "none,none"}, {"-duration", "1ms"}, {"-rate", "-1"}, {"-listings", "1"},
		{"-strata", "/does/not/exist"}, {"extra"},
	} {
		stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
		if err != nil {
			t.Fatal(err)
		}
		if code := execute(t.Context(), args, stderr, stderr); code != 2 {
			t.Errorf("%v: exit code %d, want 2", args, code)
		}
		text, err := os.ReadFile(stderr.Name())
		if err != nil || strings.Count(string(text), "\n") != 1 {
			t.Errorf("%v: got %q, want one line", args, text)
		}
	}
}

func TestPostgresCountsTheServicesQueriesAlone(t *testing.T) {
	stack, err := local.Start(t.Context(), local.Config{NoRedis: true, Log: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stack.Stop() })
	db, err := openDatabase(t.Context(), stack.SuperuserURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.close)
	owner, app := connect(t, stack.OwnerURL), connect(t, stack.DatabaseURL)
	run(t, owner, `CREATE TABLE change_log (tags text)`)
	run(t, owner, `GRANT SELECT ON change_log TO `+local.AppRole)
	if err := db.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.reset(t.Context()); err != nil {
		t.Fatal(err)
	}

	run(t, owner, `SELECT 1`)
	for range 5 {
		run(t, app, `SELECT generate_series(1, 1000)`)
	}
	run(t, app, `SELECT count(*) FROM change_log`)
	got, err := db.counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.queries != 6 || got.feedQueries != 1 || got.seconds <= 0 {
		t.Errorf("got %+v, want 6 queries, 1 of the feed, and some time", got)
	}

	before, err := cpuSeconds(stack.PostgresPID())
	if err != nil {
		t.Fatal(err)
	}
	run(t, app, `SELECT sum(i::bigint * i) FROM generate_series(1, 1000000) i`)
	if err := app.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, "the CPU time of a backend that has ended counts", func() bool {
		after, err := cpuSeconds(stack.PostgresPID())
		if err != nil {
			t.Fatal(err)
		}
		return after-before > 0.02
	})

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	samples, err := db.watch(ctx, 20*time.Millisecond)
	if err != nil || len(samples) < 2 || samples[0].Value <= 0 || samples[len(samples)-1].Value != 0 {
		t.Errorf("got %v, %v, want samples of which the first has all queries so far and the last none", samples, err)
	}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec // one statement a query
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func run(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// until waits for a condition, for a minute at most.
func until(t *testing.T, claim string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatalf("not true within a minute: %s", claim)
		case <-again.C:
		}
	}
}

// serviceBinary returns the service to test with: the one that STRATA_BIN names, or a new one.
func serviceBinary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("STRATA_BIN"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "strata")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../app").CombinedOutput(); err != nil {
		t.Fatalf("building the service: %v\n%s", err, out)
	}
	return path
}
