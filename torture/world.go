package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"example.com/strata/deploy/local"
)

const (
	replicaCount = 3
	listings     = 60
	token        = "torture"
)

var cities = []string{"alpha", "beta", "gamma"}

// world is a whole deployment, and what is known of its truth.
type world struct {
	stack    *local.Stack
	proxy    *proxy // what all connections to Postgres go through
	dir      string
	replicas [replicaCount]*replica
	truths   [listings + 1]history // by id
	prices   atomic.Int64
	writing  sync.RWMutex // held by whoever writes; a fault that takes something back holds it alone
	fault    atomic.Pointer[time.Time]
	plainSQL atomic.Bool // nobody writes by the API, which might write anew without having noticed a crash
	control  bool        // one write in a hundred takes back its line of the change log

	baseline float64 // the hit ratio before any harm
	tally    tally
	samples  atomic.Pointer[[]sample] // of the present phase
	mu       sync.Mutex
	suspects []suspect
}

// replica is one process of the service. Its address stays, whatever becomes of the process.
type replica struct {
	http, admin string
	mu          sync.Mutex
	process     *local.Process
}

func newWorld(ctx context.Context, binary, dir string, log func(string)) (*world, error) {
	stack, err := local.Start(ctx, local.Config{Log: log, PostgresSettings: map[string]string{"wal_level": "logical", "max_connections": "80"}})
	if err != nil {
		return nil, err
	}
	w := &world{stack: stack, dir: dir}
	w.prices.Store(1000)
	if err := w.prepare(ctx, binary); err != nil {
		return nil, fmt.Errorf("preparing: %w", err)
	}
	return w, nil
}

func (w *world) prepare(ctx context.Context, binary string) error {
	migrate := exec.CommandContext(ctx, binary, "migrate")
	migrate.Env = append(os.Environ(), "DATABASE_OWNER_URL="+w.stack.OwnerURL)
	if out, err := migrate.CombinedOutput(); err != nil {
		return fmt.Errorf("migrating: %w: %s", err, out)
	}
	u, err := url.Parse(w.stack.OwnerURL)
	if err != nil {
		return err
	}
	if w.proxy, err = newProxy(u.Host); err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, w.stack.OwnerURL)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, sql := range []string{
		`INSERT INTO cities (slug, name, region, country, latitude, longitude) SELECT c, c, 'North', 'AA', 10, 10 FROM unnest(ARRAY['alpha', 'beta', 'gamma']) c`,
		`INSERT INTO agents (name, email, phone) VALUES ('Ann', 'ann@example.com', '1')`,
		fmt.Sprintf(`INSERT INTO listings (title, description, city, type, offer, price_minor, currency, bedrooms, bathrooms, area_m2, latitude, longitude, amenities, status, agent_id)
			SELECT 'A flat', 'With a view.', (ARRAY['alpha', 'beta', 'gamma'])[1 + n %% 3], 'apartment', 'sale', n, 'EUR', 2, 1, 50, 10, 10, '{}', 'active', (SELECT min(id) FROM agents)
			FROM generate_series(1, %d) n`, listings),
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if err := w.settleAll(ctx, time.Now()); err != nil {
		return err
	}
	for i := range w.replicas {
		addresses, err := freeAddresses(2)
		if err != nil {
			return err
		}
		w.replicas[i] = &replica{http: addresses[0], admin: addresses[1]}
		if err := w.start(ctx, i, binary); err != nil {
			return err
		}
	}
	return w.ready(ctx)
}

// through returns a URL of Postgres by way of the proxy.
func (w *world) through(databaseURL string) string {
	u, _ := url.Parse(databaseURL)
	u.Host = w.proxy.address()
	return u.String()
}

// start starts the process of a replica.
func (w *world) start(_ context.Context, i int, binary string) error {
	r := w.replicas[i]
	log, err := os.OpenFile(filepath.Join(w.dir, fmt.Sprintf("strata-%d.log", i)), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	command := exec.Command(binary, "serve")
	command.Stdout, command.Stderr = log, log
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HTTP_ADDR=" + r.http, "ADMIN_ADDR=" + r.admin, "DATABASE_URL=" + w.through(w.stack.DatabaseURL), "REDIS_URL=" + w.stack.RedisURL,
		"DATABASE_POOL_SIZE=8", fmt.Sprintf("API_TOKENS=torture:listings:write:%x", sha256.Sum256([]byte(token))), "LOG_LEVEL=warn"}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.process, err = w.stack.Launch(command)
	return err
}

// ready waits until all replicas say that they are.
func (w *world) ready(ctx context.Context) error {
	for i, r := range w.replicas {
		if err := until(ctx, time.Minute, func() error {
			res, err := http.Get("http://" + r.admin + "/readyz")
			if err != nil {
				return err
			}
			_ = res.Body.Close()
			if res.StatusCode != http.StatusOK {
				return fmt.Errorf("replica %d says %s", i, res.Status)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}

// settleAll reads every row and notes it as the present state, which after a fault may be an earlier one.
func (w *world) settleAll(ctx context.Context, fault time.Time) error {
	return w.alone(ctx, fault, func() error { return nil })
}

// alone does something that takes commits back, while nobody writes, and notes what is there afterwards.
func (w *world) alone(ctx context.Context, fault time.Time, do func() error) error {
	w.writing.Lock()
	defer w.writing.Unlock()
	if err := do(); err != nil {
		return err
	}
	return until(ctx, time.Minute, func() error {
		conn, err := pgx.Connect(ctx, w.through(w.stack.OwnerURL))
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(ctx))
		rows, err := conn.Query(ctx, `SELECT id, price_minor, city FROM listings ORDER BY id FOR UPDATE`)
		if err != nil {
			return err
		}
		var id int64
		var s state
		found := make(map[int64]state)
		if _, err := pgx.ForEachRow(rows, []any{&id, &s.price, &s.city}, func() error { found[id] = s; return nil }); err != nil {
			return err
		}
		now := time.Now()
		for id, s := range found {
			w.truths[id].settle(s, fault, now)
		}
		return nil
	})
}

func (w *world) stop() error {
	err := w.stack.Stop()
	if w.proxy != nil {
		w.proxy.close()
	}
	return err
}

// until tries again and again, until do returns no error or the time is over.
func until(ctx context.Context, within time.Duration, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for {
		err := do()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", within, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func freeAddresses(n int) ([]string, error) {
	var addresses []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() //nolint:gocritic // not before all are found, so that they differ
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
