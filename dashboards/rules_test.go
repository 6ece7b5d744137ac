package dashboards

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func ruleTests(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../deploy/prometheus/rules/tests/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("tests of rules: %v, %v", files, err)
	}
	return files
}

func TestAlertsFireAndStayQuiet(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(promtool(t), append([]string{"test", "rules"}, ruleTests(t)...)...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool test rules: %v\n%s", err, out)
	}
}

func TestPromtoolRefusesAnAlertThatDoesNotFire(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../deploy/prometheus/rules/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	broken := strings.Replace(string(text), "redis_up == 0", "redis_up == 2", 1)
	if broken == string(text) {
		t.Fatal("alerts.yml has no redis_up == 0 to break")
	}
	write("alerts.yml", broken)
	test := write("test.yml", `
rule_files: [alerts.yml]
evaluation_interval: 5s
tests:
  - interval: 5s
    input_series: [{series: 'redis_up{job="redis", instance="c:9121"}', values: '0x20'}]
    promql_expr_test:
      - expr: count by (alertname) (ALERTS{alertname="RedisDown", alertstate="firing"})
        eval_time: 1m
        exp_samples: [{labels: '{alertname="RedisDown"}', value: 1}]
`)
	if out, err := exec.Command(promtool(t), "test", "rules", test).CombinedOutput(); err == nil {
		t.Errorf("promtool accepts an alert that stays quiet:\n%s", out)
	}
}

// promtool returns the path of Prometheus' own tool. `make test` installs it.
func promtool(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is missing: make test installs it by apt (package prometheus); elsewhere it comes with Prometheus")
	}
	return path
}
