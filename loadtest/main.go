// Command loadtest compares the caching strategies: it runs the same traffic through each of them on a private Postgres and Redis, and
// reports latency, capacity, database load and staleness side by side.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"

	"example.com/strata/loadtest/report"
	"example.com/strata/strategies"
)

// settings are what a comparison can be told.
type settings struct {
	strategies []string
	duration   time.Duration // of the run at the equal rate, of each strategy
	warm       time.Duration // of traffic that the warm-up stands for
	probe      time.Duration // of one step of the search for the capacity; 0: no search
	rate       float64       // of the run at the equal rate; 0: calibrated
	listings   int
	hot        int     // listings in demand
	writes     float64 // share of the requests
	ttl        time.Duration
	seed       uint64
	strata, k6 string // binaries
	script     string // browse.js
	out        string // folder of results
}

// errUsage is an error of the caller's that the flags package has explained already.
var errUsage = errors.New("wrong flags")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second signal ends the process at once; the guard of the servers still cleans up
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, out, errOut *os.File) int {
	s, err := parse(args, errOut)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		return 2
	case err != nil:
		_, _ = fmt.Fprintln(errOut, "loadtest:", err)
		return 2
	}
	r, dir, err := compare(ctx, s, errOut)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		_, _ = fmt.Fprintln(errOut, "loadtest:", strings.Join(strings.Fields(err.Error()), " "))
		return 1
	}
	if err := report.WriteTable(out, r, term.IsTerminal(int(out.Fd())) && os.Getenv("NO_COLOR") == ""); err != nil {
		_, _ = fmt.Fprintln(errOut, "loadtest:", err)
		return 1
	}
	_, _ = fmt.Fprintf(out, "\nReport: %s\n", filepath.Join(dir, "report.html"))
	return 0
}

func parse(args []string, errOut io.Writer) (settings, error) {
	var s settings
	var chosen string
	flags := flag.NewFlagSet("loadtest", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.StringVar(&chosen, "strategies", strings.Join(strategies.Names(), ","), "strategies to compare, with commas; the first is run first")
	flags.DurationVar(&s.duration, "duration", 16*time.Second, "length of the run at the equal rate, of each strategy")
	flags.DurationVar(&s.warm, "warm", 30*time.Minute, "traffic that the warm-up stands for: everything that it names is asked for once")
	flags.DurationVar(&s.probe, "probe", 1500*time.Millisecond, "length of one step of the search for the capacity; 0: no search")
	flags.Float64Var(&s.rate, "rate", 0, "requests a second of the run at the equal rate; 0: 45 % of what the strategy none answers under full load")
	flags.IntVar(&s.listings, "listings", 100_000, "listings in the database")
	flags.IntVar(&s.hot, "hot", 0, "listings in demand; 0: a tenth of all")
	flags.Float64Var(&s.writes, "writes", 0.0005, "share of the requests that change a price")
	flags.DurationVar(&s.ttl, "ttl", 10*time.Second, "lifetime of entries under the strategies ttl and aside")
	flags.Uint64Var(&s.seed, "seed", 1, "the same seed makes the same listings and the same requests")
	flags.StringVar(&s.strata, "strata", "bin/strata", "the service's binary")
	flags.StringVar(&s.k6, "k6", "bin/k6", "k6's binary, or its name on PATH")
	flags.StringVar(&s.script, "script", "loadtest/browse.js", "the traffic's script")
	flags.StringVar(&s.out, "out", "loadtest/results", "folder of results; each run makes its own in it")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return s, err
	} else if err != nil {
		return s, errUsage
	}
	if flags.NArg() > 0 {
		return s, fmt.Errorf("%q is not a flag", flags.Arg(0))
	}
	s.strategies = strings.FieldsFunc(chosen, func(r rune) bool { return r == ',' || r == ' ' })
	if s.hot == 0 {
		s.hot = max(s.listings/10, min(s.listings, 1000))
	}
	return s, s.check()
}

// check returns an error that names the first flag that cannot work.
func (s *settings) check() error {
	for i, strategy := range s.strategies {
		if !slices.Contains(strategies.Names(), strategy) {
			return fmt.Errorf("-strategies: there is no strategy %q, only %s", strategy, strings.Join(strategies.Names(), ", "))
		}
		if slices.Contains(s.strategies[:i], strategy) {
			return fmt.Errorf("-strategies: %s is there twice", strategy)
		}
	}
	for _, rule := range []struct {
		broken bool
		text   string
	}{
		{len(s.strategies) == 0, "-strategies: name at least one"},
		{s.duration < time.Second, "-duration: at least 1s"},
		{s.warm < 0, "-warm: at least 0s"},
		{s.probe < 0, "-probe: at least 0s"},
		{s.rate < 0, "-rate: at least 0"},
		{s.listings < 100, "-listings: at least 100"},
		{s.hot < 1 || s.hot > s.listings, "-hot: between 1 and the number of listings"},
		{s.writes < 0 || s.writes > 1, "-writes: between 0 and 1"},
		{s.ttl <= 0, "-ttl: more than 0s"},
	} {
		if rule.broken {
			return errors.New(rule.text)
		}
	}
	for _, file := range []struct {
		flag string
		path *string
	}{{"-strata", &s.strata}, {"-k6", &s.k6}} {
		found, err := exec.LookPath(*file.path)
		if err != nil {
			return fmt.Errorf("%s: %w", file.flag, err)
		}
		if *file.path, err = filepath.Abs(found); err != nil { // children start in other directories
			return fmt.Errorf("%s: %w", file.flag, err)
		}
	}
	script, err := filepath.Abs(s.script)
	if err == nil {
		_, err = os.Stat(script)
	}
	if err != nil {
		return fmt.Errorf("-script: %w", err)
	}
	s.script = script
	return nil
}
