package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
)

// writers is how many write at once. Each has listings of its own, so that it knows what they were.
const writers = 4

// write changes listings until ctx ends: by plain SQL mostly, and by the API, whose writer reads its write at another replica.
func (w *world) write(ctx context.Context, n int, rng *rand.Rand) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			_ = conn.Close(context.Background())
		}
	}()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		id := int64(1 + n + writers*rng.IntN(listings/writers))
		w.writing.RLock()
		conn = w.change(ctx, n, conn, client, id, rng)
		w.writing.RUnlock()
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(20 * time.Millisecond)):
		}
	}
}

// change makes one write and finds out what became of it. It returns the connection to go on with.
func (w *world) change(ctx context.Context, n int, conn *pgx.Conn, client *http.Client, id int64, rng *rand.Rand) *pgx.Conn {
	next := w.truths[id].present()
	next.price = w.prices.Add(1)
	if rng.IntN(4) == 0 {
		next.city = cities[rng.IntN(len(cities))]
	}
	began := time.Now()
	w.truths[id].begin(next, began)
	if rng.IntN(4) == 0 && !w.plainSQL.Load() {
		if w.patch(ctx, client, id, next, rng) {
			return conn
		}
	} else if w.update(ctx, conn, id, next, rng) == nil {
		w.truths[id].settle(next, began, time.Now())
		w.tally.commits.Add(1)
		return conn
	}
	return w.findOut(ctx, n, conn, began)
}

func (w *world) update(ctx context.Context, conn *pgx.Conn, id int64, next state, rng *rand.Rand) error {
	if conn == nil {
		return context.Canceled
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if rng.IntN(4) == 0 { // the id long before the change
		if _, err := tx.Exec(ctx, `SELECT pg_current_xact_id(), pg_sleep($1)`, rng.Float64()*0.01); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE listings SET price_minor = $2, city = $3 WHERE id = $1`, id, next.price, next.city); err != nil {
		return err
	}
	if w.control && rng.IntN(100) == 0 {
		if _, err := tx.Exec(ctx, `DELETE FROM change_log WHERE xid = pg_current_xact_id()`); err != nil {
			return err
		}
	}
	return tx.Commit(ctx)
}

// patch writes by the API, and then reads at another replica what it wrote. It returns false if it is not known what became of the write.
func (w *world) patch(ctx context.Context, client *http.Client, id int64, next state, rng *rand.Rand) bool {
	at := rng.IntN(replicaCount)
	body, _ := json.Marshal(map[string]any{"price_minor": next.price, "city": next.city})
	req, _ := http.NewRequestWithContext(ctx, http.MethodPatch, fmt.Sprintf("http://%s/v1/listings/%d", w.replicas[at].http, id), bytes.NewReader(body))
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/merge-patch+json")
	began := time.Now()
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return false
	}
	acked := time.Now()
	w.truths[id].settle(next, began, acked)
	w.tally.commits.Add(1)
	w.readBack(ctx, client, id, (at+1)%replicaCount, res.Header.Get("Strata-Seen"), acked)
	return true
}

func (w *world) readBack(ctx context.Context, client *http.Client, id int64, at int, seen string, acked time.Time) {
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s/v1/listings/%d", w.replicas[at].http, id), nil)
	req.Header.Set("Strata-Seen", seen)
	res, err := client.Do(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	var got struct {
		PriceMinor int64 `json:"price_minor"`
		City       string
	}
	if res.StatusCode != http.StatusOK || isStale(res.Header.Get("Cache-Status")) || json.NewDecoder(res.Body).Decode(&got) != nil {
		return
	}
	w.tally.ownWrites.Add(1)
	w.judge(suspect{kind: "own write", id: id, state: state{got.PriceMinor, got.City}, asOf: acked, end: time.Now(), detail: res.Header.Get("Cache-Status")})
}

// findOut waits for the database and asks for all rows of a writer, behind any transaction of it that is still under way.
func (w *world) findOut(ctx context.Context, n int, conn *pgx.Conn, began time.Time) *pgx.Conn {
	if at := w.fault.Load(); at != nil && at.Before(began) {
		began = *at
	}
	for ctx.Err() == nil {
		if conn != nil {
			_ = conn.Close(context.WithoutCancel(ctx))
		}
		var err error
		if conn, err = w.reconnect(ctx, n, began); err == nil {
			return conn
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return conn
}

func (w *world) reconnect(ctx context.Context, n int, began time.Time) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, w.through(w.stack.OwnerURL))
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, `SELECT id, price_minor, city FROM listings WHERE (id - 1) % $1 = $2 FOR UPDATE`, writers, n)
	if err != nil {
		return conn, err
	}
	var id int64
	var s state
	found := make(map[int64]state)
	if _, err := pgx.ForEachRow(rows, []any{&id, &s.price, &s.city}, func() error { found[id] = s; return nil }); err != nil {
		return conn, err
	}
	now := time.Now()
	for id, s := range found {
		w.truths[id].settle(s, began, now)
	}
	return conn, nil
}
