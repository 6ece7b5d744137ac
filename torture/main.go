// Command torture runs a whole deployment, three replicas with Postgres and Redis, does it harm, and holds every answer against the history of commits.
//
// An answer with Strata-As-Of must show states that were present at that moment or later. One that says by its Cache-Status that it is stale claims nothing. A writer
// that hands on Strata-Seen must read what it wrote, at another replica.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// settings are what the command line says.
type settings struct {
	strata   string
	seed     uint64
	duration time.Duration // of the faults in random order, after each has been tried alone
	faults   string
	summary  string
	control  bool
}

// report is the summary.
type report struct {
	Seed       uint64    `json:"seed"`
	Judged     int64     `json:"judged"`
	Violations int       `json:"violations"`
	Faults     []outcome `json:"faults"`
	Before     resources `json:"resources_before_random_order"`
	After      resources `json:"resources_after"`
}

func main() {
	var s settings
	flag.StringVar(&s.strata, "strata", "bin/strata", "the service's binary")
	flag.Uint64Var(&s.seed, "seed", uint64(time.Now().Unix()), "of the order of faults, the writes and the reads")
	flag.DurationVar(&s.duration, "duration", 2*time.Minute, "how long faults come in random order, after each has been tried alone")
	flag.StringVar(&s.faults, "faults", strings.Join(names(), ","), "which faults")
	flag.StringVar(&s.summary, "summary", "", "file for the figures as JSON")
	flag.BoolVar(&s.control, "control", false, "take one write in a hundred out of the change log: violations must be found")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	r, err := run(ctx, s, func(line string) { fmt.Println(line) })
	if err == nil && s.summary != "" {
		err = r.write(s.summary)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "torture:", err)
		os.Exit(1)
	}
	fmt.Printf("%d answers judged, %d violations; seed %d\n", r.Judged, r.Violations, r.Seed)
	if (r.Violations > 0) != s.control {
		os.Exit(1)
	}
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// choose returns the faults with these names.
func choose(list string) ([]fault, error) {
	var chosen []fault
	for name := range strings.SplitSeq(list, ",") {
		found := false
		for _, f := range faults() {
			if f.name == name {
				chosen, found = append(chosen, f), true
			}
		}
		if !found {
			return nil, fmt.Errorf("there is no fault %q; there are %s", name, strings.Join(names(), ", "))
		}
	}
	return chosen, nil
}

// run does each fault alone and then all in random order, and returns what came of it.
func run(ctx context.Context, s settings, log func(string)) (r *report, err error) {
	chosen, err := choose(s.faults)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "strata-torture-")
	if err != nil {
		return nil, err
	}
	w, err := newWorld(ctx, s.strata, dir, log)
	if err != nil {
		return nil, err
	}
	w.control = s.control
	working, stop := context.WithCancel(ctx)
	var crew sync.WaitGroup
	defer func() {
		stop()
		crew.Wait()
		err = errors.Join(err, w.stop())
		if err == nil && r.Violations == 0 {
			err = os.RemoveAll(dir)
		} else {
			log("the replicas' logs are in " + dir)
		}
	}()
	for n := range writers {
		crew.Go(func() { w.write(working, n, rand.New(rand.NewPCG(s.seed, uint64(n)))) })
	}
	for n := range readers {
		crew.Go(func() { w.read(working, rand.New(rand.NewPCG(s.seed, uint64(1000+n)))) })
	}
	r = &report{Seed: s.seed}
	do := func(f fault, left string) error {
		o, err := w.phase(ctx, f, s.strata)
		if err != nil {
			return err
		}
		r.Faults, r.Judged, r.Violations = append(r.Faults, o), r.Judged+o.Judged, r.Violations+o.Violations
		log(o.line() + left)
		return nil
	}
	log(fmt.Sprintf("%-22s %9s %8s %11s %9s %9s %8s %8s %8s", "fault", "judged", "commits", "violations", "recovery", "silence", "labelled", "refused", "broken"))
	for i, f := range chosen {
		if err := do(f, fmt.Sprintf("   %d faults and %v left", len(chosen)-i-1, s.duration)); err != nil {
			return r, err
		}
	}
	r.Before = w.holds()
	rng := rand.New(rand.NewPCG(s.seed, 7))
	for end := time.Now().Add(s.duration); time.Now().Before(end); {
		if err := do(chosen[rng.IntN(len(chosen))], fmt.Sprintf("   %v left", time.Until(end).Round(time.Second))); err != nil {
			return r, err
		}
	}
	r.After = w.holds()
	return r, nil
}

func (o outcome) line() string {
	recovery := "never"
	if o.Recovery >= 0 {
		recovery = fmt.Sprintf("%.2f s", o.Recovery)
	}
	text := fmt.Sprintf("%-22s %9d %8d %11d %9s %7.2f s %8d %8d %8d", o.Fault, o.Judged, o.Commits, o.Violations, recovery, o.WorstSilent, o.Labelled, o.Refused, o.Broken)
	if o.Example != "" {
		text += "\n    " + o.Example + "\n   "
	}
	return text
}
