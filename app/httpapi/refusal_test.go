package httpapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"example.com/strata/app/cache"
	"example.com/strata/app/listing"
	"example.com/strata/app/remote"
	"example.com/strata/app/telemetry"
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
	rows := []refusal{
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
		{"replace nothing", "PUT", "/v1/listings/999999", goodBody(t, nil), append(writeJSON, "If-Match", "*"), 404, "not-found", nil},
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
		{"replace unseen", "PUT", "/v1/listings/1", goodBody(t, nil), writeJSON, 428, "precondition-required", nil},
		{"token without the scope", "DELETE", "/v1/listings/1", "", []string{"Authorization", "Bearer no-deleting"}, 403, "insufficient-scope", nil},
	}
	add := func(name, method, path, body string, header []string, status int, slug string, where ...string) {
		rows = append(rows, refusal{name, method, path, body, header, status, slug, where})
	}
	long := strings.Repeat("x", 300)
	for name, body := range map[string]string{
		"twice the same name": `{"title":"a","title":"b"}`, "escaped twice": `{"title":"a","\u0074itle":"b"}`,
	} {
		add(name, "POST", "/v1/listings", body, writeJSON, 400, "bad-request", "body.title")
	}
	for name, body := range map[string]string{
		"spaces": "  ", "text": `"x"`, "number": "1", "true": "true", "truncated name": `{"ti`, "truncated text": `{"title":"a`, "truncated object": `{"title":"a"`,
		"truncated number": `{"a":1`, "comma at the end": `{"a":1,}`, "no comma": `{"a":1 "b":2}`, "single quotes": `{'a':1}`, "name without quotes": `{a:1}`,
		"comment": `{/**/"a":1}`, "NaN": `{"a":NaN}`, "infinity": `{"a":Infinity}`, "leading zero": `{"a":01}`, "hexadecimal": `{"a":0x10}`, "plus": `{"a":+1}`,
		"bare point": `{"a":1.}`, "raw NUL": "{\"a\":\"\x00\"}", "raw newline": "{\"a\":\"\n\"}", "NUL behind": "{}\x00", "text behind": "{}x", "BOM": "\xef\xbb\xbf{}",
		"invalid UTF-8": "{\"title\":\"\xff\"}", "overlong UTF-8": "{\"title\":\"\xc0\xaf\"}", "UTF-16": "{\x00}\x00", "Latin-1 name": "{\"stra\xdfe\":1}",
		"lone surrogate": `{"title":"\ud800"}`, "bad escape": `{"title":"\x41"}`, "short escape": `{"title":"\u12"}`,
		"nested objects": strings.Repeat(`{"a":`, 5000), "nested lists": `{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`,
	} {
		add(name, "POST", "/v1/listings", body, writeJSON, 400, "bad-request", "body")
	}
	for name, media := range map[string]string{
		"text": "text/plain", "XML": "application/xml", "JSON by another name": "text/json", "problem": problemType, "multipart": "multipart/form-data; boundary=x",
		"Latin-1": "application/json; charset=iso-8859-1", "malformed": "application/json; charset", "two": "application/json, text/plain", "prefix": "application/jsonp",
	} {
		add("type "+name, "POST", "/v1/listings", goodBody(t, nil), append(auth, "Content-Type", media), 415, "unsupported-media-type")
	}
	for _, coding := range []string{"br", "zstd", "deflate", "gzip, identity", "x"} {
		add("coding "+coding, "POST", "/v1/listings", goodBody(t, nil), append(writeJSON, "Content-Encoding", coding), 415, "unsupported-media-type")
	}
	for name, key := range map[string]string{
		"space": "a b", "open quotes": `"a`, "empty quotes": `""`, "inner quotes": `"a"b"`, "two keys": "a,b", "parameter": "a;b", "not ASCII": "\xc3\xa9", "long": long, "backslash": `a\b`,
	} {
		add("key "+name, "POST", "/v1/listings", goodBody(t, nil), append(writeJSON, "Idempotency-Key", key), 400, "bad-request", "header.Idempotency-Key")
	}
	for name, authorization := range map[string]string{
		"no scheme": testToken, "token scheme": "Token " + testToken, "near miss": "Bearer " + testToken + "x", "cut off": "Bearer " + testToken[1:], "long": "Bearer " + long,
		"two": "Bearer " + testToken + " " + testToken, "other case": "Bearer " + strings.ToUpper(testToken), "SQL": "Bearer ' OR 1=1 --", "not ASCII": "Bearer \xff", "digest": "Digest username=x",
	} {
		add("authorization "+name, "POST", "/v1/listings", goodBody(t, nil), []string{"Content-Type", typeJSON, "Authorization", authorization}, 401, "unauthorized")
	}
	for name, seen := range map[string]string{"zero padded": "x1", "hex": "0x10", "too large": "18446744073709551616", "fraction": "1.5", "signed": "+1", "list": "1,2"} {
		add("seen "+name, "GET", "/v1/cities", "", []string{"Strata-Seen", seen}, 400, "bad-request", "header.Strata-Seen")
	}
	for name, tag := range map[string]string{"open": `"1-1`, "no comma": `"1-1" "1-2"`, "star and more": `*, "1-1"`, "word": "abc"} {
		add("If-Match "+name, "PATCH", "/v1/listings/1", `{}`, append(writeJSON, "If-Match", tag), 400, "bad-request", "header.If-Match")
	}
	for field, bad := range map[string][]any{
		"title": {"", " ", long, 7, nil, []string{"x"}, "a\nb"}, "city": {"", "Lisbon!", long, 7}, "type": {"", "Apartment", 1}, "offer": {"lease", true},
		"price_minor": {0, -1, 1.5, "100", json.Number("1e400"), json.Number("99999999999999999999")}, "currency": {"eur", "EURO", 978}, "bedrooms": {-1, 101, 1.5, "2"},
		"bathrooms": {-1, 101, true}, "area_m2": {0, -5, 1e9, json.Number("1e999"), "50"}, "latitude": {-91, 91, "north"}, "longitude": {-181, 181, []int{1}},
		"status": {"gone", 1}, "agent_id": {0, -1, 1.5, "1", json.Number("1e30")}, "amenities": {"lift", map[string]any{}, []int{1}},
	} {
		for i, value := range bad {
			body := map[string]any{field: value}
			if value == nil {
				continue
			}
			add(fmt.Sprintf("%s %d", field, i), "POST", "/v1/listings", goodBody(t, body), writeJSON, 422, "invalid", "body."+field)
		}
	}
	for _, field := range []string{"id", "version", "region", "created_at", "Title", "__proto__"} {
		add("surplus "+field, "POST", "/v1/listings", goodBody(t, map[string]any{field: "x"}), writeJSON, 422, "invalid", "body."+field)
	}
	add("odd name", "POST", "/v1/listings", goodBody(t, map[string]any{"<script>": 1}), writeJSON, 422, "invalid", "body")
	rows = append(rows, get("/v1/cities?%3Cscript%3E=1", 422, "invalid", "query"))
	return append(rows, badSearches()...)
}

// badSearches are refusals of searches: what each parameter does not take, alone and beside others.
func badSearches() []refusal {
	var rows []refusal
	add := func(query string, where ...string) {
		for i, name := range where {
			where[i] = "query." + name
		}
		rows = append(rows, refusal{"search " + query[:min(len(query), 60)], "GET", "/v1/listings?" + query, "", nil, 422, "invalid", where})
	}
	for name, values := range map[string][]string{
		"region":        {"new%20york", "-x", "x-", "a/b", "%00", "%ff", "a%0ab", "lisboa%26city=porto", "..", "*", "%25", strings.Repeat("a", 200)},
		"country":       {"P", "PRT", "P1", "%20PT", "P%20", "%C3%96%C3%96", "P%00", "620", "pt,es"},
		"bathrooms_min": {"-1", "101", "1.5", "1e1", "0x1", "two", "%D9%A1", "1%202", "+1", "99999999999999999999", "1,2"},
		"bedrooms_max":  {"-1", "101", "many", "1.0", "true"},
		"area_min":      {"-1", "0.001", "1e2", "1.", ".5", "1,5", "NaN", "Infinity", "0x10", "1.5.5", "99999999999999999999", "50m2", "%00"},
		"area_max":      {"0", "0.00", "-1", "0.001", "1e2", "null", "99999999999999999999"},
		"amenities":     {"helipad", "pool,,garden", "pool,", ",pool", ",", "pool;garden", "pool%00", "pool%20garden", "[pool]", "*", strings.Repeat("pool,", 100) + "x"},
		"bbox":          {"1", "1,2,3", "1,2,3,4,5", ",,,", "a,b,c,d", "0,0,0,0", "1,0,0,1", "0,1,1,0", "-181,0,0,1", "0,-91,1,0", "0,0,181,1", "0,0,1,90.0000001", "0,0,1e1,1", "NaN,0,1,1", "0,0,1,Infinity", "0;0;1;1", "--1,0,1,1", "0,0,1,1%00", "0.1234567,0,1,1", "%5B0,0,1,1%5D"},
		"q":             {"-", "-a", "%22%22", "-%22river%20bank%22", "-a%20or%20-b", "river%20or%20-garden", "-%20garden", "%00", "a%00b", "%ff", "%c0%af", "%ed%a0%80", "!!!", strings.Repeat("%C3%A9", 101), strings.Repeat("a%20", 60)},
		"status":        {"gone", "active,sold", "1", "act%C4%B1ve", "active%00", "%27%20OR%201=1--"},
		"facets":        {"price", "type,price", "type,,offer", "type,", ",", "*", "TYPE;OFFER", "type%00"},
		"sort":          {"best", "price", "-price_asc", "price_asc,area_asc", "relevance", "RELEVANCE", "newest%00", "id%3BDROP%20TABLE%20listings"},
		"type":          {"castle", "apartment,loft", "%00", "1"},
		"limit":         {"-1", "0", "101", "1.5", "1e1", "ten", "%D9%A1", "9223372036854775808"},
		"price_max":     {"0", "-1", "1.5", "1e400", "99999999999999999999", "NaN"},
	} {
		for _, value := range values {
			add(name+"="+value, name)
		}
		if name != "region" && name != "q" { // which take an x, once
			add(name+"=x&"+name+"=x", name, name)
		}
	}
	add("region=x&region=x", "region")
	add("q=x&q=x", "q")
	add("bathrooms_min=1&bathrooms_min=1", "bathrooms_min")
	add("area_min=60&area_max=59.99", "area_max")
	add("bedrooms_min=100&bedrooms_max=0", "bedrooms_max")
	add("price_min=2&price_max=1&area_min=2&area_max=1", "price_max", "area_max")
	add("sort=relevance&q=", "sort")
	add("sort=relevance&q=-garden", "q")
	add("region=%00&country=1&status=x&bbox=1&facets=x&amenities=x", "region", "country", "status", "bbox", "facets", "amenities")
	for _, name := range []string{"Region", "BBOX", "bbox[]", "amenities[]", "bathrooms_max", "order", "offset", "page", "q[]", "facet", "lat", "radius"} {
		add(name+"=1", name)
	}
	return rows
}

type refusal struct {
	name, method, path, body string
	header                   []string
	status                   int
	slug                     string
	where                    []string // locations of errors
}

// tampered are cursors that this service gave, changed or of other searches.
func (s *service) tampered(t testing.TB) []refusal {
	t.Helper()
	next := func(query string) string {
		var page listing.Page
		s.get(t, "/v1/listings?limit=1&"+query, "Cache-Control", "no-cache").into(t, &page)
		if page.Next == "" {
			t.Fatalf("%s has one page only", query)
		}
		return page.Next
	}
	good := next("city=lisbon&sort=price_asc")
	flipped := func(at int) string { // in a character's highest bit, since the last one's lowest may hold nothing
		const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		return good[:at] + string(digits[strings.IndexByte(digits, good[at])^32]) + good[at+1:]
	}
	var rows []refusal
	for name, query := range map[string]string{
		"of another order": "city=lisbon&sort=price_desc&cursor=" + good, "of another city": "city=porto&sort=price_asc&cursor=" + good,
		"of no city": "sort=price_asc&cursor=" + good, "of fewer words": "city=lisbon&sort=price_asc&q=nice&cursor=" + good,
		"of another status": "city=lisbon&sort=price_asc&status=sold&cursor=" + good, "of another box": "city=lisbon&sort=price_asc&bbox=-10,38,-9,39&cursor=" + good,
		"of another area": "city=lisbon&sort=price_asc&area_min=1&cursor=" + good, "of other amenities": "city=lisbon&sort=price_asc&amenities=garden&cursor=" + good,
		"of an order by words": "q=nice&sort=newest&cursor=" + next("q=nice&sort=relevance"),
		"changed in front":     "city=lisbon&sort=price_asc&cursor=" + flipped(0), "changed in the middle": "city=lisbon&sort=price_asc&cursor=" + flipped(len(good)/2),
		"changed at the end": "city=lisbon&sort=price_asc&cursor=" + flipped(len(good)-1), "cut off": "city=lisbon&sort=price_asc&cursor=" + good[:len(good)-1],
		"longer": "city=lisbon&sort=price_asc&cursor=" + good + "A", "twice": "city=lisbon&sort=price_asc&cursor=" + good + good,
		"padded": "city=lisbon&sort=price_asc&cursor=" + good + "=", "in other case": "city=lisbon&sort=price_asc&cursor=" + strings.ToUpper(good),
		"of nothing": "city=lisbon&sort=price_asc&cursor=A", "with NUL": "cursor=%00", "not of one line": "cursor=" + good + "%0a",
	} {
		rows = append(rows, refusal{"cursor " + name, "GET", "/v1/listings?" + query, "", nil, 422, slugCursor, []string{"query.cursor"}})
	}
	if got := s.get(t, "/v1/listings?city=lisbon&sort=price_asc&cursor="+good, "Cache-Control", "no-cache"); got.status != http.StatusOK {
		t.Fatalf("the cursor as it was given: status %d", got.status)
	}
	return rows
}

// keysOfRedis returns the names of all keys that the service's part of Redis holds.
func keysOfRedis(t testing.TB, url string) []string {
	t.Helper()
	opts, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(opts)
	defer func() { _ = client.Close() }()
	keys, err := client.Keys(t.Context(), "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	return keys
}

func TestBadRequestsAreRefusedAsProblemsAndNeverKept(t *testing.T) {
	stackUsed = true
	servers, err := stack()
	if err != nil {
		t.Fatal(err)
	}
	redisURL := strings.TrimSuffix(servers.RedisURL, "/0") + "/7" // that no other test of this package uses
	shared, err := remote.Open(remote.Config{URL: redisURL}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = shared.Close() })
	s := newService(t, cache.Config{Strategy: cache.Stamped, Lab: true, Remote: shared})
	rows := append(refusals(t), s.tampered(t)...)
	kept := keysOfRedis(t, redisURL)
	_, views := s.sum(t, telemetry.MetricCacheEntries, telemetry.LabelLevel)
	if len(rows) < 150 {
		t.Errorf("only %d bad requests", len(rows))
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			got := s.do(t, tt.method, tt.path, tt.body, tt.header...)
			if got.status != tt.status {
				t.Fatalf("status %d, want %d: %s", got.status, tt.status, got.body)
			}
			if got.status >= 500 && got.status != http.StatusNotImplemented {
				t.Errorf("status %d for what is the client's fault", got.status)
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
	if strings.Contains(s.log.String(), "request failed") {
		t.Errorf("the log calls a client's fault ours:\n%s", s.log)
	}
	// That there is no such listing or city is knowledge that the data level keeps, stamped, as long as nobody makes one; nothing else is, and no view of a refusal.
	known := []string{"strata::stamped:data:listing:999999", "strata::stamped:data:stats:atlantis"}
	for _, key := range keysOfRedis(t, redisURL) {
		if !slices.Contains(kept, key) && !slices.Contains(known, key) {
			t.Errorf("a refusal is kept in Redis as %s", key)
		}
	}
	if _, after := s.sum(t, telemetry.MetricCacheEntries, telemetry.LabelLevel); after["view"] != views["view"] {
		t.Errorf("%v refusals are kept as views", after["view"]-views["view"])
	}
	// The same look, at an answer that is kept.
	if got := s.get(t, "/v1/listings?limit=29"); got.status != http.StatusOK || len(keysOfRedis(t, redisURL)) <= len(kept)+len(known) {
		t.Errorf("status %d, and of a good answer nothing is seen in Redis either", got.status)
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
