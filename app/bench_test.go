package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/shirou/gopsutil/v4/process"
)

// childEnv makes this test binary a server instead: "bare" or "strata".
const childEnv = "STRATA_BENCH_CHILD"

// runChild serves until it is told to stop. It prints its address. It has one core.
func runChild(kind string) int {
	runtime.GOMAXPROCS(1)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if kind == "strata" {
		return execute(ctx, []string{"serve"}, os.Stdout, os.Stderr)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	app := fiber.New(fiber.Config{DisableStartupMessage: true, // the service's limits: they cost both the same
		ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 75 * time.Second, ReadBufferSize: 8 << 10})
	header := make(map[string]string)
	body := []byte(os.Getenv("STRATA_BENCH_BODY"))
	for line := range strings.Lines(os.Getenv("STRATA_BENCH_HEADER")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		header[name] = value
	}
	app.Get("/v1/listings/:id", func(c *fiber.Ctx) error {
		for name, value := range header {
			c.Response().Header.Set(name, value)
		}
		return c.Send(body)
	})
	fmt.Printf("{\"msg\":\"serving\",\"http\":%q,\"admin\":\"\"}\n", l.Addr())
	context.AfterFunc(ctx, func() { _ = app.Shutdown() })
	if err := app.Listener(l); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// child is a server in a process of its own, so that its processor time can be told from its client's.
type child struct {
	service
	process *process.Process
}

func startChild(b *testing.B, kind string, env ...string) *child {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"="+kind), env...)
	cmd.Stderr = os.Stderr
	c := &child{service: service{log: new(lockedBuffer)}}
	cmd.Stdout = c.log
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			b.Error(err)
		}
	})
	eventually(b, "the child serves", c.findPorts)
	var err error
	if c.process, err = process.NewProcess(int32(cmd.Process.Pid)); err != nil {
		b.Fatal(err)
	}
	return c
}

func (c *child) cpu(b *testing.B) time.Duration {
	b.Helper()
	times, err := c.process.Times()
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration((times.User + times.System) * float64(time.Second))
}

// BenchmarkViewHit compares a view hit of the whole service, all telemetry on and 1 % of requests traced, with a bare Fiber handler that
// returns the same bytes under the same limits. What counts is requests a second of processor time: a server's throughput on one core.
func BenchmarkViewHit(b *testing.B) {
	_, app := seeded(b, 200)
	sink := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	defer sink.Close()
	ours := startChild(b, "strata", "DATABASE_URL="+app, "REDIS_URL="+stack.RedisURL, "HTTP_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0",
		"OTEL_EXPORTER_OTLP_ENDPOINT="+sink.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.01")
	eventually(b, "the feed has read the log", func() bool { return status(ours.admin+"/readyz") == http.StatusOK })
	ours.want(b, "/v1/listings/1")
	hit := ours.want(b, "/v1/listings/1")
	if !strings.HasPrefix(hit.header.Get("Cache-Status"), "view-l1; hit") {
		b.Fatalf("not a hit: %v", hit.header)
	}
	var header strings.Builder
	for _, name := range []string{"Content-Type", "Etag", "Vary", "Cache-Control", "Last-Modified", "Cache-Status", "Server-Timing", "Strata-As-Of", "Age"} {
		fmt.Fprintf(&header, "%s: %s\n", name, hit.header.Get(name))
	}
	bare := startChild(b, "bare", "STRATA_BENCH_BODY="+hit.body, "STRATA_BENCH_HEADER="+header.String())

	const rounds = 6
	n := max(40_000, b.N/rounds) // processor time is counted in hundredths of a second
	var spent [2]time.Duration
	for range rounds {
		for i, c := range []*child{bare, ours} {
			before := c.cpu(b)
			hammer(b, c.http, n, func(int) string { return "/v1/listings/1" })
			spent[i] += c.cpu(b) - before
		}
	}
	requests := float64(n * rounds)
	b.ReportMetric(requests/spent[0].Seconds(), "bare-req/cpu-s")
	b.ReportMetric(requests/spent[1].Seconds(), "ours-req/cpu-s")
	b.ReportMetric(float64(spent[0])/float64(spent[1]), "ratio")
}

// BenchmarkResidentMemory reads 100,000 listings three times over and reports what the service holds resident then.
func BenchmarkResidentMemory(b *testing.B) {
	const listings = 100_000
	_, app := seeded(b, listings)
	ours := startChild(b, "strata", "DATABASE_URL="+app, "REDIS_URL="+stack.RedisURL, "HTTP_ADDR=127.0.0.1:0", "ADMIN_ADDR=127.0.0.1:0")
	eventually(b, "the feed has read the log", func() bool { return status(ours.admin+"/readyz") == http.StatusOK })
	for b.Loop() {
		hammer(b, ours.http, 3*listings, func(i int) string { return fmt.Sprintf("/v1/listings/%d", 1+i%listings) })
	}
	memory, err := ours.process.MemoryInfo()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(memory.RSS)/(1<<20), "MiB")
}

// hammer sends n requests. Two clients with 32 connections each write to all of theirs and then read from all, so that the server always has
// work waiting: what it spends on falling asleep and being woken would otherwise depend on how fast it is.
func hammer(b *testing.B, base string, n int, path func(i int) string) {
	b.Helper()
	const clients, connections = 2, 32
	var working sync.WaitGroup
	for client := range clients {
		working.Go(func() {
			if err := volleys(strings.TrimPrefix(base, "http://"), connections, client, n, clients, path); err != nil {
				b.Error(err)
			}
		})
	}
	working.Wait()
}

// volleys sends requests first, first+step, ... below n, as many at a time as there are connections.
func volleys(address string, connections, first, n, step int, path func(i int) string) error {
	conns, readers := make([]net.Conn, connections), make([]*bufio.Reader, connections)
	for i := range conns {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		defer conn.Close()
		conns[i], readers[i] = conn, bufio.NewReaderSize(conn, 16<<10)
	}
	for next := first; next < n; {
		sent := 0
		for ; sent < connections && next < n; sent++ {
			if _, err := conns[sent].Write([]byte("GET " + path(next) + " HTTP/1.1\r\nHost: strata\r\n\r\n")); err != nil {
				return err
			}
			next += step
		}
		for i := range sent {
			if err := skipResponse(readers[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func skipResponse(r *bufio.Reader) error {
	length := 0
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.Contains(line, []byte(" 200 ")) {
			return fmt.Errorf("%s", line)
		}
		if rest, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if _, err := fmt.Sscanf(string(rest), "%d", &length); err != nil {
				return err
			}
		}
		if len(line) == 2 {
			_, err := r.Discard(length)
			return err
		}
	}
}
