package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/go-cmp/cmp"

	"strata/app/cache"
)

// refusals are requests that must not succeed, and must not be our fault either.
func refusals(t testing.TB) []refusal {
	auth, writeJSON := []string{"Authorization", "Bearer " + testToken}, []string{"Authorization", "Bearer " + testToken, "Content-Type", typeJSON}
	post := func(name string, change map[string]any, where ...string) refusal {
		return refusal{name, "POST", "/v1/listings", goodBody(t, change), writeJSON, 422, "invalid", where}
	}
	get := func(path string, status int, slug string, where ...string) refusal {
		return refusal{"GET " + path[:min(len(path), 60)], "GET", path, "", nil, status, slug, where}
	}
	return []refusal{
		get("/", 404, "not-found"),
		get("/v1", 404, "not-found"),
		get("/v1/listings/", 404, "not-found"),
		get("/v1/Listings", 404, "not-found"),
		get("//v1/listings", 404, "not-found"),
		get("/v1/listings/1/photos", 404, "not-found"),
		get("/v1/listings/999999", 404, "not-found"),
		get("/v1/listings/abc", 422, "invalid", "path.id"),
		get("/v1/listings/0", 422, "invalid", "path.id"),
		get("/v1/listings/-1", 422, "invalid", "path.id"),
		get("/v1/listings/007", 422, "invalid", "path.id"),
		get("/v1/listings/1.5", 422, "invalid", "path.id"),
		get("/v1/listings/9223372036854775808", 422, "invalid", "path.id"),
		get("/v1/listings/%00", 422, "invalid", "path.id"),
		get("/v1/listings/1?fields=title", 422, "invalid", "query.fields"),
		get("/v1/listings?colour=red", 422, "invalid", "query.colour"),
		get("/v1/listings?city=lisbon&city=porto", 422, "invalid", "query.city"),
		get("/v1/listings?city=%00", 422, "invalid", "query.city"),
		get("/v1/listings?city=%ff%fe", 422, "invalid", "query.city"),
		get("/v1/listings?city=';DROP%20TABLE%20listings", 422, "invalid", "query.city"),
		get("/v1/listings?type=castle&offer=lease&sort=best", 422, "invalid", "query.type", "query.offer", "query.sort"),
		get("/v1/listings?limit=0", 422, "invalid", "query.limit"),
		get("/v1/listings?limit=1000000", 422, "invalid", "query.limit"),
		get("/v1/listings?price_min=-5", 422, "invalid", "query.price_min"),
		get("/v1/listings?price_min=10&price_max=5", 422, "invalid", "query.price_max"),
		get("/v1/listings?bedrooms_min=two", 422, "invalid", "query.bedrooms_min"),
		get("/v1/listings?cursor=invented", 422, "invalid-cursor", "query.cursor"),
		get("/v1/listings?cursor=%F0%9F%98%80", 422, "invalid-cursor", "query.cursor"),
		get("/v1/listings?cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 422, "invalid-cursor", "query.cursor"),
		get("/v1/listings?cursor=a&cursor=b", 422, "invalid", "query.cursor"),
		get("/v1/listings?region=%C3%8Ele-de-France", 422, "invalid", "query.region"),
		get("/v1/listings?country=PRT", 422, "invalid", "query.country"),
		get("/v1/listings?status=any", 422, "invalid", "query.status"),
		get("/v1/listings?bedrooms_min=3&bedrooms_max=2", 422, "invalid", "query.bedrooms_max"),
		get("/v1/listings?area_min=50.125", 422, "invalid", "query.area_min"),
		get("/v1/listings?area_min=NaN&area_max=1e3", 422, "invalid", "query.area_min", "query.area_max"),
		get("/v1/listings?amenities=pool,helipad", 422, "invalid", "query.amenities"),
		get("/v1/listings?amenities=pool&amenities=garden", 422, "invalid", "query.amenities"),
		get("/v1/listings?bbox=1,2,3", 422, "invalid", "query.bbox"),
		get("/v1/listings?bbox=170,10,-170,20", 422, "invalid", "query.bbox"),
		get("/v1/listings?bbox=0,0,0,91", 422, "invalid", "query.bbox"),
		get("/v1/listings?q="+strings.Repeat("a", 101), 422, "invalid", "query.q"),
		get("/v1/listings?q=-garden", 422, "invalid", "query.q"),
		get("/v1/listings?q=%00", 422, "invalid", "query.q"),
		get("/v1/listings?q=%ff", 422, "invalid", "query.q"),
		get("/v1/listings?sort=relevance", 422, "invalid", "query.sort"),
		get("/v1/listings?facets=price", 422, "invalid", "query.facets"),
		get("/v1/listings?city="+strings.Repeat("a", 3000), 414, "uri-too-long"),
		get("/v1/cities?country=PT", 422, "invalid", "query.country"),
		get("/v1/cities/atlantis/stats", 404, "not-found"),
		get("/v1/cities/New%20York/stats", 422, "invalid", "path.city"),
		get("/v1/cities/lisbon", 404, "not-found"),
		{"malformed Strata-Seen", "GET", "/v1/cities", "", []string{"Strata-Seen", "yesterday"}, 400, "bad-request", []string{"header.Strata-Seen"}},
		{"negative Strata-Seen", "GET", "/v1/cities", "", []string{"Strata-Seen", "-1"}, 400, "bad-request", []string{"header.Strata-Seen"}},
		{"unknown strategy", "GET", "/v1/cities", "", []string{"Strata-Strategy", "magic"}, 400, "bad-request", []string{"header.Strata-Strategy"}},
		{"method of another path", "PUT", "/v1/listings", "", auth, 405, "method-not-allowed", nil},
		{"write to what is read", "DELETE", "/v1/cities", "", auth, 405, "method-not-allowed", nil},
		{"OPTIONS", "OPTIONS", "/v1/listings/1", "", nil, 405, "method-not-allowed", nil},
		{"TRACE", "TRACE", "/v1/listings/1", "", nil, 405, "method-not-allowed", nil},
		{"no method of HTTP", "BREW", "/v1/listings/1", "", nil, 501, "not-implemented", nil},
		{"no token", "POST", "/v1/listings", "{}", []string{"Content-Type", typeJSON}, 401, "unauthorized", nil},
		{"wrong token", "POST", "/v1/listings", "{}", []string{"Authorization", "Bearer wrong"}, 401, "unauthorized", nil},
		{"empty token", "DELETE", "/v1/listings/1", "", []string{"Authorization", "Bearer "}, 401, "unauthorized", nil},
		{"other scheme", "DELETE", "/v1/listings/1", "", []string{"Authorization", "Basic " + testToken}, 401, "unauthorized", nil},
		{"no Content-Type", "POST", "/v1/listings", goodBody(t, nil), auth, 415, "unsupported-media-type", nil},
		{"form", "POST", "/v1/listings", "title=x", append(auth, "Content-Type", "application/x-www-form-urlencoded"), 415, "unsupported-media-type", nil},
		{"merge patch as PUT", "PUT", "/v1/listings/1", "{}", append(auth, "Content-Type", typeMergePatch), 415, "unsupported-media-type", nil},
		{"compressed", "POST", "/v1/listings", "\x1f\x8b", append(writeJSON, "Content-Encoding", "gzip"), 415, "unsupported-media-type", nil},
		{"no body", "POST", "/v1/listings", "", writeJSON, 400, "bad-request", []string{"body"}},
		{"no JSON", "POST", "/v1/listings", "{", writeJSON, 400, "bad-request", []string{"body"}},
		{"two documents", "POST", "/v1/listings", "{}{}", writeJSON, 400, "bad-request", []string{"body"}},
		{"list", "POST", "/v1/listings", "[]", writeJSON, 400, "bad-request", []string{"body"}},
		{"null", "PATCH", "/v1/listings/1", "null", writeJSON, 400, "bad-request", []string{"body"}},
		{"deep", "POST", "/v1/listings", strings.Repeat("[", 20000), writeJSON, 400, "bad-request", []string{"body"}},
		{"query of a write", "DELETE", "/v1/listings/1?force=1", "", auth, 422, "invalid", []string{"query.force"}},
		{"id of a write", "DELETE", "/v1/listings/x", "", auth, 422, "invalid", []string{"path.id"}},
		{"If-Match without quotes", "DELETE", "/v1/listings/1", "", append(auth, "If-Match", "1-1"), 400, "bad-request", []string{"header.If-Match"}},
		{"If-Match of yesterday", "DELETE", "/v1/listings/1", "", append(auth, "If-Match", `"1-77"`), 412, "precondition-failed", nil},
		{"weak If-Match", "DELETE", "/v1/listings/1", "", append(auth, "If-Match", `W/"1-1"`), 412, "precondition-failed", nil},
		{"replace nothing", "PUT", "/v1/listings/999999", goodBody(t, nil), writeJSON, 404, "not-found", nil},
		{"patch nothing", "PATCH", "/v1/listings/999999", "{}", writeJSON, 404, "not-found", nil},
		{"delete nothing", "DELETE", "/v1/listings/999999", "", auth, 404, "not-found", nil},
		{"remove the title", "PATCH", "/v1/listings/1", `{"title":null}`, writeJSON, 422, "invalid", []string{"body.title"}},
		{"move nowhere", "PATCH", "/v1/listings/1", `{"city":"atlantis"}`, writeJSON, 422, "invalid", []string{"body.city"}},
		post("unknown city", map[string]any{"city": "atlantis"}, "body.city"),
		post("unknown agent", map[string]any{"agent_id": 4711}, "body.agent_id"),
		post("unknown field", map[string]any{"colour": "red"}, "body.colour"),
		post("NUL", map[string]any{"title": "a\x00b"}, "body.title"),
		post("huge price", map[string]any{"price_minor": int64(1) << 62}, "body.price_minor"),
		post("many faults", map[string]any{"type": "castle", "bedrooms": -1, "latitude": 91}, "body.type", "body.bedrooms", "body.latitude"),
	}
}

type refusal struct {
	name, method, path, body string
	header                   []string
	status                   int
	slug                     string
	where                    []string // locations of errors
}

func TestBadRequestsAreRefusedAsProblems(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.None, Lab: true})
	for _, tt := range refusals(t) {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do(t, tt.method, tt.path, tt.body, tt.header...)
			if got.status != tt.status {
				t.Fatalf("status %d, want %d: %s", got.status, tt.status, got.body)
			}
			p := got.problem(t)
			if p.Type != problemPath+tt.slug {
				t.Errorf("type %q, want %q", p.Type, problemPath+tt.slug)
			}
			var where []string
			for _, e := range p.Errors {
				where = append(where, e.Location)
			}
			if diff := cmp.Diff(where, tt.where); diff != "" {
				t.Errorf("locations of errors, got before want:\n%s", diff)
			}
			if tt.status == 401 && !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer") {
				t.Error("401 without WWW-Authenticate")
			}
			if tt.status == 405 && got.header.Get("Allow") == "" {
				t.Error("405 without Allow")
			}
			if got.header.Get("Server") != "" {
				t.Error("the answer names the server's software")
			}
		})
	}
	if s.log.Len() > 0 && strings.Contains(s.log.String(), "request failed") {
		t.Errorf("the log calls a client's fault ours:\n%s", s.log)
	}
	if got := s.get(t, "/v1/listings/1"); got.status != http.StatusOK {
		t.Errorf("afterwards listing 1 has status %d", got.status)
	}
}

func TestHEADOfAProblemHasNoBody(t *testing.T) {
	s := newStoreless(t)
	if got := s.do(t, "HEAD", "/nowhere", ""); got.status != 404 || got.body != "" || got.header.Get("Content-Type") != problemType {
		t.Errorf("status %d, body %q, Content-Type %q", got.status, got.body, got.header.Get("Content-Type"))
	}
}

func TestWritesWithoutTokensAreSwitchedOff(t *testing.T) {
	got := newStoreless(t).do(t, "POST", "/v1/listings", "{}", "Authorization", "Bearer x")
	if p := got.problem(t); got.status != http.StatusForbidden || p.Type != "/problems/writes-disabled" {
		t.Errorf("status %d: %s", got.status, got.body)
	}
}

func TestAPanicIsOursAndIsLoggedAndNotShown(t *testing.T) {
	s := newService(t, cache.Config{})
	s.app.Get("/panic", func(*fiber.Ctx) error { panic("secret") })
	got := s.get(t, "/panic")
	if p := got.problem(t); p.Status != 500 || strings.Contains(got.body, "secret") {
		t.Errorf("status %d: %s", got.status, got.body)
	}
	if log := s.log.String(); !strings.Contains(log, "secret") || !strings.Contains(log, "refusal_test.go") {
		t.Errorf("the log lacks the panic or its stack:\n%s", log)
	}
}

func TestWhatIsNotHTTPIsRefusedAsAProblem(t *testing.T) {
	s := newStoreless(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	for request, status := range map[string]int{
		"GARBAGE\r\n\r\n": 400,
		"GET /v1/cities HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n":                               400,
		"POST /v1/listings HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n":                     413,
		"GET /v1/cities HTTP/1.1\r\nHost: a\r\nX-Large: " + strings.Repeat("x", maxHeader) + "\r\n\r\n": 431,
		"GET /v1/cities?" + strings.Repeat("x", maxHeader) + " HTTP/1.1\r\nHost: a\r\n\r\n":             431,
	} {
		got := send(t, l.Addr().String(), request)
		if got.status != status {
			t.Errorf("%.40q: status %d, want %d", request, got.status, status)
		}
		got.problem(t)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeAfterShutdownReturns(t *testing.T) {
	s := newStoreless(t)
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(l); err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("it still listens")
	}
}

func send(t *testing.T, addr, request string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprint(conn, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%q: %v", request, err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(body)}
}
