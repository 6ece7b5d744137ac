// Command run is `make run`: the service on a private Postgres and a private Redis, filled with made-up listings, until Ctrl-C.
// The service's environment variables hold here, too; those of the databases are set.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"example.com/strata/deploy/local"
)

const (
	startTimeout = 30 * time.Second // of the service, until it is ready
	drainTimeout = 15 * time.Second // of the service, to finish its requests
)

// config is what the command line says.
type config struct {
	strata   string // path of the program
	listings int
}

func main() {
	var cfg config
	flag.StringVar(&cfg.strata, "strata", "bin/strata", "path of the service's program")
	flag.IntVar(&cfg.listings, "listings", 100_000, "how many listings to make up")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	context.AfterFunc(ctx, stop) // the second Ctrl-C ends us at once; the databases go all the same
	if err := run(ctx, cfg); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "run:", err)
		os.Exit(1)
	}
}

// run returns when ctx ends or something fails, with nothing left behind.
func run(ctx context.Context, cfg config) (err error) {
	say("Starting a private Postgres and a private Redis ...")
	stack, err := startStack(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stack.Stop()) }()
	say("Postgres %s, %s.", stack.PostgresVersion, stack.RedisVersion)

	token := rand.Text()
	env := append(os.Environ(),
		"DATABASE_URL="+stack.DatabaseURL, "DATABASE_OWNER_URL="+stack.OwnerURL, "REDIS_URL="+stack.RedisURL,
		fmt.Sprintf("API_TOKENS=demo:listings:write+listings:delete:%x", sha256.Sum256([]byte(token))), "STRATA_LAB=true", "LOG_FORMAT="+cmp.Or(os.Getenv("LOG_FORMAT"), "text"))
	launch := func(args ...string) (*local.Process, error) {
		cmd := exec.Command(cfg.strata, args...)
		cmd.Env, cmd.Stdout, cmd.Stderr = env, os.Stdout, os.Stderr
		return stack.Launch(cmd)
	}
	for _, step := range [][]string{{"migrate"}, {"seed", "--listings", strconv.Itoa(cfg.listings)}} {
		process, err := launch(step...)
		if err != nil {
			return err
		}
		if err := wait(ctx, process); err != nil {
			return fmt.Errorf("%s %s: %w", cfg.strata, step[0], err)
		}
	}

	service, err := launch("serve")
	if err != nil {
		return err
	}
	if err := ready(ctx, service); err != nil {
		return fmt.Errorf("%s serve: %w", cfg.strata, err)
	}
	welcome(stack, token)
	err = wait(ctx, service)
	if ctx.Err() != nil {
		say("\nStopping ...")
	}
	return err
}

// startStack starts a Stack that ends with ctx only until it is there: later, the service is to end before its databases do.
func startStack(ctx context.Context) (*local.Stack, error) {
	starting, cancel := context.WithCancel(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, cancel)
	defer release()
	return local.Start(starting, local.Config{Log: func(line string) { say("%s", line) }})
}

// wait waits for the process to end. When ctx ends, it ends the process.
func wait(ctx context.Context, process *local.Process) error {
	select {
	case <-process.Done():
		return process.Wait()
	case <-ctx.Done():
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
		defer cancel()
		process.Stop(patience)
		return ctx.Err()
	}
}

// ready returns when the service says that it is.
func ready(ctx context.Context, service *local.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for !answers(ctx, "http://"+adminAddr()+"/readyz") {
		select {
		case <-again.C:
		case <-service.Done():
			return service.Wait()
		case <-ctx.Done():
			return fmt.Errorf("waiting until it is ready: %w", ctx.Err())
		}
	}
	return nil
}

func answers(ctx context.Context, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK
}

func welcome(stack *local.Stack, token string) {
	api := "http://" + cmp.Or(os.Getenv("HTTP_ADDR"), "127.0.0.1:8080")
	say(`
API        %[1]s (reference: %[1]s/docs)
Metrics    http://%[2]s/metrics
Postgres   %[3]s
Redis      %[4]s

Ask twice, and see in Cache-Status where the answer comes from. Change the listing, and ask again:

  curl -i %[1]s/v1/listings/1
  curl -i '%[1]s/v1/cities/lisbon/stats' -H 'Strata-Strategy: ttl'
  curl -i -X PATCH %[1]s/v1/listings/1 -H 'Authorization: Bearer %[5]s' -H 'Content-Type: application/merge-patch+json' -d '{"price_minor": 12345600}'

Ctrl-C stops everything and removes it.
`, api, adminAddr(), stack.SuperuserURL, stack.RedisURL, token)
}

func adminAddr() string { return cmp.Or(os.Getenv("ADMIN_ADDR"), "127.0.0.1:8081") }

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
