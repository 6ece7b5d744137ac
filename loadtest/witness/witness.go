package witness

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Config says what to witness. Zero values of the times mean the defaults.
type Config struct {
	DatabaseURL string    // as a role that may change listings, but not the one that the service uses
	ServiceURL  string    // such as http://127.0.0.1:8080
	Cities      [2]string // slugs; listings are changed in them, and move from one to the other and back
	Listings    int       // how many; 2

	WriteEvery   time.Duration // between two changes of any listing; 1 s
	MoveEvery    int           // every so many changes of a listing it moves; 4
	ListingEvery time.Duration // between two reads of each listing; 40 ms
	PageEvery    time.Duration // between two reads of each listing's pages; 40 ms
	StatsEvery   time.Duration // between two reads of each listing's statistics; 250 ms, for they are expensive
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&c.WriteEvery, time.Second)
	set(&c.ListingEvery, 40*time.Millisecond)
	set(&c.PageEvery, 40*time.Millisecond)
	set(&c.StatsEvery, 250*time.Millisecond)
	if c.MoveEvery <= 0 {
		c.MoveEvery = 4
	}
	if c.Listings <= 0 {
		c.Listings = 2
	}
	return c
}

// errTooFewListings is returned where there is nothing to witness.
var errTooFewListings = errors.New("there are not enough active listings")

// Witness watches a service. It is for one use: Open, Run, Close.
type Witness struct {
	cfg     Config
	db      *pgx.Conn
	http    *http.Client
	targets []*target
	notes   *notes
}

// target is a listing that is changed and watched.
type target struct {
	id      int64
	home    string // where it was found
	history history
	writes  int
}

// Open connects to the database and chooses the listings: the newest active ones of the two cities, so that each is on the first page of
// either. The caller closes the witness.
func Open(ctx context.Context, cfg Config) (*Witness, error) {
	db, err := pgx.Connect(ctx, cfg.DatabaseURL)
	if err != nil {
		return nil, fmt.Errorf("connecting the witness: %w", err)
	}
	w := &Witness{
		cfg: cfg.withDefaults(), db: db, notes: newNotes(),
		http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	if err := w.choose(ctx); err != nil {
		w.Close()
		return nil, fmt.Errorf("choosing listings in %s and %s: %w", cfg.Cities[0], cfg.Cities[1], err)
	}
	return w, nil
}

func (w *Witness) choose(ctx context.Context) error {
	const sql = `
		SELECT id, city, version, updated_at FROM listings
		WHERE status = 'active' AND city = ANY ($1)
		ORDER BY created_at DESC, id DESC LIMIT $2`
	rows, err := w.db.Query(ctx, sql, w.cfg.Cities[:], w.cfg.Listings)
	if err != nil {
		return err
	}
	var id int64
	var first change
	_, err = pgx.ForEachRow(rows, []any{&id, &first.city, &first.version, &first.updated}, func() error {
		first.acked = time.Now()
		w.targets = append(w.targets, &target{id: id, home: first.city, history: history{changes: []change{first}}})
		return nil
	})
	if err == nil && len(w.targets) < w.cfg.Listings {
		err = errTooFewListings
	}
	return err
}

// Close closes the connections.
func (w *Witness) Close() {
	w.db.Close(context.Background()) // nothing is lost with a connection that only read and committed
	w.http.CloseIdleConnections()
}

// Run changes and reads until ctx ends, puts the listings back where they were, and returns what it saw. An error means
// that it could not go on changing.
func (w *Witness) Run(ctx context.Context) (*Verdict, error) {
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return w.write(running) })
	for _, t := range w.targets {
		// The two pages take turns, so that a listing's leaving is watched as closely as its arrival.
		page := 0
		for _, read := range []struct {
			every time.Duration
			once  func(context.Context) error
		}{
			{w.cfg.ListingEvery, func(ctx context.Context) error { return w.readListing(ctx, t) }},
			{w.cfg.PageEvery, func(ctx context.Context) error { page++; return w.readPage(ctx, t, w.cfg.Cities[page%2]) }},
			{w.cfg.StatsEvery, func(ctx context.Context) error { return w.readStats(ctx, t, t.history.city()) }},
		} {
			group.Go(func() error {
				pace(running, read.every, func() {
					if err := read.once(running); err != nil && running.Err() == nil {
						w.notes.failed(err)
					}
				})
				return nil
			})
		}
	}
	err := group.Wait()
	return w.notes.close(), errors.Join(err, w.restore(context.WithoutCancel(ctx)))
}

// write changes one listing after the other.
func (w *Witness) write(ctx context.Context) error {
	var failure error
	turn := 0
	pace(ctx, w.cfg.WriteEvery, func() {
		if failure != nil {
			return
		}
		t := w.targets[turn%len(w.targets)]
		turn++
		if err := w.change(ctx, t); err != nil && ctx.Err() == nil {
			failure = err
		}
	})
	return failure
}

// change changes the listing's price, and now and then its city.
func (w *Witness) change(ctx context.Context, t *target) error {
	const sql = `UPDATE listings SET price_minor = price_minor + $2, city = $3 WHERE id = $1 RETURNING version, updated_at`
	step, city := int64(100), t.history.city()
	if t.writes%2 == 1 {
		step = -100
	}
	t.writes++
	if t.writes%w.cfg.MoveEvery == 0 {
		city = other(w.cfg.Cities, city)
	}
	t.history.begin(city)
	var version int64
	var updated time.Time
	if err := w.db.QueryRow(ctx, sql, t.id, step, city).Scan(&version, &updated); err != nil {
		return fmt.Errorf("changing listing %d: %w", t.id, err)
	}
	t.history.ack(version, updated, time.Now()) // a statement outside a transaction is committed when it has answered
	w.notes.wrote()
	return nil
}

// restore puts each listing back into its city.
func (w *Witness) restore(ctx context.Context) error {
	const sql = `UPDATE listings SET city = $2 WHERE id = $1 AND city <> $2`
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if w.db.IsClosed() { // an interrupted statement closes its connection
		db, err := pgx.Connect(ctx, w.cfg.DatabaseURL)
		if err != nil {
			return fmt.Errorf("moving listings back: %w", err)
		}
		w.db = db
	}
	for _, t := range w.targets {
		if _, err := w.db.Exec(ctx, sql, t.id, t.home); err != nil {
			return fmt.Errorf("moving listing %d back: %w", t.id, err)
		}
	}
	return nil
}

func other(cities [2]string, city string) string {
	if city == cities[0] {
		return cities[1]
	}
	return cities[0]
}

// pace calls do about every so often until ctx ends. It varies the time between, so that it does not beat with anything periodic
// in the service.
func pace(ctx context.Context, every time.Duration, do func()) {
	timer := time.NewTimer(time.Duration(rand.Float64() * float64(every)))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		next := time.Now().Add(time.Duration((0.75 + rand.Float64()/2) * float64(every)))
		do()
		timer.Reset(time.Until(next))
	}
}
