package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestProgramsReadTheirConfiguration asks the programs themselves, where there are any: to build them takes too long for every run of the
// tests. Each is in the variable, or on PATH under the name that its image gives it; but for promtool, since a distribution's may be of
// Prometheus 2, which does not know the keys for native histograms.
func TestProgramsReadTheirConfiguration(t *testing.T) {
	collector := filepath.Join(root, "deploy", "otel-collector")
	for _, c := range []struct {
		name, variable, program string
		args                    []string
	}{
		{"collector", "STRATA_OTELCOL", "otelcol-contrib", []string{"validate", "--config=" + collector + "/config.yaml"}},
		{"collector with tail sampling", "STRATA_OTELCOL", "otelcol-contrib", []string{"validate", "--config=" + collector + "/config.yaml", "--config=" + collector + "/tail-sampling.yaml"}},
		{"log reader", "STRATA_OTELCOL", "otelcol-contrib", []string{"validate", "--config=" + collector + "/logs.yaml"}},
		{"tempo", "STRATA_TEMPO", "tempo", []string{"-config.verify", "-config.file=" + filepath.Join(root, "deploy/tempo/tempo.yaml")}},
		{"loki", "STRATA_LOKI", "loki", []string{"-verify-config", "-config.file=" + filepath.Join(root, "deploy/loki/loki.yaml")}},
		{"prometheus", "STRATA_PROMTOOL", "", []string{"check", "config", "--lint=all", "--lint-fatal", filepath.Join(root, "deploy/prometheus/prometheus.yml")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			program := os.Getenv(c.variable)
			if program == "" && c.program != "" {
				program, _ = exec.LookPath(c.program)
			}
			if program == "" {
				t.Skipf("SKIPPED: %s is not set, and PATH has no such program", c.variable)
			}
			out, err := exec.CommandContext(t.Context(), program, c.args...).CombinedOutput()
			if err != nil || strings.Contains(string(out), "level=warn") {
				t.Errorf("%s %s: %v\n%s", program, strings.Join(c.args, " "), err, out)
			}
		})
	}
}
