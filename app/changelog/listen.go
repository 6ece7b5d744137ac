package changelog

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// probePrefix begins the payload of a notification that a feed sends to itself, and which wakes
// nobody.
const probePrefix = "probe:"

// probeWithin is how long the feed's own notification may take before the feed says that it hears
// nothing.
const probeWithin = time.Second

// listener hears the notifications of one connection. Behind a pooler there may be none: LISTEN
// belongs to a session, and there each statement may have another. So the feed sends itself one,
// and says whether it came.
type listener struct {
	probe    string
	sent     time.Time
	probed   bool // it came
	reported bool
	notified bool // a commit notified since the last poll began
}

func (l *listener) heard(payload string) {
	switch {
	case payload == l.probe:
		l.probed = true
	case !strings.HasPrefix(payload, probePrefix):
		l.notified = true
	}
}

func (l *listener) listen(ctx context.Context, conn *pgx.Conn) error {
	l.probe, l.sent = probePrefix+rand.Text(), time.Now()
	var process uint32
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&process); err != nil {
		return fmt.Errorf("looking at the feed's connection: %w", err)
	}
	if process != conn.PgConn().PID() { // a pooler would have somebody else's session listen
		return nil
	}
	if _, err := conn.Exec(ctx, `LISTEN strata_changes`); err != nil {
		return fmt.Errorf("listening for changes: %w", err)
	}
	if _, err := conn.Exec(ctx, `SELECT pg_notify('strata_changes', $1)`, l.probe); err != nil {
		return fmt.Errorf("trying whether notifications arrive: %w", err)
	}
	return nil
}

// report tells the observer once whether the probe came.
func (l *listener) report(o Observer) {
	if l.reported || !l.probed && time.Since(l.sent) < probeWithin {
		return
	}
	l.reported = true
	o.Listening(l.probed)
}
