package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"example.com/strata/strategies"
)

// compare runs compare.sh with a docker that writes down what it is asked and what it was told to run, and returns that and what is said.
func compare(t *testing.T, docker string, env ...string) (record, said string, err error) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "record")
	script := "#!/bin/bash\n" + docker + "\nprintf '%s %s\\n' \"${STRATA_STRATEGY:-unset}\" \"$*\" >>" + file + "\n"
	if err := os.WriteFile(filepath.Join(dir, "docker"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), "bash", "compare.sh")
	command.Env = append([]string{"PATH=" + dir + ":" + os.Getenv("PATH"), "HOME=" + dir}, env...)
	out, err := command.CombinedOutput()
	text, _ := os.ReadFile(file)
	return string(text), string(out), err
}

func TestCompareKeepsTheOrderOfTheStrategiesAndMarksEachRun(t *testing.T) {
	record, said, err := compare(t, `case "$*" in *" run "*STRATEGY=ttl*) exit 99 ;; esac`) // k6 says so where a threshold is missed
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	at := 0
	for _, name := range strategies.Names() {
		started := strings.Index(record[at:], name+" compose up --detach --wait --no-build strata")
		if started < 0 {
			t.Fatalf("%s is not started in its turn:\n%s", name, record)
		}
		at += started
		if name == "ttl" {
			continue // it was run, and failed before it could be written down
		}
		loaded := strings.Index(record[at:], name+" compose --profile load run --rm --env RUN=compare-")
		if loaded < 0 || !strings.Contains(record[at:], "--env STRATEGY="+name+" k6") {
			t.Fatalf("%s gets no load that is marked as its own:\n%s", name, record)
		}
		at += loaded
	}
	lines := strings.Split(strings.TrimSpace(record), "\n")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "unset compose up") {
		t.Errorf("at the end the stack is not what make up starts: %s", last)
	}
	if !strings.Contains(said, "ttl did not reach") || !strings.Contains(said, "/d/strata-caching") {
		t.Errorf("says:\n%s", said)
	}
}

func TestCompareRefusesWhatItCannotPlay(t *testing.T) {
	if record, said, err := compare(t, "", "STRATEGIES=none nonsense"); err == nil || record != "" || !strings.Contains(said, "there is no strategy nonsense, only none ttl") {
		t.Errorf("%v, %q, ran %q", err, said, record)
	}
	if _, said, err := compare(t, "exit 1"); err == nil || strings.Count(strings.TrimSpace(said), "\n") != 0 || !strings.Contains(said, "Compose plugin") {
		t.Errorf("without the plugin: %v, %q", err, said)
	}
}
