package main

import (
	"fmt"
	"syscall"

	"github.com/prometheus/procfs"
)

// cpuSeconds returns the CPU time that a process has used, with that of its children: those that run, and those that have ended
// and been waited for. So a Postgres's backends count whether they are still there or not.
func cpuSeconds(pid int) (float64, error) {
	if pid == 0 {
		return 0, nil // there is no such process: Redis in this process, say
	}
	parent, err := stat(pid)
	if err != nil {
		return 0, err
	}
	seconds := withEnded(parent)
	all, err := procfs.AllProcs()
	if err != nil {
		return 0, fmt.Errorf("listing processes: %w", err)
	}
	for _, process := range all {
		if child, err := process.Stat(); err == nil && child.PPID == pid { // one that has just ended is in its parent's sum next time
			seconds += withEnded(child)
		}
	}
	return seconds, nil
}

func withEnded(s procfs.ProcStat) float64 {
	const userHZ = 100 // Linux shows clock ticks to programs in these units
	return s.CPUTime() + float64(s.CUTime+s.CSTime)/userHZ
}

// residentBytes returns how much memory a process occupies.
func residentBytes(pid int) (uint64, error) {
	s, err := stat(pid)
	return uint64(s.ResidentMemory()), err
}

func stat(pid int) (procfs.ProcStat, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return procfs.ProcStat{}, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	s, err := process.Stat()
	if err != nil {
		return procfs.ProcStat{}, fmt.Errorf("looking at process %d: %w", pid, err)
	}
	return s, nil
}

// ownCPUSeconds returns the CPU time that this process has used, without its children's.
func ownCPUSeconds() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
