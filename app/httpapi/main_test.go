package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"example.com/strata/app/cache"
	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
	"example.com/strata/app/instruments"
	"example.com/strata/app/listing"
	"example.com/strata/app/postgres"
	"example.com/strata/app/ratelimit"
	"example.com/strata/app/remote"
	"example.com/strata/app/telemetry"
	"example.com/strata/app/viewcache"
	"example.com/strata/deploy/local"
)

var update = flag.Bool("update", false, "write the golden files anew")

// stack starts the Postgres of all tests in this package when the first of them needs it. Each test has its own database in it.
var stack = sync.OnceValues(func() (*local.Stack, error) {
	return local.Start(context.Background(), local.Config{Log: func(line string) { fmt.Fprintln(os.Stderr, line) }})
})

var stackUsed bool

func TestMain(m *testing.M) {
	code := m.Run()
	if stackUsed {
		if s, err := stack(); err == nil {
			_ = s.Stop()
		}
	}
	os.Exit(code)
}

// service is a whole service but for its ports, over a database of its own with three cities, two agents and thirty listings.
type service struct {
	*Server
	owner *pgx.Conn // the database as its owner
	log   *lockedBuffer
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns what was logged.
func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

const testToken = "correct-horse"

func newService(t testing.TB, cfg cache.Config, change ...func(*Config)) *service {
	t.Helper()
	stackUsed = true
	postgresStack, err := stack()
	if err != nil {
		t.Fatal(err)
	}
	ownerURL, appURL, err := postgresStack.CreateDatabase(t.Context(), "t"+strings.ToLower(rand.Text()[:12]))
	if err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), ownerURL, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	s := &service{owner: connect(t, ownerURL), log: new(lockedBuffer)}
	s.exec(t, `INSERT INTO cities VALUES
		('lisbon', 'Lisbon', 'Lisboa', 'PT', 38.72, -9.14), ('porto', 'Porto', 'Norte', 'PT', 41.15, -8.61), ('faro', 'Faro', 'Algarve', 'PT', 37.02, -7.93)`)
	s.exec(t, `INSERT INTO agents (name, email, phone) VALUES ('Ann', 'ann@example.com', '1'), ('Bob', 'bob@example.com', '2')`)
	s.exec(t, `INSERT INTO listings (title, description, city, type, offer, price_minor, currency, bedrooms, bathrooms, area_m2, latitude, longitude, amenities, agent_id)
		SELECT 'Flat ' || i, 'Nice', CASE WHEN i % 3 = 0 THEN 'porto' ELSE 'lisbon' END, 'apartment', CASE WHEN i % 5 = 0 THEN 'rent' ELSE 'sale' END,
			10000000 + i * 1000, 'EUR', i % 4, 1, 50 + i, 38.7, -9.1, '{lift}', 1 + i % 2
		FROM generate_series(1, 30) i`)

	tel, err := telemetry.New(t.Context(), telemetry.Config{}, s.log)
	if err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), postgres.Config{URL: appURL}, tel)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	ledger := freshness.NewLedger(freshness.Config{})
	redis, _ := cfg.Remote.(*remote.Redis)
	layers := instruments.Caches(cfg, redis, ledger, tel)
	t.Cleanup(layers.Close)
	if layers.Uses(cache.Stamped) {
		feed(t, changelog.NewFeed(changelog.Config{}, db.DialFeed, ledger, nil), ledger)
	}
	settings := Config{Tokens: []Token{
		{"tester", Scopes(), sha256.Sum256([]byte(testToken))}, {"other", Scopes(), sha256.Sum256([]byte("battery-staple"))},
		{"editor", []Scope{ScopeWrite}, sha256.Sum256([]byte("no-deleting"))},
	}}
	for _, c := range change {
		c(&settings)
	}
	shared := viewcache.Config{SharedMaxAge: time.Second, StaleWhileRevalidate: time.Second, StaleIfError: 5 * time.Minute}
	s.Server = New(settings, listing.NewService(db, layers, ledger), viewcache.New(shared, layers, tel), layers, ledger, ratelimit.New(redis, tel), tel)
	return s
}

// feed runs a feed during the test, from a moment when the ledger knows something.
func feed(t testing.TB, f *changelog.Feed, ledger *freshness.Ledger) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = f.Run(ctx) }()
	t.Cleanup(func() { stop(); <-done })
	waiting, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if !ledger.Await(waiting, freshness.Commit{}) {
		t.Fatal("the feed brought nothing")
	}
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *service) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := s.owner.Exec(t.Context(), sql, args...); err != nil {
		t.Fatal(err)
	}
}

// reply is an answer whose body was read.
type reply struct {
	status int
	header http.Header
	body   string
}

// do sends a request and holds the answer against the contract. header holds names and values in turn.
func (s *Server) do(t testing.TB, method, path, body string, header ...string) reply {
	t.Helper()
	req := httptest.NewRequest(method, "http://strata.test"+path, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.app.Test(req, -1)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := reply{res.StatusCode, res.Header, string(text)}
	obeyed(t, method, path, got)
	return got
}

func (s *Server) get(t testing.TB, path string, header ...string) reply {
	t.Helper()
	return s.do(t, http.MethodGet, path, "", header...)
}

// write sends a write with a good token and a body of the method's type.
func (s *Server) write(t testing.TB, method, path, body string, header ...string) reply {
	t.Helper()
	usual := []string{"Authorization", "Bearer " + testToken, "Content-Type", typeJSON}
	if method == http.MethodPatch {
		usual[3] = typeMergePatch
	}
	return s.do(t, method, path, body, append(usual, header...)...)
}

func (r reply) into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.body), v); err != nil {
		t.Fatalf("status %d, body %q: %v", r.status, r.body, err)
	}
}

// problem checks that the reply is a problem, whole and honest, and returns it.
func (r reply) problem(t testing.TB) huma.ErrorModel {
	t.Helper()
	if got := r.header.Get("Content-Type"); got != problemType {
		t.Errorf("status %d: Content-Type is %q, want %q", r.status, got, problemType)
	}
	var p huma.ErrorModel
	r.into(t, &p)
	if p.Status != r.status || p.Title == "" || p.Detail == "" || !strings.HasPrefix(p.Type, problemPath) {
		t.Errorf("status %d: not a whole problem: %s", r.status, r.body)
	}
	return p
}
