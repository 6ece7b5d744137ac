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
	app := fiber.New(fiber.Config{DisableStartupMessage: true})
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
// returns the same bytes. What counts is requests a second of processor time: a server's throughput on one core.
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
	for _, name := range []string{"Content-Type", "Etag", "Cache-Control", "Cache-Status", "Server-Timing", "Strata-As-Of", "Age"} {
		fmt.Fprintf(&header, "%s: %s\n", name, hit.header.Get(name))
	}
	bare := startChild(b, "bare", "STRATA_BENCH_BODY="+hit.body, "STRATA_BENCH_HEADER="+header.String())

	const rounds = 6
	n := max(2000, b.N/rounds)
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

// hammer sends n requests over some kept connections, with as little work of its own as can be.
func hammer(b *testing.B, base string, n int, path func(i int) string) {
	b.Helper()
	const connections = 8
	var clients sync.WaitGroup
	for first := range connections {
		clients.Go(func() {
			conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
			if err != nil {
				b.Error(err)
				return
			}
			defer conn.Close()
			reader := bufio.NewReaderSize(conn, 16<<10)
			for i := first; i < n; i += connections {
				if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: strata\r\n\r\n", path(i)); err != nil {
					b.Error(err)
					return
				}
				if err := skipResponse(reader); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	clients.Wait()
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
