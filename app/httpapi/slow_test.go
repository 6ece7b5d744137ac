package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"strata/app/cache"
	"strata/app/telemetry"
)

const slowClients = 60

// listen serves s on a port until the test ends, and returns its address. What is left of slow clients then is cut off.
func listen(t *testing.T, s *service) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
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
		{"body", drip("POST /v1/listings HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n"), func(c *Config) *time.Duration { return &c.ReadTimeout }, true},
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

func TestConnectionsAreBounded(t *testing.T) {
	const most = 5
	s := newService(t, cache.Config{Strategy: cache.Stamped}, func(c *Config) { c.MaxConns = most })
	addr := listen(t, s)
	var held []net.Conn
	for i := range most {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		held = append(held, conn)
		if got := askOn(t, conn); got != http.StatusOK {
			t.Fatalf("connection %d: status %d", i, got)
		}
	}
	over, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = over.Close() }()
	_ = over.SetReadDeadline(time.Now().Add(30 * time.Second))
	// It sends nothing: what is unread when a connection is closed may take the answer with it.
	res, err := http.ReadResponse(bufio.NewReader(over), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Server") != "" {
		t.Errorf("one connection too many: status %d, %v", res.StatusCode, res.Header)
	}
	if got := askOn(t, held[0]); got != http.StatusOK {
		t.Errorf("a connection that was there before: status %d", got)
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
