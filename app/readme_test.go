package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// examplesOf returns the shell block of a section of a Markdown text.
func examplesOf(markdown, heading string) (string, error) {
	_, section, found := strings.Cut(markdown, "\n## "+heading+"\n")
	if !found {
		return "", fmt.Errorf("no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	_, block, found := strings.Cut(section, "\n```sh\n")
	block, _, closed := strings.Cut(block, "\n```")
	if !found || !closed {
		return "", fmt.Errorf("no shell block in %q", heading)
	}
	return block, nil
}

// example is a command of a block, and what its comment says of the answer: its status, and what is in it.
type example struct {
	command, says string
	status        int
}

// A comment that begins with a status is what is expected.
var expectation = regexp.MustCompile(`\s+# ([1-5]\d\d)(?: (.+))?$`)

// parseExamples returns the commands of a block in order. It returns an error for a request that shows its answer and says nothing of it. Commands go on
// over lines as long as a quotation does.
func parseExamples(block string) ([]example, error) {
	var all []example
	var open string
	for line := range strings.Lines(block) {
		line = open + strings.TrimRight(line, "\n")
		if strings.Count(line, "'")%2 == 1 {
			open = line + "\n"
			continue
		}
		open = ""
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "api=") {
			continue
		}
		e := example{command: line}
		if found := expectation.FindStringSubmatch(line); found != nil {
			e.status, _ = strconv.Atoi(found[1])
			e.says = found[2]
		} else if strings.HasPrefix(line, "curl ") {
			return nil, fmt.Errorf("no status behind: %s", line)
		}
		all = append(all, e)
	}
	if open != "" {
		return nil, fmt.Errorf("a quotation has no end: %s", open)
	}
	return all, nil
}

var statusLine = regexp.MustCompile(`(?m)^HTTP/1\.1 (\d+) `)

// runExamples runs the commands in one bash, as somebody would who pastes them, and returns what is not as their comments say.
func runExamples(t testing.TB, examples []example, env ...string) []error {
	t.Helper()
	dir := t.TempDir()
	var script strings.Builder
	script.WriteString("set -o pipefail -o nounset\n")
	for i, e := range examples {
		fmt.Fprintf(&script, "{ %s\n} >%[2]d.out 2>%[2]d.err; echo $? >%[2]d.code\n", e.command, i)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return []error{fmt.Errorf("bash: %w: %s", err, out)}
	}
	var wrong []error
	for i, e := range examples {
		read := func(kind string) string {
			b, _ := os.ReadFile(filepath.Join(dir, strconv.Itoa(i)+"."+kind))
			return string(bytes.TrimSpace(b))
		}
		out := read("out")
		if code := read("code"); code != "0" {
			wrong = append(wrong, fmt.Errorf("exit code %q of: %s\n%s", code, e.command, read("err")))
			continue
		}
		if e.status == 0 {
			continue
		}
		if found := statusLine.FindStringSubmatch(out); found == nil || found[1] != strconv.Itoa(e.status) {
			wrong = append(wrong, fmt.Errorf("not status %d of: %s\n%s", e.status, e.command, out))
		} else if !strings.Contains(strings.ToLower(out), strings.ToLower(e.says)) {
			wrong = append(wrong, fmt.Errorf("no %s in the answer of: %s\n%s", e.says, e.command, out))
		}
	}
	return wrong
}

func TestExamplesOfTheReadmeDoWhatTheySay(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	block, err := examplesOf(string(readme), "Using the API")
	if err != nil {
		t.Fatal(err)
	}
	examples, err := parseExamples(block)
	if err != nil {
		t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	if code := execute(t.Context(), []string{"token", "alice", "--scopes", "listings:write"}, &out, &errOut); code != 0 {
		t.Fatalf("strata token: exit code %d: %s", code, errOut.String())
	}
	printed := regexp.MustCompile(`token +(\S+)\nAPI_TOKENS +(\S+)\n`).FindStringSubmatch(out.String())
	if printed == nil {
		t.Fatalf("strata token printed %q", out.String())
	}
	_, appURL := seeded(t, 3000)
	s := serve(t, appURL, func(c *Config) { c.HTTP.APITokens = Secret(printed[2]) })
	env := []string{"api=" + s.http, "token=" + printed[1], "no_proxy=127.0.0.1"}
	for _, err := range runExamples(t, examples, env...) {
		t.Error(err)
	}

	// The same look at lines that say what is not so.
	const bad = `curl -i "$api/v1/listings/1"   # 404
curl -i "$api/v1/listings/1"   # 200 "id":2
curl -i "$nowhere/v1/listings/1"   # 200
false | cat`
	for line := range strings.Lines(bad) {
		examples, err := parseExamples(line)
		if err != nil {
			t.Fatal(err)
		}
		if len(runExamples(t, examples, env...)) != 1 {
			t.Errorf("passes: %s", line)
		}
	}
	if _, err := parseExamples(`curl -i "$api/v1/cities"`); err == nil {
		t.Error("a request of which nothing is said passes")
	}
}
