package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"example.com/strata/deploy/local"
)

// service is a running process of the service under test.
type service struct {
	process *local.Process
	url     string // of the API
	admin   string // of the admin port
	token   string // that allows writes
}

// startService starts a fresh process with a strategy and returns when it is ready. Its log goes to dir.
func startService(ctx context.Context, stack *local.Stack, binary, strategy, dir string, ttl time.Duration) (*service, error) {
	addresses, err := freeAddresses(2)
	if err != nil {
		return nil, err
	}
	logPath := filepath.Join(dir, "strata-"+strategy+".log")
	log, err := os.Create(logPath)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	s := &service{url: "http://" + addresses[0], admin: "http://" + addresses[1], token: rand.Text()}
	command := exec.Command(binary, "serve")
	command.Stdout, command.Stderr = log, log
	command.Env = append(quietEnvironment(),
		"HTTP_ADDR="+addresses[0], "ADMIN_ADDR="+addresses[1], "DATABASE_URL="+stack.DatabaseURL, "REDIS_URL="+stack.RedisURL,
		"AUDIT_INTERVAL=0", // its queries would be charged to the strategy
		"STRATA_STRATEGY="+strategy, "STRATA_TTL="+ttl.String(), "API_TOKENS="+allow("laboratory", s.token), "LOG_LEVEL=warn")
	if s.process, err = stack.Launch(command); err != nil {
		return nil, fmt.Errorf("starting the service: %w", err)
	}
	if err := s.ready(ctx); err != nil {
		s.stop()
		return nil, fmt.Errorf("starting the service with strategy %s: %w; its log: %s", strategy, err, logPath)
	}
	return s, nil
}

// allow returns the setting that lets whoever has the token change listings: the service is told a hash only.
func allow(name, token string) string {
	return fmt.Sprintf("%s:listings:write:%x", name, sha256.Sum256([]byte(token)))
}

// ready returns when the service says that it is ready.
func (s *service) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	last := errors.New("it does not answer")
	for {
		select {
		case <-s.process.Done():
			return fmt.Errorf("it ended with code %d", s.process.State().ExitCode())
		case <-ctx.Done():
			return last
		case <-again.C:
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.admin+"/readyz", nil)
		if err != nil {
			return err
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			continue
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
		last = fmt.Errorf("it is not ready: %s", answer.Status)
	}
}

// stop ends the service in an orderly way, if it takes no more than 10 s.
func (s *service) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s.process.Stop(ctx)
}

// runCommand runs a command of the service's binary to its end.
func runCommand(ctx context.Context, binary string, environment []string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, binary, args...)
	command.Env = append(quietEnvironment(), environment...)
	out, err := command.CombinedOutput()
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(binary), strings.Join(args, " "), err, lines[len(lines)-1])
	}
	return strings.TrimSpace(string(out)), nil
}

// freeAddresses returns loopback addresses that nobody listens on.
func freeAddresses(n int) ([]string, error) {
	addresses := make([]string, 0, n)
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("looking for a free port: %w", err)
		}
		defer listener.Close() // not before all are found, so that they differ
		addresses = append(addresses, listener.Addr().String())
	}
	return addresses, nil
}
