package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
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
			program := program(t, c.variable, c.program)
			out, err := exec.CommandContext(t.Context(), program, c.args...).CombinedOutput()
			if err != nil || strings.Contains(string(out), "level=warn") {
				t.Errorf("%s %s: %v\n%s", program, strings.Join(c.args, " "), err, out)
			}
		})
	}
}

// TestALineOfTheLogIsFoundInLokiByItsTrace sends it the way of the profile logs: the engine's file, the log reader, the collector, Loki.
func TestALineOfTheLogIsFoundInLokiByItsTrace(t *testing.T) {
	collector, loki := program(t, "STRATA_OTELCOL", "otelcol-contrib"), program(t, "STRATA_LOKI", "loki")
	dir := t.TempDir()
	ports := freePorts(t, 6)
	at := func(i int) string { return "127.0.0.1:" + ports[i] }
	launch(t, loki, "-server.grpc-listen-port="+ports[1], "-config.file="+edited(t, "deploy/loki/loki.yaml",
		"http_listen_port: 3100", "http_listen_address: 127.0.0.1\n  http_listen_port: "+ports[0], "/loki", dir))
	launch(t, collector, "--config="+edited(t, "deploy/otel-collector/config.yaml", "0.0.0.0:4317", at(2), "0.0.0.0:4318", at(3),
		"0.0.0.0:13133", "127.0.0.1:0", "host: 0.0.0.0, port: 8888", "host: 127.0.0.1, port: "+ports[4], "loki:3100", at(0)))
	launch(t, collector, "--config="+edited(t, "deploy/otel-collector/logs.yaml", "/containers/", dir+"/containers/", "start_at: end",
		"start_at: beginning", "otel-collector:4317", at(2), "127.0.0.1:13133", "127.0.0.1:0"))

	const trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	lines := ""
	for _, line := range []string{
		`another program's line`,
		`{"ts":"2026-11-23T12:00:00Z","level":"info","msg":"another program's too"}`,
		fmt.Sprintf(`{"time":%q,"level":"INFO","msg":"write","listing":42,"trace_id":%q,"span_id":%q}`, time.Now().UTC().Format(time.RFC3339Nano), trace, span),
	} {
		text, err := json.Marshal(map[string]string{"log": line + "\n", "stream": "stdout", "time": "2026-11-23T12:00:00Z"})
		if err != nil {
			t.Fatal(err)
		}
		lines += string(text) + "\n"
	}
	if err := os.MkdirAll(filepath.Join(dir, "containers", "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "containers", "a", "a-json.log"), []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}

	ask := func(query string) []stream {
		var answer struct{ Data struct{ Result []stream } }
		if res, err := http.Get("http://" + at(0) + "/loki/api/v1/query_range?" + url.Values{"query": {query}}.Encode()); err == nil {
			_ = json.NewDecoder(res.Body).Decode(&answer) // whatever it says before it is ready is no answer
			res.Body.Close()
		}
		return answer.Data.Result
	}
	var found []stream
	for deadline := time.Now().Add(time.Minute); len(found) == 0; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the line never came")
		}
		found = ask(`{service_name="strata"} | trace_id="` + trace + `"`)
	}
	if s := found[0].Stream; len(found) != 1 || len(found[0].Values) != 1 || found[0].Values[0][1] != "write" || s["span_id"] != span || s["severity_text"] != "INFO" || s["listing"] != "42" {
		t.Errorf("found %+v", found)
	}
	if all := ask(`{service_name=~".+"}`); len(all) != 1 {
		t.Errorf("other programs' lines came too: %+v", all)
	}
}

// stream is a line in Loki's answer, with its structured metadata.
type stream struct {
	Stream map[string]string
	Values [][]string
}

// program returns the path of a program: what the variable says, or what PATH has under the name, if there is one. The test is skipped without.
func program(t *testing.T, variable, name string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" && name != "" {
		path, _ = exec.LookPath(name)
	}
	if path == "" {
		t.Skipf("SKIPPED: %s is not set, and PATH has no such program", variable)
	}
	return path
}

// edited returns the path of a copy of a file, with each of the texts replaced by the one after it.
func edited(t *testing.T, file string, changes ...string) string {
	t.Helper()
	text := read(t, file)
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(text, changes[i]) {
			t.Fatalf("%s has no %q", file, changes[i])
		}
	}
	path := filepath.Join(t.TempDir(), filepath.Base(file))
	if err := os.WriteFile(path, []byte(strings.NewReplacer(changes...).Replace(text)), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// launch runs a program until the test ends. The end of what it said is in the test's log if the test fails.
func launch(t *testing.T, program string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said at its end:\n%s", program, out.String()[max(0, out.Len()-1500):])
		}
	})
}

func freePorts(t *testing.T, n int) []string {
	t.Helper()
	var all []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		_, port, _ := net.SplitHostPort(l.Addr().String())
		all = append(all, port)
	}
	return all
}
