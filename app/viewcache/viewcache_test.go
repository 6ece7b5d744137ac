package viewcache

import (
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/middleware/recover"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
	"example.com/strata/app/telemetry"
)

// site is a server with one route behind the view cache, and a database of one transaction counter.
type site struct {
	t      *testing.T
	app    *fiber.App
	ledger *freshness.Ledger
	xid    freshness.XID
	made   atomic.Int64 // answers that the handler made
	answer func(*fiber.Ctx) error
	source cache.Source // of the last request
}

func newSite(t *testing.T, strategy cache.Strategy) *site {
	t.Helper()
	tel, err := telemetry.New(t.Context(), telemetry.Config{LogLevel: "error"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, ledger: freshness.NewLedger(freshness.Config{}), xid: 10}
	layers := cache.Open(cache.Config{Strategy: strategy}, s.ledger)
	views := New(Config{SharedMaxAge: time.Second, StaleWhileRevalidate: time.Second, StaleIfError: time.Minute}, layers, tel)
	s.change("nothing")
	s.answer = func(c *fiber.Ctx) error {
		c.Set(fiber.HeaderContentType, "text/plain")
		return c.SendString("hello " + c.Params("name"))
	}
	s.app = fiber.New()
	s.app.Use(func(c *fiber.Ctx) error {
		err := c.Next()
		s.source, _ = c.Locals(LocalSource).(cache.Source)
		return err
	}, recover.New())
	key := func(c *fiber.Ctx) (Key, bool) {
		return Key{"listing", strings.Clone(c.Params("name"))}, c.Query("unknown") == ""
	}
	s.app.All("/:name", views.Handler(key), func(c *fiber.Ctx) error {
		s.made.Add(1)
		freshness.Depend(c.UserContext(), freshness.Stamp{Epoch: 1, Snapshot: freshness.Snapshot{Xmin: s.xid, Xmax: s.xid}, Tags: []string{c.Params("name")}})
		return s.answer(c)
	})
	return s
}

// change commits a change of a tag and tells the ledger.
func (s *site) change(tag string) {
	s.ledger.Apply(freshness.Poll{Began: time.Now(), Epoch: 1, Snapshot: freshness.Snapshot{Xmin: s.xid + 1, Xmax: s.xid + 1},
		Changes: []freshness.Change{{XID: s.xid, Tags: []string{tag}}}})
	s.xid++
}

type response struct {
	status int
	header map[string]string
	body   string
}

func (s *site) ask(method, path string, header ...string) response {
	s.t.Helper()
	req := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := s.app.Test(req, -1)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	r := response{status: res.StatusCode, header: make(map[string]string), body: string(body)}
	for name := range res.Header {
		r.header[name] = res.Header.Get(name)
	}
	return r
}

func (s *site) wantMade(n int64) {
	s.t.Helper()
	if got := s.made.Load(); got != n {
		s.t.Errorf("the handler made %d answers, want %d", got, n)
	}
}

func TestViewIsServedUntilWhatItDependsOnChanges(t *testing.T) {
	s := newSite(t, cache.Stamped)
	first := s.ask("GET", "/ann")
	second := s.ask("GET", "/ann")
	s.wantMade(1)
	if s.source != cache.SourceViewL1 || second.body != "hello ann" || second.header["Etag"] != first.header["Etag"] || second.header["Content-Type"] != "text/plain" {
		t.Errorf("hit from %v: %+v; first: %+v", s.source, second, first)
	}
	s.change("bob")
	s.ask("GET", "/ann")
	s.wantMade(1)
	s.change("ann")
	if got := s.ask("GET", "/ann").header["Cache-Status"]; got != "view-l1; fwd=stale; detail=invalidated" {
		t.Errorf("Cache-Status after a change: %q", got)
	}
	s.wantMade(2)
}

func TestKeyOutlivesTheRequestThatItCameFrom(t *testing.T) {
	s := newSite(t, cache.Stamped)
	for i := range 200 { // Fiber reuses the buffers that the names came in
		s.ask("GET", fmt.Sprintf("/name%03d", i))
	}
	for i := range 200 {
		if got, want := s.ask("GET", fmt.Sprintf("/name%03d", i)).body, fmt.Sprintf("hello name%03d", i); got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
	s.wantMade(200)
}

func TestOnlyGoodAnswersToReadsAreKept(t *testing.T) {
	for name, tc := range map[string]struct {
		method, path string
		answer       func(*fiber.Ctx) error
		status       int
	}{
		"not found":       {"GET", "/a", func(c *fiber.Ctx) error { return c.Status(404).SendString("no") }, 404},
		"server error":    {"GET", "/a", func(c *fiber.Ctx) error { return c.Status(503).SendString("down") }, 503},
		"handler's error": {"GET", "/a", func(*fiber.Ctx) error { return fiber.ErrTeapot }, 418},
		"other error":     {"GET", "/a", func(*fiber.Ctx) error { return errors.New("boom") }, 500},
		"panic":           {"GET", "/a", func(*fiber.Ctx) error { panic("boom") }, 500},
		"write":           {"POST", "/a", func(c *fiber.Ctx) error { return c.SendString("done") }, 200},
		"no key":          {"GET", "/a?unknown=1", func(c *fiber.Ctx) error { return c.SendString("fine") }, 200},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, cache.Stamped)
			s.answer = tc.answer
			for n := int64(1); n <= 2; n++ {
				if got := s.ask(tc.method, tc.path).status; got != tc.status {
					t.Errorf("status %d, want %d", got, tc.status)
				}
				s.wantMade(n)
			}
		})
	}
}

func TestStrategiesWithoutViewsMakeEachAnswer(t *testing.T) {
	for _, strategy := range []cache.Strategy{cache.None, cache.Aside} {
		s := newSite(t, strategy)
		first := s.ask("GET", "/ann")
		second := s.ask("GET", "/ann", "If-None-Match", first.header["Etag"])
		s.wantMade(2)
		if first.header["Etag"] == "" || second.status != fiber.StatusNotModified {
			t.Errorf("%v: ETag %q, then status %d: validators are not the cache's privilege", strategy, first.header["Etag"], second.status)
		}
	}
}

func TestOlderViewStandsInForAServerErrorUnlessItIsInvalidated(t *testing.T) {
	s := newSite(t, cache.Stamped)
	s.ask("GET", "/ann")
	s.answer = func(c *fiber.Ctx) error { return c.Status(503).SendString("down") }
	// Blind: nothing has been heard for a minute, so nothing is known to be wrong, nor to be right.
	s.ledger.Apply(freshness.Poll{Began: time.Now().Add(-time.Minute), Epoch: 1, Snapshot: freshness.Snapshot{Xmin: s.xid, Xmax: s.xid}})
	r := s.ask("GET", "/ann")
	if r.status != 200 || r.body != "hello ann" || s.source != cache.SourceStale || !strings.Contains(r.header["Cache-Status"], "detail=stale") {
		t.Errorf("%+v from %v, want the older view, labelled", r, s.source)
	}
	asOf, err := time.Parse(time.RFC3339Nano, r.header["Strata-As-Of"])
	if age := r.header["Age"]; err != nil || time.Since(asOf) < time.Minute || age != "60" && age != "61" {
		t.Errorf("as of %q, Age %q; want what was known a minute ago", r.header["Strata-As-Of"], age)
	}
	if got := r.header["Cache-Control"]; got != "no-cache" {
		t.Errorf("Cache-Control %q: nobody else may take it for fresh", got)
	}
	s.change("ann")
	r = s.ask("GET", "/ann")
	if r.status != 503 {
		t.Errorf("an invalidated view stood in: %+v", r)
	}
	if asOf, claims := r.header["Strata-As-Of"]; claims {
		t.Errorf("an error claims to be as of %s", asOf)
	}
}

func TestConditionalRequests(t *testing.T) {
	s := newSite(t, cache.Stamped)
	etag := s.ask("GET", "/ann").header["Etag"]
	for field, want := range map[string]int{
		etag: 304, "W/" + etag: 304, "*": 304, `"other", ` + etag: 304, etag + `,"other"`: 304, `"other"`: 200, "": 200, strings.Trim(etag, `"`): 200,
	} {
		r := s.ask("GET", "/ann", "If-None-Match", field)
		if r.status != want || (want == 304) != (r.body == "") || r.header["Etag"] != etag {
			t.Errorf("If-None-Match: %s: %+v, want %d", field, r, want)
		}
	}
	if r := s.ask("HEAD", "/ann"); r.status != 200 || r.body != "" || r.header["Etag"] != etag {
		t.Errorf("HEAD: %+v", r)
	}
}

func TestCacheStatusNamesTheLayersFromTheOrigin(t *testing.T) {
	var result cache.Result
	result.Steps[cache.L1] = cache.Step{Outcome: cache.Invalidated}
	result.Steps[cache.L2] = cache.Step{Outcome: cache.Hit, TTL: 90 * time.Second, Collapsed: true}
	if got, want := string(appendCacheStatus(nil, result, nil, false)), "view-l2; hit; ttl=90; collapsed, view-l1; fwd=stale; detail=invalidated"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for outcome, want := range map[cache.Outcome]string{
		cache.Miss: "x; fwd=uri-miss", cache.Expired: "x; fwd=stale; detail=expired", cache.Bypassed: "x; fwd=bypass", cache.Failed: "x; fwd=miss; detail=failed", 0: "",
	} {
		if got := string(appendStep(nil, "x", cache.Step{Outcome: outcome})); got != want {
			t.Errorf("%v: %q, want %q", outcome, got, want)
		}
	}
	if got := string(appendStep(nil, "x", cache.Step{Outcome: cache.Stale, TTL: -3 * time.Second})); got != "x; hit; ttl=-3; detail=stale" {
		t.Errorf("stale: %q", got)
	}
	if got := string(appendCacheStatus(nil, cache.Result{}, nil, false)); got != "strata; fwd=bypass" {
		t.Errorf("nobody asked: %q", got)
	}
}

func TestViewSurvivesItsEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := &view{
			status: rapid.IntRange(100, 599).Draw(t, "status"), contentType: rapid.String().Draw(t, "type"), etag: rapid.String().Draw(t, "etag"),
			modified: rapid.Int64().Draw(t, "modified"), keys: rapid.String().Draw(t, "keys"),
		}
		for c := range want.forms {
			if want.forms[c] = rapid.SliceOf(rapid.Byte()).Draw(t, "body"); len(want.forms[c]) == 0 && c != int(identity) {
				want.forms[c] = nil
			}
		}
		b, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(got, want, cmp.AllowUnexported(view{})); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzDecodeRefusesDamage(f *testing.F) {
	b, _ := encode(&view{status: 200, contentType: "application/json", etag: `"0123456789abcdef"`, forms: [codings][]byte{identity: []byte("{}")}})
	f.Add(b)
	f.Add(b[:3])
	f.Add([]byte("\xe9\x07\xc8\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode(b)
		if err != nil {
			return
		}
		size := len(v.contentType) + len(v.etag) + len(v.keys)
		for _, body := range v.forms {
			size += len(body)
		}
		if size > len(b) {
			t.Fatal("more came out than went in")
		}
	})
}

func TestViewsOfAnEarlierReleaseAreRefused(t *testing.T) {
	if _, err := decode([]byte("\xc8\x01\x10application/json\x05\"1-1\"{}")); err == nil {
		t.Error("a view in the form that began with its status was read as one of ours")
	}
}
