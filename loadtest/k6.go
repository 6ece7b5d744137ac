package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"example.com/strata/deploy/local"
	"example.com/strata/loadtest/report"
)

// k6Settings are what browse.js is told, and where its traces are left.
type k6Settings struct {
	binary, script string
	dir            string // gets k6-<strategy>.json and .log
	strategy       string
	url, token     string
	rate           float64
	duration       time.Duration
	traffic        *traffic
}

// k6Figures are what browse.js measured: lib/summary.js writes them. Durations are in seconds.
type k6Figures struct {
	Requests int64                `json:"requests"`
	Dropped  int64                `json:"dropped"`
	Errors   int64                `json:"errors"`
	Latency  k6Latency            `json:"latency"`
	Classes  map[string]k6Latency `json:"classes"`

	cpuSeconds float64
}

// k6Latency is a distribution. Percentiles are pairs of a percentage and a duration, in ascending order.
type k6Latency struct {
	Count       int64        `json:"count"`
	Mean        float64      `json:"mean"`
	Min         float64      `json:"min"`
	Max         float64      `json:"max"`
	Percentiles [][2]float64 `json:"percentiles"`
}

// runK6 plays the traffic from request 0 on, and returns when k6 has ended.
func runK6(ctx context.Context, stack *local.Stack, s k6Settings) (*k6Figures, error) {
	base, err := filepath.Abs(filepath.Join(s.dir, "k6-"+s.strategy))
	if err != nil {
		return nil, err
	}
	log, err := os.Create(base + ".log")
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	command := exec.Command(s.binary, "run", "--quiet", "--no-color", "--no-usage-report", s.script)
	command.Stdout, command.Stderr = log, log
	command.Env = append(quietEnvironment(),
		"GOGC=400", // memory is there, and what k6 spends on collecting garbage the service lacks
		"BASE_URL="+s.url, "TOKEN="+s.token, "STRATEGY="+s.strategy, "SUMMARY="+base+".json",
		"RATE="+strconv.FormatFloat(s.rate, 'f', 1, 64), "DURATION="+s.duration.String(),
		"SEED="+strconv.FormatUint(uint64(s.traffic.seed), 10), "LISTINGS="+strconv.Itoa(s.traffic.listings), "HOT="+strconv.Itoa(s.traffic.hot),
		"CITIES="+strings.Join(s.traffic.cities, ","), "WRITES="+strconv.FormatFloat(s.traffic.writes, 'f', -1, 64))
	process, err := stack.Launch(command)
	if err != nil {
		return nil, fmt.Errorf("starting k6: %w", err)
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		kill, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		process.Stop(kill)
		return nil, ctx.Err()
	}
	const crossedThresholds = 99 // which is a result
	if code := process.State().ExitCode(); code != 0 && code != crossedThresholds {
		return nil, fmt.Errorf("k6 ended with code %d; its log: %s", code, log.Name())
	}
	figures := &k6Figures{cpuSeconds: (process.State().UserTime() + process.State().SystemTime()).Seconds()}
	text, err := os.ReadFile(base + ".json")
	if err != nil {
		return nil, fmt.Errorf("reading k6's figures: %w", err)
	}
	if err := json.Unmarshal(text, figures); err != nil {
		return nil, fmt.Errorf("reading k6's figures: %w", err)
	}
	return figures, nil
}

// percentile returns the duration of a percentage that lib/summary.js lists.
func (l k6Latency) percentile(p float64) float64 {
	for _, pair := range l.Percentiles {
		if math.Abs(pair[0]-p) < 1e-9 {
			return pair[1]
		}
	}
	return 0
}

// buckets turns the percentiles into a histogram: between two of them observations are taken to lie evenly on a logarithmic axis.
func (l k6Latency) buckets() []report.Bucket {
	points := append([][2]float64{{0, l.Min}}, l.Percentiles...)
	points = append(points, [2]float64{100, l.Max})
	buckets := make([]report.Bucket, 0, 141)
	var before int64
	for _, bound := range grid() {
		upTo := int64(math.Round(float64(l.Count) * shareBelow(points, bound)))
		buckets = append(buckets, report.Bucket{UpTo: bound, Count: upTo - before})
		before = upTo
	}
	return trim(buckets)
}

// shareBelow interpolates in points, which are pairs of a percentage and a duration, both ascending.
func shareBelow(points [][2]float64, duration float64) float64 {
	if duration < points[0][1] {
		return 0
	}
	for i := len(points) - 1; i >= 0; i-- {
		low := points[i]
		if duration < low[1] {
			continue
		}
		if i == len(points)-1 {
			return 1
		}
		high := points[i+1]
		part := (math.Log(duration) - math.Log(max(low[1], 1e-9))) / (math.Log(high[1]) - math.Log(max(low[1], 1e-9)))
		return (low[0] + part*(high[0]-low[0])) / 100
	}
	return 0
}

// quietEnvironment is this process's environment without what would configure k6 or the service behind our back.
func quietEnvironment() []string {
	meant := []string{"K6_", "OTEL_", "STRATA_", "PG", "DATABASE_", "REDIS_", "VIEWS_", "DATA_", "LOG_", "GO"}
	var kept []string
	for _, pair := range os.Environ() {
		if !slices.ContainsFunc(meant, func(prefix string) bool { return strings.HasPrefix(pair, prefix) }) {
			kept = append(kept, pair)
		}
	}
	return kept
}
