package dashboards

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// otelcol returns the collector's program, or nothing: it takes too long to build for every run of the tests.
func otelcol() string {
	if path := os.Getenv("STRATA_OTELCOL"); path != "" {
		return path
	}
	path, err := exec.LookPath("otelcol-contrib")
	if err != nil {
		return ""
	}
	return path
}

// startCollector runs the collector on the file that Compose mounts, with other addresses, and returns where it takes spans. It hands them
// to the trace receiver.
func (s *pipeline) startCollector(t *testing.T, program string) string {
	t.Helper()
	text, err := os.ReadFile("../deploy/otel-collector/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	addresses := freeAddresses(t, 4)
	spans, health, own := addresses[0], addresses[2], addresses[3]
	_, port, _ := strings.Cut(own, ":")
	config := string(text)
	for _, change := range [][2]string{
		{"0.0.0.0:4317", spans}, {"0.0.0.0:4318", addresses[1]}, {"0.0.0.0:13133", health}, {"tempo:4317", s.traces.address},
		{"host: 0.0.0.0, port: 8888", "host: 127.0.0.1, port: " + port},
	} {
		if strings.Count(config, change[0]) != 1 {
			t.Fatalf("the collector's configuration does not have %q once", change[0])
		}
		config = strings.Replace(config, change[0], change[1], 1)
	}
	file := filepath.Join(t.TempDir(), "otelcol.yaml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	s.collector = own
	s.launch(t, "otelcol", nil, program, "--config="+file)
	waitFor(t, "http://"+health+"/readyz")
	return spans
}
