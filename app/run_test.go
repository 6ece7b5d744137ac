package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.uber.org/goleak"

	"example.com/strata/app/httpapi"
	"example.com/strata/app/listing"
	"example.com/strata/app/postgres"
	"example.com/strata/deploy/local"
)

var (
	stack  *local.Stack
	update = flag.Bool("update", false, "write the golden files anew")
)

func TestMain(m *testing.M) {
	flag.Parse()
	if kind := os.Getenv(childEnv); kind != "" {
		os.Exit(runChild(kind))
	}
	os.Exit(func() int {
		var err error
		if stack, err = local.Start(context.Background(), local.Config{Log: func(line string) { fmt.Fprintln(os.Stderr, line) }}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		code := m.Run()
		if err := stack.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// service is the whole service in this process, started as `strata serve` starts it.
type service struct {
	http, admin string // base URLs
	stop        func() error
	log         *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

const writeToken = "testing-token"

// serve starts the service on a database and waits until it is ready. It ends with the test.
func serve(t testing.TB, databaseURL string, change ...func(*Config)) *service {
	t.Helper()
	cfg := Config{
		HTTP: HTTPConfig{
			Addr: "127.0.0.1:0", APITokens: Secret(tokenEntry("tester", httpapi.Scopes(), writeToken)),
			MaxConns: 4096, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 75 * time.Second,
		},
		Admin:    AdminConfig{Addr: "127.0.0.1:0"},
		Postgres: PostgresConfig{URL: URL(databaseURL), PoolSize: 8},
		Cache:    CacheConfig{Strategy: "stamped", TTL: time.Minute, RedisURL: URL(stack.RedisURL), ViewsL1Bytes: 32 << 20, DataL1Bytes: 32 << 20, MaxLoads: 64},
		Log:      LogConfig{Level: "info", Format: "json"},
		Version:  "test",
	}
	for _, c := range change {
		c(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s := &service{log: new(lockedBuffer)}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, cfg, s.log) }()
	s.stop = sync.OnceValue(func() error {
		http.DefaultClient.CloseIdleConnections() // or the service would wait for what they may bring
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the service is ready", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("the service ended: %v\n%s", err, s.log)
		default:
		}
		return s.findPorts() && status(s.admin+"/readyz") == http.StatusOK
	})
	return s
}

// findPorts reads off the log where the service listens.
func (s *service) findPorts() bool {
	for lines := bufio.NewScanner(strings.NewReader(s.log.String())); lines.Scan(); {
		var line struct{ Msg, HTTP, Admin string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
			s.http, s.admin = "http://"+line.HTTP, "http://"+line.Admin
			return true
		}
	}
	return false
}

func status(url string) int {
	res, err := http.Get(url)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	return res.StatusCode
}

type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends one request. Header lines are "Name: value".
func (s *service) ask(t testing.TB, method, path, body string, header ...string) answer {
	t.Helper()
	a, err := s.try(method, path, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (s *service) try(method, path, body string, header ...string) (answer, error) {
	req, err := http.NewRequest(method, s.http+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(b)}, err
}

// want asks for a path and fails unless the status is 200.
func (s *service) want(t testing.TB, path string, header ...string) answer {
	t.Helper()
	a := s.ask(t, http.MethodGet, path, "", header...)
	if a.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	return a
}

// metrics scrapes the admin port.
func (s *service) metrics(t testing.TB) map[string]*dto.MetricFamily {
	t.Helper()
	res, err := http.Get(s.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// scrape returns what the admin port says to a client that accepts a type.
func (s *service) scrape(t testing.TB, accept string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", accept)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// eventually waits for a condition that another goroutine or process brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	for !holds() {
		select {
		case <-deadline:
			t.Fatalf("never happened: %s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// seeded returns the URLs of a database with listings, the same for all tests that only read or change single listings.
func seeded(t testing.TB, listings int) (ownerURL, appURL string) {
	t.Helper()
	ownerURL, appURL = newDatabase(t)
	if err := postgres.Seed(t.Context(), ownerURL, postgres.SeedConfig{Listings: listings, Seed: 1}); err != nil {
		t.Fatal(err)
	}
	return ownerURL, appURL
}

func listingIn(t testing.TB, a answer) listing.Listing {
	t.Helper()
	var l listing.Listing
	if err := json.Unmarshal([]byte(a.body), &l); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return l
}

func TestServiceExportsTheMetricsThatItsBoardsRead(t *testing.T) {
	_, app := seeded(t, 200)
	s := serve(t, app)
	for _, path := range []string{"/v1/listings/1", "/v1/listings/1", "/v1/listings?city=lisbon", "/v1/cities", "/v1/cities/lisbon/stats"} {
		s.want(t, path)
	}
	s.ask(t, http.MethodPatch, "/v1/listings/1", `{"price_minor": 5}`, "Authorization: Bearer "+writeToken)
	var lines []string
	for name, f := range s.metrics(t) {
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		labels := make(map[string]map[string]bool)
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if labels[l.GetName()] == nil {
					labels[l.GetName()] = make(map[string]bool)
				}
				labels[l.GetName()][l.GetValue()] = true
			}
		}
		line := fmt.Sprintf("%s %s", name, strings.ToLower(f.GetType().String()))
		for _, label := range slices.Sorted(maps.Keys(labels)) {
			if values := labels[label]; label != "go_version" && label != "revision" {
				line += fmt.Sprintf(" %s=%s", label, strings.Join(slices.Sorted(maps.Keys(values)), ","))
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	got := strings.Join(lines, "\n") + "\n"
	golden := filepath.Join("testdata", "metrics.golden")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(got, "\n"), strings.Split(string(want), "\n")); diff != "" {
		t.Errorf("metrics, got -, want + (go test ./app -run Metrics -update writes them):\n%s", diff)
	}
}

// sum adds up a counter over all its labels, or over those that match.
func sum(families map[string]*dto.MetricFamily, name string, match ...string) float64 {
	total := 0.0
	for _, m := range families[name].GetMetric() {
		matches := true
		for i := 0; i < len(match); i += 2 {
			matches = matches && slices.ContainsFunc(m.Label, func(l *dto.LabelPair) bool { return l.GetName() == match[i] && l.GetValue() == match[i+1] })
		}
		if matches {
			total += m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return total
}

func TestEveryAnswerIsCountedOnce(t *testing.T) {
	_, app := seeded(t, 200)
	s := serve(t, app)
	auth := "Authorization: Bearer " + writeToken
	asked := 0
	for range 3 {
		for _, r := range []struct{ method, path, body string }{
			{"GET", "/v1/listings/1", ""}, {"HEAD", "/v1/listings/2", ""}, {"GET", "/v1/listings/999999", ""}, {"GET", "/v1/listings/x", ""},
			{"GET", "/v1/listings?limit=3", ""}, {"GET", "/v1/listings?nonsense=3", ""}, {"GET", "/v1/cities", ""}, {"GET", "/v1/cities/lisbon/stats", ""},
			{"GET", "/v1/cities/atlantis/stats", ""}, {"PATCH", "/v1/listings/1", `{"price_minor": 5}`}, {"PATCH", "/v1/listings/1", `{`},
			{"DELETE", "/v1/listings/999999", ""}, {"GET", "/nowhere", ""}, {"PUT", "/v1/cities", "{}"}, {"GET", "/openapi.json", ""},
		} {
			s.ask(t, r.method, r.path, r.body, auth)
			s.ask(t, r.method, r.path, r.body)
			asked += 2
		}
	}
	m := s.metrics(t)
	if answers, requests := sum(m, "strata_answers_total"), sum(m, "http_server_request_duration_seconds"); answers != float64(asked) || requests != float64(asked) {
		t.Errorf("%v answers and %v requests counted, want %d of each", answers, requests, asked)
	}
	for _, source := range []string{"view_l1", "postgres", "error"} {
		if sum(m, "strata_answers_total", "source", source) == 0 {
			t.Errorf("no answer from %s among %d of all kinds", source, asked)
		}
	}
}

func TestAnswersSayWhereTheyComeFrom(t *testing.T) {
	_, app := seeded(t, 200)
	a, b := serve(t, app), serve(t, app)
	first := a.want(t, "/v1/listings/7")
	if got := first.header.Get("Cache-Status"); !strings.Contains(got, "data-l2; fwd=uri-miss; stored") || !strings.HasSuffix(got, "view-l1; fwd=uri-miss") {
		t.Errorf("Cache-Status of a cold read: %s", got)
	}
	hit := a.want(t, "/v1/listings/7")
	if got := hit.header.Get("Cache-Status"); !strings.HasPrefix(got, "view-l1; hit; ttl=") {
		t.Errorf("Cache-Status of a warm read: %s", got)
	}
	if got := b.want(t, "/v1/listings/7").header.Get("Cache-Status"); !strings.HasPrefix(got, "view-l2; hit; ttl=") {
		t.Errorf("Cache-Status of another replica's first read: %s", got)
	}
	if hit.body != first.body || hit.header.Get("ETag") != first.header.Get("ETag") || hit.header.Get("Content-Type") != first.header.Get("Content-Type") {
		t.Errorf("the hit differs from the miss:\n%v\n%v", hit, first)
	}
	for _, name := range []string{"Strata-As-Of", "Age", "Server-Timing", "ETag", "Cache-Control"} {
		if hit.header.Get(name) == "" || first.header.Get(name) == "" {
			t.Errorf("an answer without %s", name)
		}
	}
	if again := a.ask(t, "GET", "/v1/listings/7", "", "If-None-Match: "+hit.header.Get("ETag")); again.status != http.StatusNotModified || again.body != "" {
		t.Errorf("If-None-Match: %d %q, want 304 without a body", again.status, again.body)
	}
}

func TestThousandRequestsForAColdKeyAreOneQuery(t *testing.T) {
	_, app := seeded(t, 2000)
	s := serve(t, app)
	before := calls(t, app)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	defer client.CloseIdleConnections()
	stampede(t, client, []*service{s}, 1000, "/v1/cities/lisbon/stats")
	if got := calls(t, app) - before; got != 1 {
		t.Errorf("%d queries, want 1", got)
	}
}

// stampede asks for a path n times at once, at each of the replicas in turn, and returns when all are answered.
func stampede(t *testing.T, client *http.Client, replicas []*service, n int, path string) {
	t.Helper()
	var requests sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		requests.Go(func() {
			<-start
			res, err := client.Get(replicas[i%len(replicas)].http + path)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close()
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
				t.Errorf("%s, %v", res.Status, err)
			}
		})
	}
	close(start)
	requests.Wait()
}

// calls returns how often the statistics of a city were asked of the database, as the database counts.
func calls(t testing.TB, appURL string) int64 {
	t.Helper()
	super, err := pgx.Connect(t.Context(), stack.SuperuserURL)
	if err != nil {
		t.Fatal(err)
	}
	defer super.Close(context.Background())
	name := appURL[strings.LastIndex(appURL, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	var n int64
	if err := super.QueryRow(t.Context(), `
		SELECT coalesce(sum(s.calls), 0) FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
		WHERE d.datname = $1 AND s.query LIKE '%percentile_cont%'`, name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWriterReadsItsWriteAtAnyReplica(t *testing.T) {
	_, app := seeded(t, 200)
	replicas := []*service{serve(t, app), serve(t, app), serve(t, app)}
	for i := range 50 {
		writer := replicas[i%3]
		for _, r := range replicas {
			r.want(t, "/v1/listings/5")
		}
		price := int64(1000 + i)
		wrote := writer.ask(t, "PATCH", "/v1/listings/5", fmt.Sprintf(`{"price_minor": %d}`, price), "Authorization: Bearer "+writeToken)
		if wrote.status != http.StatusOK {
			t.Fatalf("PATCH: %d %s", wrote.status, wrote.body)
		}
		for j, r := range replicas {
			if got := listingIn(t, r.want(t, "/v1/listings/5", "Strata-Seen: "+wrote.header.Get("Strata-Seen"))).PriceMinor; got != price {
				t.Errorf("replica %d after write %d: price %d, want %d", j, i, got, price)
			}
		}
		if got := listingIn(t, writer.want(t, "/v1/listings/5")).PriceMinor; got != price {
			t.Errorf("the writing replica answered before it knew its own change: price %d, want %d", got, price)
		}
	}
}

func TestRedisMayBeKilledAndRestartedDuringARun(t *testing.T) {
	_, app := seeded(t, 200)
	s := serve(t, app)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for i := range 4 {
		readers.Go(func() {
			for n := i; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				if a, err := s.try("GET", fmt.Sprintf("/v1/listings/%d", 1+n%100), ""); err != nil || a.status != http.StatusOK {
					t.Errorf("%v %v", a, err)
					return
				}
			}
		})
	}
	writeAndCheck := func(n int) {
		t.Helper()
		for i := range n {
			id, price := 1+i%100, int64(5000+i)
			path := fmt.Sprintf("/v1/listings/%d", id)
			if a := s.ask(t, "PATCH", path, fmt.Sprintf(`{"price_minor": %d}`, price), "Authorization: Bearer "+writeToken); a.status != http.StatusOK {
				t.Fatalf("PATCH: %d %s", a.status, a.body)
			}
			if got := listingIn(t, s.want(t, path)).PriceMinor; got != price {
				t.Fatalf("%s: price %d, want %d", path, got, price)
			}
		}
	}
	writeAndCheck(50)
	stack.StopRedis()
	writeAndCheck(50)
	if err := stack.StartRedis(t.Context()); err != nil {
		t.Fatal(err)
	}
	writeAndCheck(50)
	eventually(t, "Redis is used again", func() bool {
		before := sum(s.metrics(t), "strata_cache_requests_total", "layer", "l2", "outcome", "error")
		writeAndCheck(5)
		return sum(s.metrics(t), "strata_cache_requests_total", "layer", "l2", "outcome", "error") == before
	})
	close(stop)
	readers.Wait()
}

func TestPostgresMayBeKilledAndRestarted(t *testing.T) {
	_, app := seeded(t, 200)
	s := serve(t, app)
	s.want(t, "/v1/listings/1")
	stack.KillPostgres()
	restarted := false
	defer func() {
		if !restarted {
			if err := stack.StartPostgres(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}()
	eventually(t, "what was fresh is served and says that it may be old", func() bool {
		a := s.want(t, "/v1/listings/1")
		return strings.Contains(a.header.Get("Cache-Status"), "detail=stale")
	})
	if a := s.ask(t, "GET", "/v1/listings/2", ""); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("what nobody has read yet: %d %v %s, want 503 with Retry-After", a.status, a.header, a.body)
	}
	if got := status(s.admin + "/livez"); got != http.StatusOK {
		t.Errorf("/livez without a database: %d: a restart would not help", got)
	}
	if err := stack.StartPostgres(t.Context()); err != nil {
		t.Fatal(err)
	}
	restarted = true
	eventually(t, "reads work again", func() bool { return s.ask(t, "GET", "/v1/listings/2", "").status == http.StatusOK })
	eventually(t, "answers are fresh again", func() bool {
		return strings.HasPrefix(s.want(t, "/v1/listings/1").header.Get("Cache-Status"), "view-l1; hit; ttl=")
	})
	a := s.ask(t, "PATCH", "/v1/listings/1", `{"price_minor": 77}`, "Authorization: Bearer "+writeToken)
	if got := listingIn(t, s.want(t, "/v1/listings/1")).PriceMinor; a.status != http.StatusOK || got != 77 {
		t.Errorf("after the restart: PATCH %d, then price %d", a.status, got)
	}
}

func TestStoppingAnswersWhatIsUnderWayAndLeavesNothing(t *testing.T) {
	_, app := seeded(t, 200)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2")) // fasthttp's sweeper notices at its next look, within 10 s
	s := serve(t, app)
	var requests sync.WaitGroup
	begun := make(chan struct{}, 100)
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	for i := range 20 {
		requests.Go(func() {
			begun <- struct{}{}
			res, err := client.Get(fmt.Sprintf("%s/v1/cities/lisbon/stats?%d", s.http, i))
			if err != nil {
				return // it came after the listener was closed
			}
			defer res.Body.Close()
			if _, err := io.ReadAll(res.Body); err != nil {
				t.Errorf("an answer was cut off: %v", err)
			}
		})
		<-begun
	}
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	requests.Wait()
	http.DefaultClient.CloseIdleConnections()
	if log := s.log.String(); strings.Contains(log, `"level":"ERROR"`) {
		t.Errorf("errors in the log:\n%s", log)
	}
}

func TestServiceThatCannotStartSaysWhyInOneLine(t *testing.T) {
	_, app := newDatabase(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"port in use":          {[]string{"--http-addr", taken.Addr().String(), "--admin-addr", "127.0.0.1:0", "--database-url", app}, "address already in use"},
		"unreachable database": {[]string{"--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--database-url", "postgres://u:hush@127.0.0.1:1/x"}, "127.0.0.1:1"},
		"unknown database":     {[]string{"--http-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--database-url", strings.Replace(app, "?", "nothere?", 1)}, "does not exist"},
		"no such strategy":     {[]string{"--strategy", "magic", "--database-url", app}, "--strategy"},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut lockedBuffer
			code := execute(t.Context(), append([]string{"serve"}, tc.args...), &out, &errOut)
			if line := errOut.String(); code == 0 || strings.Count(line, "\n") != 1 || !strings.Contains(line, tc.want) || strings.Contains(line, "hush") {
				t.Errorf("exit code %d, %q; want one line with %q", code, line, tc.want)
			}
		})
	}
}

func TestSeedIfEmptyLeavesListingsAsTheyAre(t *testing.T) {
	owner, _ := seeded(t, 200)
	args := []string{"seed", "--listings=10", "--database-owner-url=" + owner}
	var out, errOut bytes.Buffer
	if code := execute(t.Context(), append(args, "--if-empty"), &out, &errOut); code != 0 || !strings.Contains(out.String(), "nothing to do") {
		t.Errorf("with --if-empty: code %d, %q, %q", code, &out, &errOut)
	}
	if code := execute(t.Context(), args, &out, &errOut); code != exitFailed {
		t.Errorf("without it: code %d, want %d", code, exitFailed)
	}
}
