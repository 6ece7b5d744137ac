package changelog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"example.com/strata/app/freshness"
)

// Config holds the settings of a Feed. Zero values mean the defaults.
type Config struct {
	Interval    time.Duration // between polls when nothing wakes the feed; 100 ms: the bound on an answer's age if notifications get lost
	MinInterval time.Duration // between polls at least; 2 ms: a burst of commits is one poll, and a reader with an invented transaction id cannot make more
	Retention   time.Duration // of the change log; 1 h. Must be longer than any entry lives, that of another process included
	PruneEvery  time.Duration // 1 min
	Timeout     time.Duration // of one look at the log; 10 s
	MaxHistory  int           // rows of the log that are read back at the start; 50,000. Older entries of other processes are misses
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		value     *time.Duration
		byDefault time.Duration
	}{
		{&c.Interval, 100 * time.Millisecond}, {&c.MinInterval, 2 * time.Millisecond},
		{&c.Retention, time.Hour}, {&c.PruneEvery, time.Minute}, {&c.Timeout, 10 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.byDefault
		}
	}
	if c.MaxHistory <= 0 {
		c.MaxHistory = 50_000
	}
	return c
}

// Connect opens a connection to the primary and makes it call onNotification with the payload of
// each notification that it receives. The feed closes it.
type Connect func(ctx context.Context, onNotification func(payload string)) (*pgx.Conn, error)

// Dialer returns a Connect that opens connections with these settings.
func Dialer(settings *pgx.ConnConfig) Connect {
	return func(ctx context.Context, onNotification func(payload string)) (*pgx.Conn, error) {
		cc := settings.Copy()
		cc.OnNotification = func(_ *pgconn.PgConn, n *pgconn.Notification) { onNotification(n.Payload) }
		conn, err := pgx.ConnectConfig(ctx, cc)
		if err != nil {
			return nil, fmt.Errorf("connecting to the database: %w", err)
		}
		return conn, nil
	}
}

// Observer is told what a feed does, from the feed's goroutine.
type Observer interface {
	Polled(Polled)        // the ledger was told what a poll brought
	Interrupted(error)    // the connection broke; the feed goes on over another one
	Watched([]Problem)    // what keeps changes from being logged; the ledger is blind until there is none
	Listening(heard bool) // whether the notifications that wake the feed arrive
	PruningFailed(error)  // the log was not shortened
}

// Polled is what one poll brought.
type Polled struct {
	Reset   freshness.Reset
	Epoch   freshness.Epoch
	Floor   freshness.XID
	Changes []Change
	First   bool // the changes are those of the past, read back at the start
}

// Change is a row of the change log as a poll reads it.
type Change struct {
	freshness.Change
	Origin string        // the writer's application_name
	Lag    time.Duration // since it was logged, by the database's clock
}

// Feed reads the change log into a ledger. A poll is the difference of two snapshots: it brings
// every row that became visible since the poll before, whatever the order of commits, once, and
// waits for nobody.
type Feed struct {
	cfg      Config
	connect  Connect
	ledger   *freshness.Ledger
	observer Observer

	// Of the poll before; the zero epoch before the first.
	epoch    freshness.Epoch
	snapshot freshness.Snapshot
	blind    bool // changes may go unlogged in this epoch
}

// NewFeed returns a feed that fills the ledger while it runs. The observer may be nil.
func NewFeed(cfg Config, connect Connect, ledger *freshness.Ledger, observer Observer) *Feed {
	if observer == nil {
		observer = unobserved{}
	}
	return &Feed{cfg: cfg.withDefaults(), connect: connect, ledger: ledger, observer: observer}
}

// Run feeds the ledger until ctx ends. It survives the loss of its connection: the next poll
// continues from the snapshot of the last, so nothing is missed, only late. It returns nil.
func (f *Feed) Run(ctx context.Context) error {
	var both errgroup.Group
	both.Go(func() error { f.prune(ctx); return nil })
	const firstPause, longestPause = 50 * time.Millisecond, time.Second
	pause := firstPause
	for ctx.Err() == nil {
		began := time.Now()
		err := f.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		f.observer.Interrupted(err)
		if time.Since(began) > longestPause {
			pause = firstPause
		}
		sleep(ctx, pause)
		pause = min(2*pause, longestPause)
	}
	return both.Wait()
}

// follow polls over one connection until it breaks or ctx ends.
func (f *Feed) follow(ctx context.Context) error {
	l := &listener{}
	conn, err := f.connect(ctx, l.heard)
	if err != nil {
		return err
	}
	defer closeConn(conn)
	if err := l.listen(ctx, conn); err != nil {
		return err
	}
	for {
		began := time.Now()
		l.notified = false // whoever sent one had committed, so this poll brings it
		again, err := f.poll(ctx, conn)
		if err != nil {
			return err
		}
		sleep(ctx, f.cfg.MinInterval-time.Since(began))
		if again || l.notified {
			continue
		}
		l.report(f.observer)
		if err := f.wait(ctx, conn, began); err != nil {
			return err
		}
	}
}

// wait returns when a commit notifies, when somebody wants a poll, or when Interval has passed
// since the last one began.
func (f *Feed) wait(ctx context.Context, conn *pgx.Conn, began time.Time) error {
	waiting, cancel := context.WithDeadline(ctx, began.Add(f.cfg.Interval))
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-f.ledger.Wanted():
			cancel()
		case <-waiting.Done():
		}
	}()
	err := conn.PgConn().WaitForNotification(waiting)
	cancel()
	<-done
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && conn.IsClosed() { // else it was only the end of waiting
		return fmt.Errorf("waiting for a change: %w", err)
	}
	return nil
}

// prune shortens the log now and then. Whichever replica comes first does it for all.
func (f *Feed) prune(ctx context.Context) {
	for sleep(ctx, f.cfg.PruneEvery); ctx.Err() == nil; sleep(ctx, f.cfg.PruneEvery) {
		if err := f.pruneOnce(ctx); err != nil && ctx.Err() == nil {
			f.observer.PruningFailed(err)
		}
	}
}

func (f *Feed) pruneOnce(ctx context.Context) error {
	conn, err := f.connect(ctx, func(string) {})
	if err != nil {
		return err
	}
	defer closeConn(conn)
	_, err = Prune(ctx, conn, f.cfg.Retention)
	return err
}

// errStandby: what is in progress on the primary, a standby cannot say.
var errStandby = errors.New("the feed's server is a standby, which does not know what is in progress on its primary")

// sleep returns after d or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// closeConn says goodbye to the server, but not for long: it may be what broke.
func closeConn(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	_ = conn.Close(ctx)
}

type unobserved struct{}

func (unobserved) Polled(Polled)       {}
func (unobserved) Interrupted(error)   {}
func (unobserved) Watched([]Problem)   {}
func (unobserved) Listening(bool)      {}
func (unobserved) PruningFailed(error) {}
