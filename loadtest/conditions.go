package main

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"
	"strings"

	"github.com/shirou/gopsutil/v4/cpu"
	"github.com/shirou/gopsutil/v4/host"
	"github.com/shirou/gopsutil/v4/mem"

	"example.com/strata/deploy/local"
	"example.com/strata/loadtest/report"
)

// conditionsOf says under what circumstances a comparison runs, but for what is only known when it has run.
func conditionsOf(ctx context.Context, s settings, stack *local.Stack, t *traffic) report.Conditions {
	c := report.Conditions{
		Commit: commit(ctx), Cores: runtime.NumCPU(), Listings: s.listings, Seed: s.seed,
		DurationSeconds: s.duration.Seconds(), TTLSeconds: s.ttl.Seconds(),
		Mix: t.String() + fmt.Sprintf(" The witness changes another %.0f listing a second by plain SQL.", 1/witnessWriteEvery.Seconds()),
		CapacityLimit: fmt.Sprintf("The highest rate at which 99 %% of the answers came within %v of when they were due and none failed, found in steps of %v by vegeta inside the laboratory's process, "+
			"without the witness. Where the limit is called generator, vegeta could not ask faster on what the service left it of the machine: then the figure is a lower bound.", latencyLimit, s.probe),
		Versions: map[string]string{
			"strata": version(ctx, s.strata, "version"), "k6": version(ctx, s.k6, "version"), "go": runtime.Version(),
			"postgres": stack.PostgresVersion, "redis": stack.RedisVersion,
		},
		Notes: notesOf(s, stack),
	}
	// What the system does not tell stays empty: it is no reason not to measure.
	if info, err := cpu.InfoWithContext(ctx); err == nil && len(info) > 0 {
		c.CPU = strings.TrimSpace(info[0].ModelName)
	}
	if memory, err := mem.VirtualMemoryWithContext(ctx); err == nil {
		c.MemoryBytes = memory.Total
	}
	if kernel, err := host.KernelVersionWithContext(ctx); err == nil {
		c.Versions["kernel"] = runtime.GOOS + " " + kernel
	}
	return c
}

func notesOf(s settings, stack *local.Stack) []string {
	notes := []string{
		fmt.Sprintf("Generator, witness, service, Postgres and Redis share %d cores: compare strategies with each other, not with other machines.", runtime.NumCPU()),
		"The witness's requests reach the service too. They are in the figures of the service, of the answers and of the database, but not in k6's latencies. Queries are divided by all requests, the witness's included.",
		fmt.Sprintf("Each service is warmed by asking once for everything that %v of this traffic would name. What is never asked for again is not asked for here: a site with a longer tail has more misses.", s.warm),
		fmt.Sprintf("The strategies ttl and aside keep entries for %v, so that they expire within a run. A minute or more is common: that asks the database less often and is stale for longer.", s.ttl),
		"Blocks are those of the whole database; connections report them with a delay of up to a second.",
		"Staleness of a read: from the commit of the oldest change that it fails to show to its start. The witness reads each thing every 40 to 250 ms, so very short staleness can escape it.",
	}
	if stack.MiniRedis {
		notes = append(notes, "There was no Redis: miniredis, inside the laboratory's process, stood in. Its speed, CPU and memory are not Redis's.")
	}
	return notes
}

// commit returns the git revision, with "+dirty" if the tree differs from it; "" outside of a repository.
func commit(ctx context.Context) string {
	revision := version(ctx, "git", "rev-parse", "--short=12", "HEAD")
	if revision == "" {
		return ""
	}
	if version(ctx, "git", "status", "--porcelain") != "" {
		revision += "+dirty"
	}
	return revision
}

// version returns the first line that a command prints; "" if it fails.
func version(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}
