package deploy_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// readPins returns what is fetched, by name.
func readPins(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("pins.txt")
	if err != nil {
		t.Fatal(err)
	}
	pins := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] == "#" {
			continue
		}
		if len(fields) != 2 || pins[fields[0]] != "" {
			t.Fatalf("pins.txt: %q is no name and its pin, or is there twice", line)
		}
		pins[fields[0]] = fields[1]
	}
	return pins
}

// mention is a reference to an image in a text: its repository and what follows.
var mention = regexp.MustCompile(`[a-z0-9][a-z0-9./_-]*[a-z0-9]:[A-Za-z0-9][A-Za-z0-9._-]*(@sha256:[0-9a-f]{64})?`)

// used is how files ask for an image: as a value of YAML, an argument of the Dockerfile, the last word of docker run.
var used = regexp.MustCompile(`(?m)^\s*-?\s*image:\s*(?:&\w+ )?([^\s*]+)|^ARG \w+_IMAGE=(\S+)|docker run .* (\S+) >`)

// repository is an image's name without its tag and digest.
func repository(image string) string {
	name, _, _ := strings.Cut(image, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	return name
}

// disagreements returns where a text asks for an image that is not pinned, or mentions another version of one that is. In prose a digest
// may be left out.
func disagreements(pins map[string]string, path, text string) (all []string) {
	byRepository := make(map[string][]string)
	for _, pin := range pins {
		byRepository[repository(pin)] = append(byRepository[repository(pin)], pin)
	}
	for _, found := range used.FindAllStringSubmatch(text, -1) {
		image := strings.Join(found[1:], "")
		ours := strings.HasPrefix(image, "strata:") || strings.HasPrefix(image, "localhost:5005/strata:") || strings.Contains(image, "$")
		if !ours && !slices.Contains(slices.Collect(maps.Values(pins)), image) {
			all = append(all, path+" asks for "+image+", which is not in deploy/pins.txt")
		}
	}
	for _, image := range mention.FindAllString(text, -1) {
		pinned := byRepository[repository(image)]
		if len(pinned) == 0 || !strings.Contains(image, "/") { // redis:6379 is an address
			continue
		}
		agrees := slices.ContainsFunc(pinned, func(pin string) bool { return image == pin || strings.HasPrefix(pin, image+"@") })
		if !agrees {
			all = append(all, path+" mentions "+image+", and deploy/pins.txt has "+strings.Join(pinned, ", "))
		}
	}
	return all
}

func TestEverybodyFetchesWhatIsPinned(t *testing.T) {
	pins := readPins(t)
	unused := maps.Clone(pins)
	read := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if path != ".." && (name == ".git" || name == "bin" || name == "results" || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		pinnable := slices.Contains([]string{".yaml", ".yml", ".sh", ".md", ".mod"}, filepath.Ext(name)) || name == "Dockerfile" || name == "Tiltfile" || name == "Makefile"
		if !pinnable {
			return nil
		}
		read++
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(content)
		for _, sentence := range disagreements(pins, strings.TrimPrefix(path, "../"), text) {
			t.Error(sentence)
		}
		for pin, what := range pins {
			module, version, isModule := strings.Cut(what, "@v")
			if strings.Contains(text, what) || isModule && strings.HasSuffix(path, ".mod") && strings.Contains(text, module+" v"+version) {
				delete(unused, pin)
			}
		}
		return nil
	})
	if err != nil || read < 60 {
		t.Fatalf("read %d files (%v)", read, err)
	}
	for pin, what := range unused {
		t.Errorf("pins.txt has %s as %s, and nobody fetches that", pin, what)
	}
}

func TestAnotherVersionIsNoticed(t *testing.T) {
	pins := readPins(t)
	for text, want := range map[string]int{
		"  image: grafana/k6:2.2.0\n":                        0,
		"  image: grafana/k6:2.1.0\n":                        2,
		"  image: nginx:1.29\n":                              1,
		"  image: redis:8.6.0\n":                             1,
		"We run grafana/tempo:2.9.0.\n":                      1,
		"We run `grafana/grafana:13.1.3`.\n":                 0,
		"ARG BUILD_IMAGE=golang:1.25-bookworm\n":             1,
		"docker run --detach --name x registry:3 >/dev/null": 1,
		"redis:6379 and postgres:5432 are addresses\n":       0,
	} {
		if got := disagreements(pins, "text", text); len(got) != want {
			t.Errorf("%q: %v, want %d", text, got, want)
		}
	}
}
