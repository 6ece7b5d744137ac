package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/strata/deploy/local"
)

// What Kubernetes does when it replaces a Pod, with shorter times: k8s/base/deployment.yaml waits for 5 s.
const (
	endpointsLag = 400 * time.Millisecond // until nobody sends new connections to a Pod that is to go
	preStop      = time.Second            // until that Pod is sent SIGTERM
)

// TestARollingRestartUnderLoadFailsNoRequest replaces three replicas one after the other, again and again, while k6 reads and writes.
func TestARollingRestartUnderLoadFailsNoRequest(t *testing.T) {
	figures, replaced := rollUnderLoad(t, preStop)
	t.Logf("%d requests while %d replicas were replaced; worst %.0f ms", figures.Requests, replaced, 1000*figures.Latency.Max)
	if figures.Errors > 0 {
		t.Errorf("%d of %d answers were missing or wrong", figures.Errors, figures.Requests)
	}
	if replaced < 3 {
		t.Errorf("replaced %d replicas only while there was load", replaced)
	}
}

// TestWithoutPreStopARollingRestartFailsRequests is what the test above would see if a replica stopped listening while connections still came.
func TestWithoutPreStopARollingRestartFailsRequests(t *testing.T) {
	if figures, _ := rollUnderLoad(t, 0); figures.Errors == 0 {
		t.Error("no request failed: the test of rolling restarts proves nothing")
	}
}

// rollUnderLoad returns what k6 saw, and how many replicas were replaced meanwhile.
func rollUnderLoad(t *testing.T, preStop time.Duration) (*k6Figures, int) {
	t.Helper()
	binary, k6 := serviceBinary(t), k6Binary(t)
	stack, err := local.Start(t.Context(), local.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stack.Stop() })
	owner := []string{"DATABASE_OWNER_URL=" + stack.OwnerURL}
	for _, args := range [][]string{{"migrate"}, {"seed", "--listings", "2000"}} {
		if _, err := runCommand(t.Context(), binary, owner, args...); err != nil {
			t.Fatal(err)
		}
	}
	db, err := openDatabase(t.Context(), stack.SuperuserURL)
	if err != nil {
		t.Fatal(err)
	}
	defer db.close()
	cities, err := db.cities(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	token := rand.Text()
	replica := func() *service {
		t.Helper()
		s, err := startReplica(t.Context(), stack, binary, t.TempDir(), token)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	balancer := newBalancer(t)
	var running []*service
	for range 3 {
		s := replica()
		running = append(running, s)
		balancer.add(s)
	}

	type result struct {
		figures *k6Figures
		err     error
	}
	ended, dir := make(chan result, 1), t.TempDir()
	go func() {
		figures, err := runK6(t.Context(), stack, k6Settings{
			binary: k6, script: "browse.js", dir: dir, strategy: "stamped", url: "http://" + balancer.address(), token: token,
			rate: 150, duration: 12 * time.Second, traffic: &traffic{seed: 7, listings: 2000, hot: 500, cities: cities, writes: 0.1},
		})
		ended <- result{figures, err}
	}()
	replaced := 0
	for {
		next := replica()
		balancer.add(next)
		old := running[0]
		running = append(running[1:], next)
		terminate(t, balancer, old, preStop)
		select {
		case r := <-ended:
			if r.err != nil {
				t.Fatal(r.err)
			}
			if r.figures.Errors > 0 {
				t.Logf("k6 complained first: %s", complaint(t, filepath.Join(dir, "k6-stamped.log")))
			}
			return r.figures, replaced
		default:
			replaced++
		}
	}
}

// complaint returns the first lines of k6's log that tell of an answer that was missing or wrong.
func complaint(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, "level=error") || strings.Contains(line, "level=warning") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[:min(3, len(lines))], "")
}

// terminate does what happens to a Pod that is deleted: its endpoint goes everywhere, and meanwhile it waits and is then told to stop.
func terminate(t *testing.T, balancer *balancer, s *service, preStop time.Duration) {
	t.Helper()
	gone := make(chan struct{})
	lag := time.AfterFunc(endpointsLag, func() { balancer.remove(s); close(gone) })
	defer lag.Stop()
	time.Sleep(preStop)
	if preStop > endpointsLag {
		<-gone // however slow this machine is: that the one is over before the other is what the times are for
	}
	grace, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s.process.Stop(grace)
	balancer.remove(s)
	if code := s.process.State().ExitCode(); code != 0 {
		t.Errorf("a replica ended with code %d", code)
	}
}

// startReplica starts one of several services that know the same token.
func startReplica(ctx context.Context, stack *local.Stack, binary, dir, token string) (*service, error) {
	addresses, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "strata.log"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	s := &service{url: "http://" + addresses[0], admin: "http://" + addresses[1], token: token}
	command := exec.Command(binary, "serve")
	command.Stdout, command.Stderr = log, log
	command.Env = append(quietEnvironment(), "HTTP_ADDR="+addresses[0], "ADMIN_ADDR="+addresses[1], "DATABASE_URL="+stack.DatabaseURL,
		"DATABASE_POOL_SIZE=5", "REDIS_URL="+stack.RedisURL, "API_TOKENS="+allow("laboratory", token), "LOG_LEVEL=warn")
	if s.process, err = stack.Launch(command); err != nil {
		return nil, err
	}
	if err := s.ready(ctx); err != nil {
		return nil, fmt.Errorf("starting a replica: %w", err)
	}
	return s, nil
}

// balancer gives each new connection to one of the replicas in turn, as kube-proxy does: it knows nothing of requests, and connections that
// are open stay where they are.
type balancer struct {
	listener net.Listener
	open     sync.WaitGroup

	mu        sync.RWMutex // held by whoever connects, so that a replica that is removed gets no connection any more
	endpoints []string
	next      atomic.Int64
}

func newBalancer(t *testing.T) *balancer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &balancer{listener: listener}
	b.open.Go(func() {
		for {
			client, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				b.open.Go(func() { b.carry(client) })
			}
		}
	})
	t.Cleanup(func() { listener.Close(); b.open.Wait() })
	return b
}

func (b *balancer) address() string { return b.listener.Addr().String() }

func (b *balancer) add(s *service) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endpoints = append(b.endpoints, s.url[len("http://"):])
}

func (b *balancer) remove(s *service) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endpoints = slices.DeleteFunc(b.endpoints, func(e string) bool { return e == s.url[len("http://"):] })
}

// connect returns a connection to the next replica in turn.
func (b *balancer) connect() (net.Conn, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return net.Dial("tcp", b.endpoints[int(b.next.Add(1))%len(b.endpoints)])
}

func (b *balancer) carry(client net.Conn) {
	defer client.Close()
	server, err := b.connect()
	if err != nil {
		return // the client sees a connection that is closed at once
	}
	defer server.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(server, client)
		_ = server.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, server)
	client.Close()
	<-done
}
