package httpapi

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/strata/app/cache"
)

// announced is the header of a request whose body is still to come.
func announced(method, path, token string, fields ...string) string {
	if token != "" {
		fields = append(fields, "Authorization: Bearer "+token)
	}
	return fmt.Sprintf("%s %s HTTP/1.1\r\nHost: a\r\nContent-Type: %s\r\n%s\r\n\r\n", method, path, typeJSON, strings.Join(fields, "\r\n"))
}

func TestBodiesThatNobodyHasAUseForAreNeitherReadNorAskedFor(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped}, func(c *Config) { c.ReadTimeout, c.AuditInterval = time.Hour, -1 })
	addr := listen(t, s)
	const large, chunks, asks = "Content-Length: 1000000", "Transfer-Encoding: chunked", "Expect: 100-continue"
	for _, tt := range []struct {
		name, request string
		status        int
		slug          string
	}{
		{"POST without a token", announced("POST", "/v1/listings", "", large), 401, "unauthorized"},
		{"PUT without a token", announced("PUT", "/v1/listings/1", "", large), 401, "unauthorized"},
		{"PATCH with an unknown token", announced("PATCH", "/v1/listings/1", "guessed", large), 401, "unauthorized"},
		{"DELETE without the scope", announced("DELETE", "/v1/listings/1", "no-deleting", large), 403, "insufficient-scope"},
		{"in chunks", announced("POST", "/v1/listings", "", chunks), 401, "unauthorized"},
		{"two tokens", announced("POST", "/v1/listings", testToken, large, "Authorization: Bearer guessed"), 400, "bad-request"},
		{"asking", announced("POST", "/v1/listings", "", large, asks), 401, "unauthorized"},
		{"asking for little", announced("POST", "/v1/listings", "", "Content-Length: 10", asks), 401, "unauthorized"},
		{"asking in chunks", announced("POST", "/v1/listings", "guessed", chunks, asks), 401, "unauthorized"},
		{"asking with a token for too much", announced("POST", "/v1/listings", testToken, "Content-Length: 1048577", asks), 413, "content-too-large"},
		{"asking for too much", announced("POST", "/v1/listings", "", "Content-Length: 99999999999", asks), 413, "content-too-large"},
		{"to nowhere", announced("POST", "/nowhere", "", large), 404, "not-found"},
		{"a method that nobody knows", announced("BREW", "/v1/listings", "", large), 501, "not-implemented"},
		{"GET", announced("GET", "/v1/listings/1", testToken, large), 200, ""},
		{"GET of what was read before", announced("GET", "/v1/listings/1", "", large), 200, ""},
		{"GET, asking", announced("GET", "/v1/listings/1", "", "Content-Length: 2", asks), 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := connectTo(t, addr)
			_, _ = io.WriteString(conn, tt.request)
			in := bufio.NewReader(conn)
			got, closes := answerOn(t, in, http.MethodGet)
			if got.status != tt.status || !closes {
				t.Errorf("status %d, want %d; closes: %v", got.status, tt.status, closes)
			}
			if tt.slug != "" {
				if p := got.problem(t); p.Type != problemPath+tt.slug {
					t.Errorf("type %q, want %q", p.Type, problemPath+tt.slug)
				}
			}
			if tt.status == 401 && got.header.Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
			if _, err := in.ReadByte(); err != io.EOF {
				t.Errorf("behind the answer: %v, want the end", err)
			}
		})
	}
	t.Run("the control, asking as who may", func(t *testing.T) {
		conn := connectTo(t, addr)
		body := goodBody(t, nil)
		_, _ = io.WriteString(conn, announced("POST", "/v1/listings", testToken, fmt.Sprintf("Content-Length: %d", len(body)), asks))
		in := bufio.NewReader(conn)
		for _, want := range []int{http.StatusContinue, http.StatusCreated} {
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if res.StatusCode != want {
				t.Fatalf("status %d, want %d", res.StatusCode, want)
			}
			_, _ = io.WriteString(conn, body)
		}
	})
}

func TestABodyThatWasLeftUnreadIsNotTakenForRequestsAndItsSenderSeesTheAnswer(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped}, func(c *Config) { c.AuditInterval = -1 })
	addr := listen(t, s)
	smuggled := strings.Repeat("GET /v1/listings/1 HTTP/1.1\r\nHost: a\r\n\r\n", 10_000)
	for range 20 {
		conn := connectTo(t, addr)
		if _, err := io.WriteString(conn, announced("POST", "/v1/listings", "", fmt.Sprintf("Content-Length: %d", len(smuggled)))+smuggled); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || strings.Count(string(answer), "HTTP/1.1 ") != 1 || !strings.HasPrefix(string(answer), "HTTP/1.1 401 ") {
			t.Fatalf("%v, %.300q, want one answer", err, answer)
		}
	}
}

func TestASmallBodyKeepsItsConnection(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped}, func(c *Config) { c.AuditInterval = -1 })
	conn := connectTo(t, listen(t, s))
	in := bufio.NewReader(conn)
	for range 3 {
		_, _ = io.WriteString(conn, announced("POST", "/v1/listings", "", "Content-Length: 8192")+strings.Repeat("x", 8192))
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized || res.Close {
			t.Fatalf("status %d, closes: %v", res.StatusCode, res.Close)
		}
	}
}

func TestOnlyWhoMayWriteIsGivenMemoryForABody(t *testing.T) {
	const clients = 50
	// taken returns how much memory clients had the service take that announce a body and do not send it.
	taken := func(token string, status int) uint64 {
		s := newService(t, cache.Config{Strategy: cache.Stamped}, func(c *Config) { c.ReadTimeout, c.AuditInterval = 2*time.Second, -1 })
		addr := listen(t, s)
		_ = send(t, addr, announced("GET", "/v1/listings/1", "")) // so that what is made once is there
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		var all sync.WaitGroup
		for range clients {
			conn := connectTo(t, addr)
			all.Go(func() {
				_, _ = io.WriteString(conn, announced("POST", "/v1/listings", token, "Content-Length: 1048576"))
				if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), fmt.Sprintf("HTTP/1.1 %d ", status)) {
					t.Errorf("%v, %.40q, want status %d", err, answer, status)
				}
				_ = conn.Close()
			})
		}
		all.Wait()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if got := taken("guessed", 401) / clients; got > 256<<10 {
		t.Errorf("a client that may not write costs %d bytes", got)
	}
	if got := taken(testToken, 408) / clients; got < 512<<10 { // the control
		t.Errorf("a client that may write costs %d bytes: this measures nothing", got)
	}
}
