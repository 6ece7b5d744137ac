package witness

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/strata/deploy/local"
)

// schema is as much of the service's as a witness touches.
const schema = `
	CREATE TABLE listings (id bigint PRIMARY KEY, city text NOT NULL, status text NOT NULL, price_minor bigint NOT NULL,
		created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL DEFAULT now(), version bigint NOT NULL DEFAULT 1);
	CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
		NEW.version := OLD.version + 1;
		NEW.updated_at := clock_timestamp();
		RETURN NEW;
	END $$;
	CREATE TRIGGER touch BEFORE UPDATE ON listings FOR EACH ROW EXECUTE FUNCTION touch();
	INSERT INTO listings (id, city, status, price_minor, created_at)
	SELECT i, (ARRAY['porto', 'rome', 'oslo', 'nice'])[1 + i % 4], CASE WHEN i % 10 = 9 THEN 'sold' ELSE 'active' END, 100000 + i, '2026-01-01'::timestamptz + i * interval '1 h'
	FROM generate_series(1, 200) i`

// server answers as the service does, out of the database, but repeats each answer for a while.
type server struct {
	db     *pgxpool.Pool
	repeat time.Duration

	mu      sync.Mutex
	answers map[string]answer
}

type answer struct {
	body   []byte
	status int
	made   time.Time
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	kept, ok := s.answers[r.URL.String()]
	s.mu.Unlock()
	if !ok || time.Since(kept.made) >= s.repeat {
		kept = answer{made: time.Now(), status: http.StatusOK}
		sql, arg := question(r)
		if err := s.db.QueryRow(r.Context(), sql, arg).Scan(&kept.body); err != nil {
			kept.status = http.StatusInternalServerError
		}
		s.mu.Lock()
		s.answers[r.URL.String()] = kept
		s.mu.Unlock()
	}
	w.WriteHeader(kept.status)
	_, _ = w.Write(kept.body)
}

// question returns the query that answers a request in JSON.
func question(r *http.Request) (sql, arg string) {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	switch {
	case parts[1] == "cities":
		return `SELECT jsonb_build_object('updated_at', max(updated_at)) FROM listings WHERE city = $1`, parts[2]
	case len(parts) == 3:
		return `SELECT to_jsonb(l) FROM listings l WHERE id = $1::text::bigint`, parts[2]
	}
	return `SELECT jsonb_build_object('items', jsonb_agg(p)) FROM (
		SELECT id, version FROM listings WHERE city = $1 AND status = 'active' ORDER BY created_at DESC, id DESC LIMIT 20) p`, r.URL.Query().Get("city")
}

func TestWitnessFindsTheStalenessThatThereIsAndNoOther(t *testing.T) {
	stack, err := local.Start(t.Context(), local.Config{NoRedis: true, Log: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stack.Stop() })
	db, err := pgxpool.New(t.Context(), stack.OwnerURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if _, err := db.Exec(t.Context(), schema); err != nil {
		t.Fatal(err)
	}
	before := places(t, db)

	t.Run("a truthful service is never stale", func(t *testing.T) {
		verdict := witnessed(t, stack.OwnerURL, &server{db: db})
		for name, kind := range verdict.Kinds {
			if kind.Reads == 0 || len(kind.Stale) > 0 {
				t.Errorf("%s: %d of %d reads were found stale, the worst by %v; want none of some", name, len(kind.Stale), kind.Reads, kind.Worst())
			}
		}
	})
	t.Run("a service that repeats itself is stale for as long as it does", func(t *testing.T) {
		const repeat = 300 * time.Millisecond
		verdict := witnessed(t, stack.OwnerURL, &server{db: db, repeat: repeat})
		for name, kind := range verdict.Kinds {
			// It cannot be more: an answer that is repeated was made before the change that it misses.
			if worst := kind.Worst(); worst < repeat/2 || worst > repeat {
				t.Errorf("%s: %d of %d reads were found stale, the worst by %v; want between %v and %v", name, len(kind.Stale), kind.Reads, worst, repeat/2, repeat)
			}
		}
		if got, want := len(verdict.Stale()), len(verdict.Kinds[Listing].Stale)+len(verdict.Kinds[Page].Stale)+len(verdict.Kinds[Stats].Stale); got != want {
			t.Errorf("got %d stale reads in all, want %d", got, want)
		}
	})
	t.Run("listings end where they began", func(t *testing.T) {
		if after := places(t, db); after != before {
			t.Errorf("got %s, want %s", after, before)
		}
	})
	t.Run("failures are counted", func(t *testing.T) {
		broken := httptest.NewServer(http.NotFoundHandler())
		t.Cleanup(broken.Close)
		verdict := run(t, Config{DatabaseURL: stack.OwnerURL, ServiceURL: broken.URL, Cities: [2]string{"porto", "rome"}}, 200*time.Millisecond)
		if verdict.Errors == 0 || verdict.Reads() != 0 || !strings.Contains(verdict.LastError, "404") {
			t.Errorf("got %d errors, the last %q, and %d judged reads; want some about 404 and none", verdict.Errors, verdict.LastError, verdict.Reads())
		}
	})
	t.Run("cities without listings are refused", func(t *testing.T) {
		if _, err := Open(t.Context(), Config{DatabaseURL: stack.OwnerURL, Cities: [2]string{"atlantis", "ys"}}); err == nil || !strings.Contains(err.Error(), "atlantis") {
			t.Errorf("got %v, want an error that names the cities", err)
		}
	})
}

func witnessed(t *testing.T, ownerURL string, s *server) *Verdict {
	s.answers = make(map[string]answer)
	service := httptest.NewServer(s)
	t.Cleanup(service.Close)
	verdict := run(t, Config{
		DatabaseURL: ownerURL, ServiceURL: service.URL, Cities: [2]string{"porto", "rome"}, Listings: 3,
		WriteEvery: 60 * time.Millisecond, MoveEvery: 3, ListingEvery: 5 * time.Millisecond, PageEvery: 5 * time.Millisecond, StatsEvery: 5 * time.Millisecond,
	}, 3*time.Second)
	if verdict.Errors > 0 || verdict.Writes == 0 {
		t.Errorf("%d writes, %d errors, the last: %s", verdict.Writes, verdict.Errors, verdict.LastError)
	}
	return verdict
}

func run(t *testing.T, cfg Config, length time.Duration) *Verdict {
	w, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	verdict, err := w.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return verdict
}

func places(t *testing.T, db *pgxpool.Pool) string {
	var counts map[string]int
	var text []byte
	err := db.QueryRow(t.Context(), `SELECT jsonb_object_agg(city, n) FROM (SELECT city, count(*) AS n FROM listings GROUP BY city) c`).Scan(&text)
	if err == nil {
		err = json.Unmarshal(text, &counts)
	}
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(counts)
}
