package deploy_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script runs one of deploy/*.sh where there is no Docker, or one without an engine, and returns what it says and its exit code.
func script(t *testing.T, name string, tools []string, env ...string) (string, int) {
	t.Helper()
	path := t.TempDir()
	for _, tool := range append([]string{"bash", "dirname", "sort", "head", "sed", "grep", "awk", "tail"}, tools...) {
		program, err := exec.LookPath(tool)
		if err != nil {
			t.Skipf("%s is not installed", tool)
		}
		if err := os.Symlink(program, filepath.Join(path, tool)); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "bash", name)
	command.Env = append([]string{"PATH=" + path, "HOME=" + t.TempDir()}, env...)
	out, err := command.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), command.ProcessState.ExitCode()
}

func TestScriptsSayWhatIsMissing(t *testing.T) {
	nobody := "DOCKER_HOST=unix://" + filepath.Join(t.TempDir(), "docker.sock")
	for _, test := range []struct {
		name, script string
		tools        []string
		code         int
		says         []string
	}{
		{"doctor without tools", "doctor.sh", nil, 1, []string{"WRONG go is not installed", "WRONG git is not installed", "-     kind is not installed", "-     kubectl is not installed", "-     tilt is not installed", "WRONG docker is not installed", "-> install Docker"}},
		{"doctor without Docker", "doctor.sh", []string{"go", "git", "make"}, 1, []string{"ok    go", "WRONG docker is not installed", "1 to put right."}},
		{"doctor without an engine", "doctor.sh", []string{"go", "git", "make", "docker"}, 1, []string{"WRONG no Docker engine answers", "-> start it", "1 to put right."}},
		{"check without Docker", "compose-check.sh", nil, 0, []string{"SKIPPED: docker is not installed"}},
		{"check without an engine", "compose-check.sh", []string{"docker"}, 0, []string{"SKIPPED: no Docker engine answers"}},
		{"footprint without an engine", "footprint.sh", []string{"docker"}, 1, []string{"no Docker engine answers"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			out, code := script(t, test.script, test.tools, nobody)
			if code != test.code {
				t.Errorf("exit code %d, want %d:\n%s", code, test.code, out)
			}
			for _, want := range test.says {
				if !strings.Contains(out, want) {
					t.Errorf("does not say %q:\n%s", want, out)
				}
			}
		})
	}
}
