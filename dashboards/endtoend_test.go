package dashboards

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	tracecollector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	_ "google.golang.org/grpc/encoding/gzip" // the collector compresses what it sends

	"example.com/strata/deploy/local"
	"example.com/strata/strategies"
)

// absent are the panels that have no data here, and why. Whatever else is empty is a fault.
var absent = map[string]string{
	`telemetry.json: "Alerts that fire"`: "none should",
	`telemetry.json: "Faults"`:           "none should",
}

// collectors are the panels that have data only where there is a collector: a program that the tests do not install.
var collectors = []string{
	`telemetry.json: "Collector: spans taken, refused"`,
	`telemetry.json: "Collector: spans sent, lost"`,
	`telemetry.json: "Collector: queue"`,
	`telemetry.json: "Collector: memory"`,
}

const scrapeInterval = time.Second

// traffic is what k6 does to each replica.
type traffic struct{ listings, hot, writes, rate, duration string }

// visitors are few: enough for every panel, and next to nothing for the machine. The test ends when all has data, at the latest with them.
func visitors() traffic {
	if *update { // for a picture, what two cores bear, and long enough for the last minute to be one of warm caches
		return traffic{listings: "100000", hot: "10000", writes: "0.005", rate: "50", duration: "180s"}
	}
	return traffic{listings: "2000", hot: "500", writes: "0.05", rate: "15", duration: "60s"}
}

// TestEveryPanelAndEveryRuleHasDataUnderLoad is the whole pipeline but Tempo and Grafana: a replica of each strategy, two of stamped, on a
// private Postgres and Redis, real exporters, a real Prometheus, real load, and the collector with Compose's configuration where
// STRATA_OTELCOL or PATH has otelcol-contrib.
func TestEveryPanelAndEveryRuleHasDataUnderLoad(t *testing.T) {
	s := startStack(t)
	queries := s.everything(t)
	if len(queries) < 200 {
		t.Fatalf("only %d queries", len(queries))
	}
	missing := make(map[string]string) // what a query says, by its name
	ended, loads := s.startLoad(t)
	for {
		clear(missing)
		for _, q := range queries {
			if answer, err := s.ask(q); err != nil {
				missing[q.name] = err.Error()
			} else if !answer {
				missing[q.name] = "no data"
			}
		}
		if len(missing) == 0 {
			break
		}
		select {
		case <-ended:
			for name, why := range missing {
				t.Errorf("%s: %s", name, why)
			}
			t.FailNow()
		case <-time.After(scrapeInterval):
		}
	}
	t.Logf("%d queries of panels and rules, and each has data", len(queries))

	if answer, err := s.ask(check{name: "control", expr: "sum(rate(strata_answer_total[10s]))"}); err != nil || answer {
		t.Errorf("a metric that nobody exports: data %v, %v", answer, err)
	}
	s.rulesAreHealthy(t)
	<-ended
	s.seen = time.Now().Add(-scrapeInterval) // of a picture; later the load is over
	for _, l := range loads {
		<-l.done
	}
	s.theFirstScreenNamesTheWinner(t, loads)
	s.exemplarHasATrace(t)
	if *update {
		s.record(t)
		for _, b := range readBoards(t) {
			if b.UID == "strata-caching" {
				s.draw(t, b, strategies.Names(), "caching.svg")
			}
		}
	}
}

var update = flag.Bool("update", false, "record anew what the exporters export, and draw the home board")

// record writes the metrics of all that is scraped here, for the tests that look at boards without running anything.
func (s *pipeline) record(t *testing.T) {
	t.Helper()
	for _, r := range []struct{ file, job, prefix, what string }{
		{"postgres_exporter-0.19.1", "postgres", "pg_", "Every metric of postgres_exporter 0.19.1 with the collector stat_statements, on PostgreSQL " + s.PostgresVersion},
		{"redis_exporter-1.45", "redis", "redis_", "Every metric of redis_exporter 1.45 on " + s.RedisVersion},
		{"prometheus-2.42", "prometheus", "prometheus_", "Every metric of Prometheus 2.42 about itself, with the rules of deploy/prometheus/rules"},
		{"strata-process", "strata", "(go|process)_", "What client_golang adds to the service, and app/testdata/metrics.golden leaves out"},
		{"otel-collector-0.159", "otel-collector", "otelcol_", "Every metric of the OpenTelemetry collector 0.159 about itself, with deploy/otel-collector/config.yaml"},
	} {
		if r.job == "otel-collector" && s.collector == "" {
			t.Log("without a collector, what is recorded of it stays")
			continue
		}
		metadata := make(map[string][]struct{ Type string })
		var series []map[string]string
		form := url.Values{"match[]": {fmt.Sprintf(`{job=%q, __name__=~"%s.*"}`, r.job, r.prefix)}}
		if err := errors.Join(s.get("/api/v1/metadata", &metadata), s.get("/api/v1/series?"+form.Encode(), &series)); err != nil {
			t.Fatal(err)
		}
		labels := make(map[string]map[string]bool)
		for _, one := range series {
			family := one["__name__"]
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				if base, cut := strings.CutSuffix(family, suffix); cut && len(metadata[base]) > 0 {
					family = base
				}
			}
			if labels[family] == nil {
				labels[family] = make(map[string]bool)
			}
			for label := range one {
				if !slices.Contains([]string{"__name__", "job", "instance", "le", "quantile"}, label) {
					labels[family][label] = true
				}
			}
		}
		out := "# " + r.what + ": name, type, labels.\n"
		for _, family := range slices.Sorted(maps.Keys(labels)) {
			kind := "unknown"
			for _, name := range []string{family, strings.TrimSuffix(family, "_total")} { // OpenMetrics leaves the suffix of counters out
				if len(metadata[name]) > 0 {
					kind = metadata[name][0].Type
					break
				}
			}
			out += strings.Join(append([]string{family, kind}, slices.Sorted(maps.Keys(labels[family]))...), " ") + "\n"
		}
		if err := os.WriteFile(filepath.Join("testdata", r.file+".metrics"), []byte(out), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// check is one expression that must have data.
type check struct {
	name, expr string
	ranged     bool
}

// everything returns the queries of all panels, but those that are absent or need a collector that is, and the series of all recording rules.
func (s *pipeline) everything(t *testing.T) []check {
	t.Helper()
	v := shown
	var all []check
	absent := maps.Clone(absent)
	if s.collector == "" {
		t.Log("SKIPPED: the panels of the collector, since neither STRATA_OTELCOL nor PATH has otelcol-contrib")
		for _, name := range collectors {
			absent[name] = "no collector runs here"
		}
	}
	unused := make(map[string]bool)
	for name := range absent {
		unused[name] = true
	}
	for _, b := range readBoards(t) {
		for _, p := range b.queries() {
			name := fmt.Sprintf("%s: %q", b.file, p.Title)
			if absent[name] != "" {
				delete(unused, name)
				continue
			}
			for _, one := range p.Targets {
				all = append(all, check{name: p.String() + ": query " + one.RefID, expr: v.fill(one.Expr), ranged: one.Range})
			}
		}
	}
	for name := range unused {
		t.Errorf("%s is said to be absent, and there is no such panel", name)
	}
	for _, r := range readRules(t) {
		if r.Record == "" {
			continue
		}
		expr := r.Record
		for label, value := range r.Labels {
			expr += fmt.Sprintf("{%s=%q}", label, value)
		}
		all = append(all, check{name: r.String() + " " + expr, expr: expr})
	}
	return all
}

// pipeline is what runs.
type pipeline struct {
	*local.Stack
	prometheus string // base URL
	services   []replica
	token      string
	traces     *traceReceiver
	seen       time.Time
	collector  string // address of its own metrics; empty without one
}

type replica struct{ strategy, url, admin string }

func startStack(t *testing.T) *pipeline {
	t.Helper()
	strata := program(t, "STRATA_BIN", "bin/strata", "make build")
	postgresExporter := program(t, "STRATA_POSTGRES_EXPORTER", "bin/postgres_exporter", "make bin/postgres_exporter")
	redisExporter := program(t, "STRATA_REDIS_EXPORTER", "prometheus-redis-exporter", "make test, which installs it by apt")
	prometheus := program(t, "STRATA_PROMETHEUS", "prometheus", "make test, which installs it by apt")
	stack, err := local.Start(context.Background(), local.Config{Log: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stack.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &pipeline{Stack: stack, token: "end-to-end-token", traces: receiveTraces(t)}
	spans := s.traces.address
	if program := otelcol(); program != "" {
		spans = s.startCollector(t, program)
	}
	database := []string{"DATABASE_URL=" + stack.DatabaseURL, "DATABASE_OWNER_URL=" + stack.OwnerURL}
	s.run(t, database, strata, "migrate")
	s.run(t, database, strata, "seed", "--listings", visitors().listings)

	for _, strategy := range append(strategies.Names(), "stamped") {
		addresses := freeAddresses(t, 2)
		s.launch(t, "strata-"+strategy, append(database,
			"HTTP_ADDR="+addresses[0], "ADMIN_ADDR="+addresses[1], "REDIS_URL="+stack.RedisURL, "STRATA_STRATEGY="+strategy,
			fmt.Sprintf("API_TOKENS=tester:listings:write+listings:delete:%x", sha256.Sum256([]byte(s.token))), "LOG_LEVEL=warn", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+spans, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"), strata, "serve")
		s.services = append(s.services, replica{strategy, "http://" + addresses[0], addresses[1]})
		waitFor(t, "http://"+addresses[1]+"/readyz")
	}
	redisURL, err := url.Parse(stack.RedisURL)
	if err != nil {
		t.Fatal(err)
	}
	password, _ := redisURL.User.Password()
	addresses := freeAddresses(t, 3)
	s.launch(t, "postgres_exporter", []string{"DATA_SOURCE_NAME=" + stack.SuperuserURL}, postgresExporter, "--collector.stat_statements", "--web.listen-address="+addresses[0])
	s.launch(t, "redis_exporter", []string{"REDIS_ADDR=redis://" + redisURL.Host, "REDIS_PASSWORD=" + password}, redisExporter, "-web.listen-address="+addresses[1])
	s.startPrometheus(t, prometheus, addresses)
	return s
}

// startPrometheus runs Prometheus on the rules that Compose mounts. addresses are those of the Postgres exporter, of the Redis exporter, and its own.
func (s *pipeline) startPrometheus(t *testing.T, program string, addresses []string) {
	t.Helper()
	rules, err := filepath.Abs("../deploy/prometheus/rules")
	if err != nil {
		t.Fatal(err)
	}
	quoted := func(all []string) string { return `["` + strings.Join(all, `", "`) + `"]` }
	var replicas []string
	for _, r := range s.services {
		replicas = append(replicas, r.admin)
	}
	config := fmt.Sprintf("global: {scrape_interval: %s, evaluation_interval: %[1]s}\nrule_files: [%q]\nscrape_configs:\n", scrapeInterval, rules+"/*.yml")
	type job struct {
		name    string
		targets []string
	}
	jobs := []job{{"strata", replicas}, {"postgres", addresses[:1]}, {"redis", addresses[1:2]}, {"prometheus", addresses[2:]}}
	if s.collector != "" {
		jobs = append(jobs, job{"otel-collector", []string{s.collector}})
	}
	for _, job := range jobs {
		config += fmt.Sprintf("- {job_name: %s, static_configs: [{targets: %s}]}\n", job.name, quoted(job.targets))
	}
	file := filepath.Join(t.TempDir(), "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	s.prometheus = "http://" + addresses[2]
	s.launch(t, "prometheus", nil, program, "--config.file="+file, "--storage.tsdb.path="+filepath.Join(t.TempDir(), "data"),
		"--web.listen-address="+addresses[2], "--web.enable-remote-write-receiver", "--enable-feature=exemplar-storage", "--log.level=warn")
	waitFor(t, s.prometheus+"/-/ready")
}

// shown is how the boards are looked at here.
var shown = values{strategy: strings.Join(strategies.Names(), "|"), baseline: "none", rateInterval: "10s", timeRange: "1m", interval: "1s"}

// visit is a run of k6 against one replica.
type visit struct {
	strategy, summary string // the latter is a file
	done              <-chan struct{}
}

// startLoad has k6 visit every replica, as make load does. The channel is closed when the first is through.
func (s *pipeline) startLoad(t *testing.T) (<-chan struct{}, []visit) {
	t.Helper()
	k6 := program(t, "STRATA_K6", "bin/k6", "make bin/k6")
	script, err := filepath.Abs("../loadtest/browse.js")
	if err != nil {
		t.Fatal(err)
	}
	v := visitors()
	var visits []visit
	dir := t.TempDir()
	for i, r := range s.services {
		p := s.launch(t, fmt.Sprintf("k6-%d", i), []string{
			"BASE_URL=" + r.url, "TOKEN=" + s.token, "STRATEGY=" + r.strategy, "LISTINGS=" + v.listings, "HOT=" + v.hot, "WRITES=" + v.writes, "RATE=" + v.rate, "DURATION=" + v.duration,
			fmt.Sprintf("SEED=%d", i+1), "SUMMARY=" + filepath.Join(dir, fmt.Sprint(i)),
			"K6_PROMETHEUS_RW_SERVER_URL=" + s.prometheus + "/api/v1/write", "K6_PROMETHEUS_RW_PUSH_INTERVAL=1s", "K6_PROMETHEUS_RW_TREND_STATS=p(50),p(95),p(99),avg",
		}, k6, "run", "--quiet", "--no-usage-report", "--tag", fmt.Sprintf("run=%d", i), "--tag", "strategy="+r.strategy, "-o", "experimental-prometheus-rw", script)
		visits = append(visits, visit{r.strategy, filepath.Join(dir, fmt.Sprint(i)), p.Done()})
	}
	return visits[0].done, visits
}

// ask returns whether an expression has a value that is a number, now or, ranged, in the last minute.
func (s *pipeline) ask(c check) (bool, error) {
	form, path := url.Values{"query": {c.expr}}, "/api/v1/query"
	if c.ranged {
		now := time.Now()
		path = "/api/v1/query_range"
		form.Set("start", fmt.Sprint(now.Add(-time.Minute).Unix()))
		form.Set("end", fmt.Sprint(now.Unix()))
		form.Set("step", "1")
	}
	var data struct {
		Result []struct {
			Value  []any
			Values [][]any
		}
	}
	if err := s.get(path+"?"+form.Encode(), &data); err != nil {
		return false, err
	}
	for _, series := range data.Result {
		for _, v := range append(series.Values, series.Value) {
			if len(v) == 2 && v[1] != "NaN" && v[1] != "+Inf" && v[1] != "-Inf" {
				return true, nil
			}
		}
	}
	return false, nil
}

// get asks Prometheus and reads the part of its answer that is called data.
func (s *pipeline) get(path string, data any) error {
	res, err := http.Get(s.prometheus + path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return errors.New(answer.Error)
	}
	return json.Unmarshal(answer.Data, data)
}

// rulesAreHealthy fails if Prometheus could not evaluate a rule, or if an alert fires that means harm.
func (s *pipeline) rulesAreHealthy(t *testing.T) {
	t.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError, State string }
		}
	}
	if err := s.get("/api/v1/rules", &data); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range data.Groups {
		for _, r := range g.Rules {
			n++
			if r.Health != "ok" {
				t.Errorf("rule %s is %s: %s", r.Name, r.Health, r.LastError)
			}
			if r.State == "firing" && slices.Contains([]string{"AuditFoundStale", "TargetDown", "PostgresDown", "RedisDown", "RulesFail", "SpansLost"}, r.Name) {
				t.Errorf("%s fires", r.Name)
			}
		}
	}
	if want := len(readRules(t)); n != want {
		t.Errorf("Prometheus has %d rules, want %d", n, want)
	}
}

// exemplarHasATrace fails unless the trace that an exemplar names comes to the OTLP receiver.
func (s *pipeline) exemplarHasATrace(t *testing.T) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		var series []struct {
			Exemplars []struct{ Labels map[string]string }
		}
		now := time.Now()
		form := url.Values{"query": {"http_server_request_duration_seconds_bucket"}, "start": {fmt.Sprint(now.Add(-time.Minute).Unix())}, "end": {fmt.Sprint(now.Unix())}}
		if err := s.get("/api/v1/query_exemplars?"+form.Encode(), &series); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, one := range series {
			for _, e := range one.Exemplars {
				n++
				if s.traces.has(e.Labels["trace_id"]) {
					return
				}
			}
		}
		select {
		case <-deadline:
			t.Fatalf("of %d exemplars none has a trace among the %d that have come", n, s.traces.count())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// traceReceiver takes spans by OTLP, as Tempo and the collector do.
type traceReceiver struct {
	tracecollector.UnimplementedTraceServiceServer

	address string
	mu      sync.Mutex
	ids     map[string]bool
}

func receiveTraces(t *testing.T) *traceReceiver {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &traceReceiver{address: listener.Addr().String(), ids: make(map[string]bool)}
	server := grpc.NewServer()
	tracecollector.RegisterTraceServiceServer(server, r)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *traceReceiver) Export(_ context.Context, message *tracecollector.ExportTraceServiceRequest) (*tracecollector.ExportTraceServiceResponse, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, resource := range message.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				r.ids[fmt.Sprintf("%x", span.TraceId)] = true
			}
		}
	}
	return new(tracecollector.ExportTraceServiceResponse), nil
}

func (r *traceReceiver) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[id]
}

func (r *traceReceiver) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.ids)
}

// program returns the path of a program: what the variable says, a file below the module's root, or what PATH has.
func program(t *testing.T, variable, name, remedy string) string {
	t.Helper()
	if path := os.Getenv(variable); path != "" {
		return path
	}
	if strings.Contains(name, "/") {
		path, err := filepath.Abs(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err == nil {
			return path
		}
	} else if path, err := exec.LookPath(name); err == nil {
		return path
	}
	t.Fatalf("%s is missing: %s makes it, or %s says where it is", name, remedy, variable)
	return ""
}

// environment is what every program gets: nothing of ours that would configure it behind our back.
func environment(more []string) []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TZ=UTC"}, more...)
}

func (s *pipeline) run(t *testing.T, env []string, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Env = environment(env)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", program, args[0], err, out)
	}
}

// launch starts a program that ends with the stack. The end of what it said is in the test's log if the test fails.
func (s *pipeline) launch(t *testing.T, name string, env []string, program string, args ...string) *local.Process {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(env), &out, &out
	p, err := s.Launch(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		p.Stop(ctx)
		if t.Failed() {
			text := out.String()
			t.Logf("%s said at its end:\n%s", name, text[max(0, len(text)-1500):])
		}
	})
	return p
}

func freeAddresses(t *testing.T, n int) []string {
	t.Helper()
	var all []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		all = append(all, l.Addr().String())
	}
	return all
}

// waitFor returns when a URL answers with 200.
func waitFor(t *testing.T, address string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		if res, err := http.Get(address); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-deadline:
			t.Fatalf("%s never answered with 200", address)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
