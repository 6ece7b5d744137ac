package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"example.com/strata/app/cache"
	"example.com/strata/app/telemetry"
)

const slowClients = 60

// listen serves s on a port until the test ends, and returns its address. What is left of slow clients then is cut off.
func listen(t *testing.T, s *service) string {
	t.Helper()
	return listenBy(t, s, func(l net.Listener) net.Listener { return l })
}

// listenBy is listen with another listener around its own.
func listenBy(t *testing.T, s *service, around func(net.Listener) net.Listener) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = around(l)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return l.Addr().String()
}

// soon waits for a condition, with a bound that only a hanging service reaches.
func soon(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

// connections returns how many clients are connected.
func (s *service) connections() int { return int(s.app.Server().GetOpenConnectionsCount()) }

// dial connects slow clients that last until the service or the test ends them. Each is served by slow, in a goroutine of its own.
func dial(t *testing.T, addr string, slow func(*net.TCPConn)) {
	t.Helper()
	var clients sync.WaitGroup
	var conns []net.Conn
	for range slowClients {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
		clients.Go(func() { slow(conn.(*net.TCPConn)) })
	}
	t.Cleanup(func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
		clients.Wait()
	})
}

// drip sends one byte at a time, without an end of its own.
func drip(start string) func(*net.TCPConn) {
	return func(conn *net.TCPConn) {
		_, err := io.WriteString(conn, start)
		for err == nil {
			time.Sleep(5 * time.Millisecond) // that is what is slow about it
			_, err = conn.Write([]byte("x"))
		}
	}
}

// hoard asks for far more than all buffers between take, and reads nothing.
func hoard(conn *net.TCPConn) {
	_ = conn.SetReadBuffer(4 << 10)
	_, _ = io.WriteString(conn, strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n", 1000))
}

// pause asks once, takes the answer, and says no more.
func pause(conn *net.TCPConn) {
	_, _ = io.WriteString(conn, "GET /v1/listings/1 HTTP/1.1\r\nHost: a\r\n\r\n")
	_, _ = io.Copy(io.Discard, conn)
}

func TestSlowClientsAreEndedAndOthersAnsweredMeanwhile(t *testing.T) {
	const short, long = 300 * time.Millisecond, time.Hour
	for _, tt := range []struct {
		name    string
		slow    func(*net.TCPConn)
		timeout func(*Config) *time.Duration
		refused bool // and it is counted as a request that took too long
	}{
		{"header", drip("GET /v1/cities HTTP/1.1\r\nHost: a\r\nX-Slow: "), func(c *Config) *time.Duration { return &c.ReadTimeout }, true},
		{"body", drip("POST /v1/listings HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + testToken + "\r\nContent-Length: 100000\r\n\r\n"), func(c *Config) *time.Duration { return &c.ReadTimeout }, true},
		{"answer", hoard, func(c *Config) *time.Duration { return &c.WriteTimeout }, false},
		{"next request", pause, func(c *Config) *time.Duration { return &c.IdleTimeout }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := func(timeout time.Duration) (*service, string) {
				s := newService(t, cache.Config{Strategy: cache.Stamped}, func(c *Config) {
					c.ReadTimeout, c.WriteTimeout, c.IdleTimeout, c.AuditInterval = long, long, long, -1
					*tt.timeout(c) = timeout
				})
				return s, listen(t, s)
			}
			patient, patientAddr := start(long)
			s, addr := start(short)
			dial(t, patientAddr, tt.slow)
			soon(t, "the slow clients of the control are connected", func() bool { return patient.connections() == slowClients })
			dial(t, addr, tt.slow)
			for i := range 30 {
				for _, at := range []string{patientAddr, addr} {
					path := fmt.Sprintf("/v1/listings/%d", 1+i)
					if got := send(t, at, "GET "+path+" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); got.status != http.StatusOK {
						t.Fatalf("%s beside slow clients: status %d", path, got.status)
					}
				}
			}
			soon(t, "the slow clients are gone", func() bool { return s.connections() == 0 })
			if _, by := s.sum(t, telemetry.MetricRefused, telemetry.LabelReason); tt.refused && by["timeout"] != slowClients {
				t.Errorf("%v requests are counted as too slow, want %d", by["timeout"], slowClients)
			}
			// The control: it is the timeout that ends them.
			soon(t, "without the timeout all slow clients are left, and nobody else", func() bool { return patient.connections() == slowClients })
		})
	}
}

// full starts a service that has as many connections as it may have, and returns its address and them.
func full(t *testing.T, most int) (s *service, addr string, held []net.Conn) {
	t.Helper()
	s = newService(t, cache.Config{Strategy: cache.Stamped}, func(c *Config) { c.MaxConns, c.AuditInterval = most, -1 })
	addr = listen(t, s)
	for i := range most {
		conn := connectTo(t, addr)
		if got := askOn(t, conn); got != http.StatusOK {
			t.Fatalf("connection %d: status %d", i, got)
		}
		held = append(held, conn)
	}
	return s, addr, held
}

func connectTo(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	return conn
}

func TestAConnectionTooManyIsRefusedAsAProblem(t *testing.T) {
	s, addr, held := full(t, 5)
	requests := map[string]string{
		"GET":                   "GET /v1/listings/1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"HEAD":                  "HEAD /v1/listings/1 HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST with a body":      "POST /v1/listings HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n" + strings.Repeat("x", 500_000),
		"one at a time":         strings.Repeat("GET /v1/listings/1 HTTP/1.1\r\nHost: a\r\n\r\n", 3),
		"no HTTP":               "\x16\x03\x01\x02\x00\x01\x00",
		"nothing, and it waits": "",
	}
	ids := map[string]bool{}
	for name, request := range requests {
		t.Run(name, func(t *testing.T) {
			conn := connectTo(t, addr)
			if _, err := io.WriteString(conn, request); err != nil {
				t.Fatal(err)
			}
			method, _, _ := strings.Cut(request, " ")
			in := bufio.NewReader(conn)
			got, closes := answerOn(t, in, method)
			if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !closes {
				t.Errorf("status %d, closed %v, %v", got.status, closes, got.header)
			}
			if method == http.MethodHead {
				if _, err := in.ReadByte(); err != io.EOF {
					t.Errorf("behind the header: %v, want the end", err)
				}
			} else if p := got.problem(t); p.Type != "/problems/overloaded" {
				t.Errorf("type %q", p.Type)
			}
			if method == http.MethodGet {
				obeyed(t, method, "/v1/listings/1", got)
			}
			if got.header.Get("Server") != "" || got.header.Get("Cache-Control") != "no-store" || got.header.Get("X-Content-Type-Options") != "nosniff" || len(got.header.Get("Content-Length")) < 2 {
				t.Errorf("not like the other refusals: %v", got.header)
			}
			if id := got.header.Get("X-Request-Id"); id == "" || ids[id] {
				t.Errorf("the request's id %q is none, or another one's", id)
			} else {
				ids[id] = true
			}
		})
	}
	if _, by := s.sum(t, telemetry.MetricRefused, telemetry.LabelReason); by["connections"] != float64(len(requests)) {
		t.Errorf("%v refusals are counted, want %d", by["connections"], len(requests))
	}
	for i, conn := range held {
		if got := askOn(t, conn); got != http.StatusOK {
			t.Errorf("connection %d, which was there before: status %d", i, got)
		}
	}
	_ = held[1].Close()
	soon(t, "a place is free again", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close() }()
		return askOn(t, conn) == http.StatusOK
	})
}

func TestSilentConnectionsTooManyHoldUpNobodyAndAreEnded(t *testing.T) {
	s, addr, held := full(t, 2)
	var silent []net.Conn
	for range 3 * maxRefusing {
		silent = append(silent, connectTo(t, addr))
	}
	for range 20 {
		if got := askOn(t, held[0]); got != http.StatusOK {
			t.Fatalf("a connection that was there before: status %d", got)
		}
	}
	soon(t, "all are there: those that are not waited for are refused", func() bool {
		_, by := s.sum(t, telemetry.MetricRefused, telemetry.LabelReason)
		return by["connections"] >= float64(len(silent)-maxRefusing)
	})
	_ = held[1].Close() // none of them waits for its place
	soon(t, "somebody else has the place", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			return false
		}
		defer func() { _ = conn.Close() }()
		return askOn(t, conn) == http.StatusOK
	})
	for i, conn := range silent {
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503 ") {
			t.Errorf("silent connection %d: %v, %.40q", i, err, answer)
		}
		_ = conn.Close()
	}
	if n := s.connections(); n > 2 {
		t.Errorf("%d connections are served, want 2", n)
	}
	if _, by := s.sum(t, telemetry.MetricRefused, telemetry.LabelReason); by["connections"] < float64(len(silent)) {
		t.Errorf("%v refusals are counted, want %d", by["connections"], len(silent))
	}
}

// answerOn reads the answer to a request with the method off a connection, and whether the connection ends with it.
func answerOn(t testing.TB, in *bufio.Reader, method string) (got reply, closes bool) {
	t.Helper()
	res, err := http.ReadResponse(in, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, string(body)}, res.Close
}

// askOn sends a request on a connection that stays open, and returns the status; 0 for none.
func askOn(t *testing.T, conn net.Conn) int {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(conn, "GET /v1/listings/1 HTTP/1.1\r\nHost: a\r\n\r\n")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	defer func() { _ = res.Body.Close() }()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode
}

// outOfFiles is a listener whose process has no file descriptor left, for so many connections.
type outOfFiles struct {
	net.Listener
	left atomic.Int64
}

// Accept fails as the kernel lets it.
func (l *outOfFiles) Accept() (net.Conn, error) {
	if l.left.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestAProcessOutOfFilesGoesOnListening(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	addr := listenBy(t, s, func(l net.Listener) net.Listener {
		poor := &outOfFiles{Listener: l}
		poor.left.Store(4)
		return poor
	})
	if got := askOn(t, connectTo(t, addr)); got != http.StatusOK {
		t.Errorf("status %d after four connections that could not be had", got)
	}
}

func TestConnectionThatWaitsIsAnsweredOnceMoreAfterShutdownBegan(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped}, func(c *Config) { c.AuditInterval = -1 })
	addr := listen(t, s)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	in := bufio.NewReader(conn)
	ask := func() (status int, last bool) {
		t.Helper()
		if _, err := io.WriteString(conn, "GET /v1/listings/1 HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Close
	}
	if status, last := ask(); status != http.StatusOK || last {
		t.Fatalf("before: status %d, last %t", status, last)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	soon(t, "the shutdown has begun", s.stopped.Load)
	if status, last := ask(); status != http.StatusOK || !last {
		t.Errorf("while it shuts down: status %d, last %t; want an answer that says it is the last", status, last)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("after the last answer: %v, want the connection's end", err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
