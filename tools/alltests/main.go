// Command alltests runs the tests of all modules, whatever becomes of those before, and ends with the names of the tests that failed.
// Its arguments are directories, each with a module; the first is tested with the race detector.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	var all outcome
	for i, dir := range os.Args[1:] {
		args := []string{"test", "-json", "-count=1", "-timeout=30m", "./..."}
		cgo := "CGO_ENABLED=0"
		if i == 0 {
			args = append(args[:1:1], append([]string{"-race"}, args[1:]...)...)
			cgo = "CGO_ENABLED=1"
		}
		command := exec.Command("go", args...)
		command.Dir, command.Env, command.Stderr = dir, append(os.Environ(), cgo), os.Stderr
		all.run(command)
	}
	os.Exit(all.report())
}

// event is a line of go test -json.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// outcome adds up what the tests said.
type outcome struct {
	passed, skipped int
	failed          []string
	output          map[string]*strings.Builder // by package and test, until it is known whether it passed
	began           time.Time
}

// run follows one go test to its end.
func (o *outcome) run(command *exec.Cmd) {
	o.output, o.began = make(map[string]*strings.Builder), time.Now()
	before := len(o.failed)
	out, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		o.fail(err.Error())
		return
	}
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			break
		}
		var e event
		if json.Unmarshal(line, &e) != nil {
			fmt.Print(string(line)) // not from a test
			continue
		}
		o.note(e)
	}
	if err := command.Wait(); err != nil && len(o.failed) == before {
		o.fail(fmt.Sprintf("go test in %s: %v", command.Dir, err))
	}
}

func (o *outcome) note(e event) {
	key := e.Package + e.ImportPath + " " + e.Test
	switch e.Action {
	case "output", "build-output":
		kept := o.output[key]
		if kept == nil {
			kept = new(strings.Builder)
			o.output[key] = kept
		}
		kept.WriteString(e.Output)
	case "pass", "skip", "fail", "build-fail":
		o.end(e, key)
	}
}

// end notes how a test, or a package if it names no test, has ended.
func (o *outcome) end(e event, key string) {
	said := ""
	if kept := o.output[key]; kept != nil {
		said = kept.String()
		delete(o.output, key)
	}
	failed := e.Action == "fail" || e.Action == "build-fail"
	if failed {
		fmt.Print(said)
	}
	switch {
	case e.Test == "" && e.Action != "build-fail":
		result := map[string]string{"pass": "ok", "skip": "no tests", "fail": "FAIL"}[e.Action]
		fmt.Printf("%4.0f s  %-8s %s (%.0f s)\n", time.Since(o.began).Seconds(), result, e.Package, e.Elapsed)
		if failed {
			o.unlessNamed(e.Package)
		}
	case failed:
		o.fail(strings.TrimSpace(key))
	case e.Action == "pass":
		o.passed++
	default:
		o.skipped++
	}
}

// unlessNamed counts a package as failed if none of its tests is: it did not build, say, or it panicked.
func (o *outcome) unlessNamed(pkg string) {
	for _, name := range o.failed {
		if strings.HasPrefix(name, pkg+" ") || strings.HasPrefix(name, pkg+".") {
			return
		}
	}
	for key, kept := range o.output { // of the test that ended it all
		if strings.HasPrefix(key, pkg+" ") {
			fmt.Print(kept.String())
		}
	}
	o.fail(pkg)
}

func (o *outcome) fail(what string) { o.failed = append(o.failed, what) }

// report prints the last lines, and returns the exit code.
func (o *outcome) report() int {
	if len(o.failed) == 0 {
		fmt.Printf("All %d tests passed; %d skipped.\n", o.passed, o.skipped)
		return 0
	}
	fmt.Printf("%d tests passed, %d were skipped, and these failed:\n", o.passed, o.skipped)
	for _, name := range o.failed {
		fmt.Printf("  %s\n", name)
	}
	return 1
}
