package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

// outcome is what came of one fault, as the summary has it.
type outcome struct {
	Fault       string  `json:"fault"`
	Seconds     float64 `json:"seconds"`
	Reads       int64   `json:"reads"`
	Judged      int64   `json:"judged"`
	Commits     int64   `json:"commits"`
	OwnWrites   int64   `json:"own_writes_read_back"`
	Violations  int     `json:"violations"`
	Example     string  `json:"example,omitempty"`
	HitRatio    float64 `json:"hit_ratio_before"`
	Recovery    float64 `json:"recovery_seconds"` // from the end of the fault until the hit ratio is nine tenths of what it was; negative: not within 20 s
	Labelled    int64   `json:"labelled_stale"`
	Refused     int64   `json:"refused"`
	Broken      int64   `json:"broken_connections"`
	Unclaimed   int64   `json:"without_as_of"`
	WorstSilent float64 `json:"longest_without_fresh_answers_seconds"`
}

// phase does one fault while everybody reads and writes.
func (w *world) phase(ctx context.Context, f fault, binary string) (outcome, error) {
	w.reset()
	began := time.Now()
	sampling, stop := context.WithCancel(ctx)
	defer stop()
	samples := make(chan []sample, 1)
	go func() { samples <- w.sample(sampling) }()
	if err := pause(ctx, time.Second); err != nil {
		return outcome{}, err
	}
	hurt := time.Now()
	w.fault.Store(&hurt)
	if err := f.hurt(ctx, w, binary); err != nil {
		return outcome{}, fmt.Errorf("%s: %w", f.name, err)
	}
	healed := time.Now()
	if err := w.settleAll(ctx, hurt); err != nil {
		return outcome{}, fmt.Errorf("%s: finding out what is there now: %w", f.name, err)
	}
	before := min(ratio(w.known(began, hurt)), w.usual())
	recovery := w.recovered(ctx, healed, before)
	stop()
	all := <-samples
	o := outcome{
		Fault: f.name, Seconds: time.Since(began).Seconds(), Reads: w.tally.reads.Load(), Judged: w.tally.judged.Load(), Commits: w.tally.commits.Load(),
		OwnWrites: w.tally.ownWrites.Load(), HitRatio: before, Recovery: recovery, Labelled: w.tally.labelled.Load(), Refused: w.tally.refused.Load(),
		Broken: w.tally.broken.Load(), Unclaimed: w.tally.unclaimed.Load(), WorstSilent: silent(all),
	}
	o.Violations, o.Example = w.violations()
	w.forget()
	return o, nil
}

func (w *world) reset() {
	t := &w.tally
	for _, n := range []interface{ Store(int64) }{&t.reads, &t.judged, &t.hits, &t.unclaimed, &t.labelled, &t.refused, &t.broken, &t.commits, &t.ownWrites} {
		n.Store(0)
	}
	w.samples.Store(nil)
}

// sample is how much had been read at a moment.
type sample struct {
	at                  time.Time
	reads, hits, judged int64
}

// sample notes every 50 ms how much has been read, until ctx ends.
func (w *world) sample(ctx context.Context) []sample {
	var all []sample
	for ctx.Err() == nil {
		all = append(all, sample{time.Now(), w.tally.reads.Load(), w.tally.hits.Load(), w.tally.judged.Load()})
		kept := all
		w.samples.Store(&kept)
		_ = pause(ctx, 50*time.Millisecond)
	}
	return all
}

// known returns the samples between two moments.
func (w *world) known(from, to time.Time) []sample {
	var some []sample
	if all := w.samples.Load(); all != nil {
		for _, s := range *all {
			if s.at.After(from) && s.at.Before(to) {
				some = append(some, s)
			}
		}
	}
	return some
}

func ratio(s []sample) float64 {
	if len(s) < 2 || s[len(s)-1].reads == s[0].reads {
		return 0
	}
	return float64(s[len(s)-1].hits-s[0].hits) / float64(s[len(s)-1].reads-s[0].reads)
}

// usual is the hit ratio before any harm was done.
func (w *world) usual() float64 {
	if w.baseline == 0 {
		w.baseline = ratio(w.known(time.Time{}, time.Now()))
	}
	return w.baseline
}

// recovered waits until the hit ratio of a quarter of a second is nine tenths of what it was, and returns how long that took.
func (w *world) recovered(ctx context.Context, healed time.Time, before float64) float64 {
	for time.Since(healed) < 20*time.Second && ctx.Err() == nil {
		_ = pause(ctx, 50*time.Millisecond)
		now := time.Now()
		if from := now.Add(-250 * time.Millisecond); from.After(healed) && ratio(w.known(from, now)) >= 0.9*before {
			return time.Since(healed).Seconds()
		}
	}
	return -1
}

// silent returns the longest time without an answer that claimed to be fresh.
func silent(all []sample) float64 {
	worst := time.Duration(0)
	last := 0
	for i := range all {
		if all[i].judged > all[last].judged {
			last = i
		}
		worst = max(worst, all[i].at.Sub(all[last].at))
	}
	return worst.Seconds()
}

// resources are what a process holds.
type resources struct {
	RSS        int64 `json:"rss_bytes"`
	Goroutines int64 `json:"goroutines"`
	Files      int64 `json:"descriptors"`
}

// holds returns the largest of each that any replica holds.
func (w *world) holds() (most resources) {
	for _, r := range w.replicas {
		files, _ := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.pid()))
		most.Files = max(most.Files, int64(len(files)))
		res, err := http.Get("http://" + r.admin + "/metrics")
		if err != nil {
			continue
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		for line := range strings.Lines(string(text)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			n, _ := strconv.ParseFloat(value, 64)
			switch name {
			case "process_resident_memory_bytes":
				most.RSS = max(most.RSS, int64(n))
			case "go_goroutines":
				most.Goroutines = max(most.Goroutines, int64(n))
			}
		}
	}
	return most
}

// names lists the faults.
func names() []string {
	var all []string
	for _, f := range faults() {
		all = append(all, f.name)
	}
	sort.Strings(all)
	return all
}
