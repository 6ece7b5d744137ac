package httpapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"example.com/strata/app/cache"
)

// wire is a service behind a real port, asked byte by byte: a client library would add fields of its own, and decode what it was not asked to.
type wire struct {
	*service
	address string
}

func newWire(t testing.TB, cfg cache.Config) *wire {
	t.Helper()
	s := newService(t, cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &wire{s, l.Addr().String()}
}

// ask sends a request with these header lines, holds the answer against the contract, and returns it, its body as it came.
func (w *wire) ask(t testing.TB, method, path string, lines ...string) reply {
	t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: strata.test\r\nConnection: close\r\n%s\r\n", method, path, withLineEnds(lines)); err != nil {
		t.Fatal(err)
	}
	got, _ := answerOn(t, bufio.NewReader(conn), method)
	plain := got
	if method != http.MethodHead {
		plain.body = got.decoded(t)
	}
	obeyed(t, method, path, plain)
	return got
}

func withLineEnds(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	return b.String()
}

// decoded returns the body without its content coding.
func (r reply) decoded(t testing.TB) string {
	t.Helper()
	var in io.Reader = strings.NewReader(r.body)
	var err error
	switch coding := r.header.Get("Content-Encoding"); coding {
	case "":
	case "gzip":
		in, err = gzip.NewReader(in)
	case "br":
		in = brotli.NewReader(in)
	case "zstd":
		in, err = zstd.NewReader(in)
	default:
		t.Fatalf("Content-Encoding: %s", coding)
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// large is a view that is kept in every coding, small one that is kept as it is.
const large, small = "/v1/listings?limit=30", "/v1/listings/7"

// requirement is one sentence of a standard: what a request is to be answered with. In its lines, TAG, GZIP, BR and ZSTD stand for the ETags of the
// forms, OPEN for TAG without its closing quote, and CHANGED, BEFORE and AFTER for Last-Modified, a second before, and one after.
type requirement struct {
	section, says string
	method, path  string // GET, large
	lines         []string
	status        int      // 200
	coding        string   // identity; * is any but identity
	has           []string // of the answer's header
	lacks         []string
}

func requirements() []requirement {
	return []requirement{
		// Content negotiation.
		{section: "9110 12.5.3", says: "without Accept-Encoding any coding is acceptable: identity is safest"},
		{section: "9110 12.5.3", says: "an empty field wants no coding", lines: []string{"Accept-Encoding:"}},
		{section: "9110 12.5.3", says: "gzip", lines: []string{"Accept-Encoding: gzip"}, coding: "gzip", has: []string{"Etag: GZIP", "Vary: Accept-Encoding, Strata-Seen"}},
		{section: "9110 12.5.3", says: "br", lines: []string{"Accept-Encoding: br"}, coding: "br", has: []string{"Etag: BR"}},
		{section: "9110 12.5.3", says: "zstd (RFC 8878)", lines: []string{"Accept-Encoding: zstd"}, coding: "zstd", has: []string{"Etag: ZSTD"}},
		{section: "9110 12.5.3", says: "identity by name", lines: []string{"Accept-Encoding: identity"}, has: []string{"Etag: TAG"}},
		{section: "9110 12.5.3", says: "a coding that there is not is no reason to refuse", lines: []string{"Accept-Encoding: compress, exi"}},
		{section: "9110 12.5.3", says: "the highest weight wins", lines: []string{"Accept-Encoding: br;q=0.5, gzip;q=0.8, zstd;q=0.799"}, coding: "gzip"},
		{section: "9110 12.5.3", says: "identity may be wanted more", lines: []string{"Accept-Encoding: gzip;q=0.5, identity"}},
		{section: "9110 12.5.3", says: "identity is acceptable unless excluded, but what was asked for is preferred", lines: []string{"Accept-Encoding: gzip;q=0.001, deflate"}, coding: "*"},
		{section: "9110 12.5.3", says: "* matches what is not listed", lines: []string{"Accept-Encoding: br;q=0, zstd;q=0, identity;q=0.1, *"}, coding: "gzip"},
		{section: "9110 12.5.3", says: "a weight of 0 is not acceptable", lines: []string{"Accept-Encoding: gzip;q=0"}},
		{section: "9110 12.5.3", says: "a weight of 0 in full", lines: []string{"Accept-Encoding: gzip;q=0.000, br;q=0.0"}},
		{section: "9110 12.5.3", says: "identity excluded, and something else there", lines: []string{"Accept-Encoding: identity;q=0, gzip"}, coding: "gzip"},
		{section: "9110 12.5.3", says: "identity excluded, and the form has to be made", path: small, lines: []string{"Accept-Encoding: identity;q=0, br"}, coding: "br", has: []string{"Etag: BR"}},
		{section: "9110 12.5.3", says: "identity excluded and nothing else there", lines: []string{"Accept-Encoding: identity;q=0"}, status: 406, has: []string{"Cache-Control: no-store"}},
		{section: "9110 12.5.3", says: "identity excluded by *", lines: []string{"Accept-Encoding: compress, *;q=0"}, status: 406},
		{section: "9110 12.5.3", says: "a form that gains nothing is not sent", path: small, lines: []string{"Accept-Encoding: gzip, br, zstd"}, has: []string{"Etag: TAG", "Vary: Accept-Encoding, Strata-Seen"}, lacks: []string{"Content-Encoding"}},
		{section: "9110 12.4.2", says: "weights are compared as numbers", lines: []string{"Accept-Encoding: gzip;q=0.09, br;q=0.1, identity;q=0"}, coding: "br"},
		{section: "9110 12.4.2", says: "a malformed weight spoils its member only", lines: []string{"Accept-Encoding: br;q=2, zstd;q=x, gzip;q=0.5"}, coding: "gzip"},
		{section: "9110 8.4.1", says: "names of codings have no case", lines: []string{"Accept-Encoding: GZip"}, coding: "gzip"},
		{section: "9110 8.4.1.3", says: "x-gzip is gzip", lines: []string{"Accept-Encoding: x-gzip"}, coding: "gzip"},
		{section: "9110 5.3", says: "two lines are one list", lines: []string{"Accept-Encoding: deflate", "Accept-Encoding: gzip"}, coding: "gzip"},
		{section: "9110 5.6.1", says: "empty members and spaces do not matter", lines: []string{"Accept-Encoding: , ,\t gzip ; q=0.5 ,,"}, coding: "gzip"},
		{section: "9110 12.5.1", says: "there is one form of each answer, so Accept chooses nothing", lines: []string{"Accept: text/html"}, has: []string{"Content-Type: application/json"}},

		// Validators and HEAD.
		{section: "9110 9.3.2", says: "HEAD has the fields of GET", method: "HEAD", lines: []string{"Accept-Encoding: gzip"}, coding: "gzip", has: []string{"Etag: GZIP", "Content-Length: SIZE"}},
		{section: "9110 9.3.2", says: "HEAD of identity", method: "HEAD", path: small, has: []string{"Etag: TAG", "Content-Length: SIZE"}},
		{section: "9110 8.8.2", says: "no Last-Modified of a listing: a date of whole seconds, which loaded rows bring from elsewhere, cannot tell", path: small, lacks: []string{"Last-Modified"}},
		{section: "9110 8.8.2.1", says: "no Last-Modified where the time of the last change is not known", lacks: []string{"Last-Modified"}},
		{section: "9110 8.8.3", says: "each form has its own strong ETag", lines: []string{"Accept-Encoding: br"}, coding: "br", has: []string{"Etag: BR"}},

		// If-None-Match.
		{section: "9110 13.1.2", says: "the client has it", lines: []string{"If-None-Match: TAG"}, status: 304},
		{section: "9110 13.1.2", says: "it has another", lines: []string{`If-None-Match: "other"`}},
		{section: "9110 13.1.2", says: "one of several", lines: []string{`If-None-Match: "other", W/"x,y" ,TAG`}, status: 304},
		{section: "9110 13.1.2", says: "several lines", lines: []string{`If-None-Match: "other"`, "If-None-Match: TAG"}, status: 304},
		{section: "9110 13.1.2", says: "* is whatever there is", lines: []string{"If-None-Match: *"}, status: 304},
		{section: "9110 13.1.2", says: "* of what there is not", path: "/v1/listings/999999", lines: []string{"If-None-Match: *"}, status: 404},
		{section: "9110 13.1.2", says: "HEAD too", method: "HEAD", lines: []string{"If-None-Match: TAG"}, status: 304},
		{section: "9110 13.1.2", says: "the comparison is weak", lines: []string{"If-None-Match: W/TAG"}, status: 304},
		{section: "9110 8.8.3", says: "a tag has quotes", lines: []string{"If-None-Match: OPEN"}},
		{section: "9110 8.8.3", says: "W/ has case", lines: []string{"If-None-Match: w/TAG"}},
		{section: "9110 8.8.3", says: "a tag inside another's is not there", lines: []string{`If-None-Match: "x, ` + "OPEN" + `x"`}},
		{section: "9110 8.8.3.3", says: "of the form that is chosen", lines: []string{"Accept-Encoding: gzip", "If-None-Match: GZIP"}, status: 304, has: []string{"Etag: GZIP"}},
		{section: "9110 8.8.3.3", says: "another form that is acceptable may be kept", lines: []string{"Accept-Encoding: gzip", "If-None-Match: TAG"}, status: 304, has: []string{"Etag: TAG"}},
		{section: "9110 8.8.3.3", says: "one that is not acceptable may not", lines: []string{"Accept-Encoding: br", "If-None-Match: GZIP"}, coding: "br"},
		{section: "9110 8.8.3.3", says: "nor identity once it is excluded", lines: []string{"Accept-Encoding: br, identity;q=0", "If-None-Match: TAG"}, coding: "br"},
		{section: "9110 15.4.5", says: "304 has what a 200 would have said of caching, and no more", path: small, lines: []string{"If-None-Match: TAG"}, status: 304,
			has:   []string{"Etag: TAG", "Vary: Accept-Encoding, Strata-Seen", "Cache-Control: max-age=0, s-maxage=1, stale-while-revalidate=1, stale-if-error=300"},
			lacks: []string{"Content-Type", "Content-Encoding", "Content-Length", "Last-Modified"}},

		// Dates.
		{section: "9110 13.1.3", says: "not modified since", path: small, lines: []string{"If-Modified-Since: CHANGED"}},
		{section: "9110 13.1.3", says: "not modified since later", path: small, lines: []string{"If-Modified-Since: AFTER"}},
		{section: "9110 13.1.3", says: "modified since earlier", path: small, lines: []string{"If-Modified-Since: BEFORE"}},
		{section: "9110 13.1.3", says: "HEAD too", method: "HEAD", path: small, lines: []string{"If-Modified-Since: CHANGED"}},
		{section: "9110 13.1.3", says: "what is no date is ignored", path: small, lines: []string{"If-Modified-Since: tomorrow"}},
		{section: "9110 13.1.3", says: "ignored where there is no Last-Modified", lines: []string{"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"}},
		{section: "9110 5.6.7", says: "RFC 850's form of a date", path: small, lines: []string{"If-Modified-Since: Friday, 01-Jan-60 00:00:00 GMT"}},
		{section: "9110 5.6.7", says: "asctime's form of a date", path: small, lines: []string{"If-Modified-Since: Fri Jan  1 00:00:00 2100"}},
		{section: "9110 13.1.4", says: "unmodified since", path: small, lines: []string{"If-Unmodified-Since: CHANGED"}},
		{section: "9110 13.1.4", says: "modified since", path: small, lines: []string{"If-Unmodified-Since: BEFORE"}},
		{section: "9110 13.1.4", says: "ignored where there is no Last-Modified", lines: []string{"If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT"}},

		// If-Match on reads.
		{section: "9110 13.1.1", says: "it is that", lines: []string{"If-Match: TAG"}},
		{section: "9110 13.1.1", says: "it is not", lines: []string{`If-Match: "other"`}, status: 412, lacks: []string{"Etag", "Last-Modified"}},
		{section: "9110 13.1.1", says: "* is whatever there is", lines: []string{"If-Match: *"}},
		{section: "9110 13.1.1", says: "the comparison is strong", lines: []string{"If-Match: W/TAG"}, status: 412},
		{section: "9110 13.1.1", says: "the form counts", lines: []string{"Accept-Encoding: gzip", "If-Match: GZIP"}, coding: "gzip"},

		// Precedence.
		{section: "9110 13.2.2", says: "If-None-Match goes before If-Modified-Since: changed", path: small, lines: []string{`If-None-Match: "other"`, "If-Modified-Since: AFTER"}},
		{section: "9110 13.2.2", says: "If-None-Match goes before If-Modified-Since: not changed", path: small, lines: []string{"If-None-Match: TAG", "If-Modified-Since: BEFORE"}, status: 304},
		{section: "9110 13.2.2", says: "If-Match goes before If-Unmodified-Since", path: small, lines: []string{"If-Match: TAG", "If-Unmodified-Since: BEFORE"}},
		{section: "9110 13.2.2", says: "If-Match goes before If-None-Match", lines: []string{`If-Match: "other"`, "If-None-Match: TAG"}, status: 412},
		{section: "9110 13.2.2", says: "both hold", lines: []string{"If-Match: TAG", "If-None-Match: TAG"}, status: 304},
		{section: "9110 13.2.2", says: "If-Unmodified-Since is not evaluated without a date", path: small, lines: []string{"If-Unmodified-Since: BEFORE", "If-None-Match: TAG"}, status: 304},
		{section: "9110 13.2.1", says: "a condition is not looked at where the answer is an error anyway", path: "/v1/listings?limit=0", lines: []string{"If-Match: TAG"}, status: 422},
		{section: "9110 14.2", says: "Range may be ignored", lines: []string{"Range: bytes=0-9", "If-Range: TAG"}},

		// Caching.
		{section: "9111 3.5", says: "an answer to credentials is not for others", lines: []string{"Authorization: Bearer nobody"}, has: []string{"Cache-Control: no-store", "Cache-Status: data-l1; hit*"}, lacks: []string{"Surrogate-Key", "Vary"}},
		{section: "9111 4.2.2", says: "404 may be stored unless that is said", path: "/v1/listings/999999", status: 404, has: []string{"Cache-Control: no-store"}, lacks: []string{"Etag"}},
		{section: "9111 4.2.2", says: "404 of a path", path: "/nowhere", status: 404, has: []string{"Cache-Control: no-store"}},
		{section: "9111 4.2.2", says: "405 may be stored unless that is said", method: "PUT", path: "/v1/cities", status: 405, has: []string{"Cache-Control: no-store"}},
		{section: "9111 5.1", says: "Age of what was just known to be true", has: []string{"Age: 0"}},
		{section: "9111 5.2.1.4", says: "no-cache goes to the origin", lines: []string{"Cache-Control: no-cache"}, has: []string{"Cache-Status: strata; fwd=request", "Server-Timing: source;desc=postgres*"}},
		{section: "9111 5.2.1.1", says: "max-age=0 goes to the origin", lines: []string{"Cache-Control: foo, MAX-AGE=0"}, has: []string{"Cache-Status: strata; fwd=request"}},
		{section: "9111 5.2.1.1", says: "max-age=1 is met by a view", lines: []string{"Cache-Control: max-age=1"}, has: []string{"Cache-Status: view-l1; hit*"}},
		{section: "9111 5.4", says: "Pragma counts", lines: []string{"Pragma: no-cache"}, has: []string{"Cache-Status: strata; fwd=request"}},
		{section: "9111 5.4", says: "Pragma does not count beside Cache-Control", lines: []string{"Pragma: no-cache", "Cache-Control: max-age=60"}, has: []string{"Cache-Status: view-l1; hit*"}},
		{section: "9111 5.2.1.4", says: "no-cache and a condition", lines: []string{"Cache-Control: no-cache", "If-None-Match: TAG"}, status: 304, has: []string{"Cache-Status: strata; fwd=request"}},
		{section: "9211 2.1", says: "a hit says so", has: []string{"Cache-Status: view-l1; hit; ttl=*"}},
		{section: "9211 2.1", says: "a 304 is a hit as well", lines: []string{"If-None-Match: TAG"}, status: 304, has: []string{"Cache-Status: view-l1; hit; ttl=*"}},

		// Purging.
		{section: "8586 2", says: "a CDN gets to know the tags", path: small, lines: []string{"CDN-Loop: test"}, has: []string{"Surrogate-Key: listing:7"}},
		{section: "8586 2", says: "nobody else does", path: small, lacks: []string{"Surrogate-Key"}},
	}
}

func TestReadsConformToRFC9110And9111(t *testing.T) {
	w := newWire(t, cache.Config{Strategy: cache.Stamped})
	w.exec(t, `ALTER TABLE listings DISABLE TRIGGER touch_update; UPDATE listings SET updated_at = '2026-01-02 15:04:05.678+00'; ALTER TABLE listings ENABLE TRIGGER touch_update`)
	tags := map[string]string{} // ETags without their last quote
	for _, path := range []string{large, small} {
		first := w.ask(t, "GET", path)
		tags[path] = strings.TrimSuffix(first.header.Get("ETag"), `"`)
	}
	sizes := map[string]int{}
	for _, r := range requirements() {
		method, path, status := r.method, r.path, r.status
		orDefault(&method, "GET")
		orDefault(&path, large)
		orDefault(&status, 200)
		t.Run(strings.ReplaceAll(r.section, " ", "_")+"/"+r.says, func(t *testing.T) {
			open := tags[path]
			fill := strings.NewReplacer("OPEN", open, "TAG", open+`"`, "GZIP", open+`-gzip"`, "BR", open+`-br"`, "ZSTD", open+`-zstd"`,
				"CHANGED", "Fri, 02 Jan 2026 15:04:05 GMT", "BEFORE", "Fri, 02 Jan 2026 15:04:04 GMT", "AFTER", "Fri, 02 Jan 2026 15:04:06 GMT",
				"SIZE", fmt.Sprint(sizes[path+r.coding]))
			var lines []string
			for _, line := range r.lines {
				lines = append(lines, fill.Replace(line))
			}
			got := w.ask(t, method, path, lines...)
			if got.status != status {
				t.Fatalf("status %d, want %d: %v", got.status, status, got.header)
			}
			for _, line := range r.has {
				name, want, _ := strings.Cut(fill.Replace(line), ": ")
				prefix, any := strings.CutSuffix(want, "*")
				if text := strings.Join(got.header.Values(name), ", "); text != want && !(any && strings.HasPrefix(text, prefix)) {
					t.Errorf("%s is %q, want %q", name, text, want)
				}
			}
			for _, name := range r.lacks {
				if values := got.header.Values(name); values != nil {
					t.Errorf("%s: %q should not be there", name, values)
				}
			}
			switch {
			case method == "HEAD" || status == http.StatusNotModified:
				if got.body != "" {
					t.Errorf("a body of %d bytes", len(got.body))
				}
			case status == http.StatusOK:
				coding := got.header.Get("Content-Encoding")
				if coding != r.coding && (r.coding != "*" || coding == "") {
					t.Errorf("Content-Encoding is %q, want %q", coding, r.coding)
				}
				sizes[path+coding] = len(got.body)
				if text := got.decoded(t); !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "}\n") {
					t.Errorf("decoded: %.80q", text)
				}
			default:
				got.problem(t)
			}
		})
	}
}

func TestEveryFormOfAViewIsTheSameAnswer(t *testing.T) {
	w := newWire(t, cache.Config{Strategy: cache.Stamped})
	want := w.ask(t, "GET", large).body
	seen := map[string]bool{}
	for _, coding := range []string{"identity", "gzip", "br", "zstd"} {
		for range 2 {
			got := w.ask(t, "GET", large, "Accept-Encoding: "+coding)
			if got.decoded(t) != want {
				t.Errorf("%s: another answer", coding)
			}
			seen[got.header.Get("ETag")] = true
			if coding != "identity" && len(got.body) > len(want)/2 {
				t.Errorf("%s: %d bytes of %d", coding, len(got.body), len(want))
			}
		}
	}
	if len(seen) != 4 {
		t.Errorf("the ETags of four forms are %v", seen)
	}
}

// Without a view the same rules hold, but for what is kept: nothing is compressed that nobody keeps.
func TestConditionsAreHeededWithoutViews(t *testing.T) {
	w := newWire(t, cache.Config{Strategy: cache.None})
	for _, path := range []string{large, small} {
		etag := w.ask(t, "GET", path).header.Get("ETag")
		for _, tc := range []struct {
			line   string
			status int
			coding string
		}{
			{"If-None-Match: " + etag, 304, ""}, {"If-None-Match: W/" + etag, 304, ""}, {`If-None-Match: "x"`, 200, ""}, {`If-Match: "x"`, 412, ""},
			{"Accept-Encoding: gzip", 200, ""}, {"Accept-Encoding: gzip, identity;q=0", 200, "gzip"}, {"Accept-Encoding: *;q=0", 406, ""},
		} {
			got := w.ask(t, "GET", path, tc.line)
			if got.status != tc.status || got.header.Get("Content-Encoding") != tc.coding {
				t.Errorf("%s, %s: status %d, Content-Encoding %q", path, tc.line, got.status, got.header.Get("Content-Encoding"))
			}
			if got.status == 200 && !strings.HasPrefix(got.decoded(t), "{") {
				t.Errorf("%s, %s: %.80q", path, tc.line, got.body)
			}
		}
	}
}

// A client that reads compressed answers sends their ETag back when it writes.
func TestIfMatchTakesTheETagOfAnyCoding(t *testing.T) {
	w := newWire(t, cache.Config{Strategy: cache.Stamped})
	for _, coding := range []string{"gzip", "br", "zstd"} {
		got := w.ask(t, "GET", small, "Accept-Encoding: identity;q=0, "+coding)
		etag := got.header.Get("ETag")
		if !strings.HasSuffix(etag, "-"+coding+`"`) {
			t.Fatalf("ETag %s", etag)
		}
		body := `{"title":"For ` + coding + `"}`
		patch := func() int {
			return w.write(t, "PATCH", small, body, "If-Match", etag).status
		}
		if first, again := patch(), patch(); first != 200 || again != 412 {
			t.Errorf("%s: status %d, then %d, want 200, then 412", etag, first, again)
		}
	}
}

func TestAskingPastTheCachesIsHeededUpToARate(t *testing.T) {
	w := newWire(t, cache.Config{Strategy: cache.Stamped})
	w.ask(t, "GET", "/v1/cities")
	heeded, began := 0, time.Now()
	const asked = 200
	for range asked {
		if got := w.ask(t, "GET", "/v1/cities", "Cache-Control: no-cache"); strings.HasPrefix(got.header.Get("Cache-Status"), "strata; fwd=request") {
			heeded++
		} else if !strings.HasPrefix(got.header.Get("Cache-Status"), "view-l1; hit") || got.status != http.StatusOK {
			t.Fatalf("status %d, Cache-Status %q", got.status, got.header.Get("Cache-Status"))
		}
	}
	if most := 20 + int(10*time.Since(began).Seconds()) + 1; heeded < 20 || heeded > most {
		t.Errorf("%d of %d went to the origin, want 20 to %d", heeded, asked, most)
	}
	if _, refused := w.sum(t, "strata_refused_total", "reason"); int(refused["revalidation_rate"]) != asked-heeded {
		t.Errorf("%v refusals are counted, want %d", refused, asked-heeded)
	}
}

func TestAnAnswerThatAClientHasSeenTheEffectOfIsNotAnothers(t *testing.T) {
	w := newWire(t, cache.Config{Strategy: cache.Stamped, Lab: true})
	for _, lines := range [][]string{nil, {"If-None-Match: *"}} {
		if got := w.ask(t, "GET", small, lines...).header.Get("Vary"); got != "Accept-Encoding, Strata-Seen, Strata-Strategy" {
			t.Errorf("Vary is %q", got)
		}
	}
}

func BenchmarkHitInTheCodingOfABrowser(b *testing.B) {
	w := newWire(b, cache.Config{Strategy: cache.Stamped})
	path := []byte("GET " + large + " HTTP/1.1\r\nHost: strata.test\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\r\n")
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	r := bufio.NewReader(conn)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Write(path); err != nil {
			b.Fatal(err)
		}
		for length := -1; ; {
			line, err := r.ReadSlice('\n')
			if err != nil {
				b.Fatal(err)
			}
			if rest, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
				length = 0
				for _, digit := range bytes.TrimSpace(rest) {
					length = length*10 + int(digit-'0')
				}
			}
			if len(line) == 2 {
				if _, err := r.Discard(length); err != nil {
					b.Fatal(err)
				}
				break
			}
		}
	}
}
