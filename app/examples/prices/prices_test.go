package main

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/strata/app/changelog"
	"example.com/strata/deploy/local"
)

func TestNoReaderSeesAnOldValueWhoeverWrites(t *testing.T) {
	stack, err := local.Start(t.Context(), local.Config{Log: func(line string) { t.Log(line) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stack.Stop() })
	url, _, err := stack.CreateDatabase(t.Context(), "prices")
	if err != nil {
		t.Fatal(err)
	}
	writer, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(context.Background())
	if err := install(t.Context(), writer); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Exec(t.Context(), `INSERT INTO agencies VALUES (1, 'a0'); INSERT INTO flats SELECT g, 't0', 1 FROM generate_series(1, 3) g;
		INSERT INTO prices SELECT g, 0 FROM generate_series(1, 3) g`); err != nil {
		t.Fatal(err)
	}

	var replicas []http.Handler // of one Redis
	for range 2 {
		pool, err := pgxpool.New(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		flats, err := openFlats(pool, stack.RedisURL)
		if err != nil {
			t.Fatal(err)
		}
		defer flats.close()
		ctx, stop := context.WithCancel(context.Background())
		var following sync.WaitGroup
		following.Go(func() { _ = flats.follow(ctx) })
		defer func() { stop(); following.Wait() }()
		replicas = append(replicas, handler(flats))
	}

	want := map[int64]*Flat{}
	for id := range int64(3) {
		want[id+1] = &Flat{ID: id + 1, Title: "t0", Agency: "a0"}
	}
	write := func(sql string, args ...any) (commit string) {
		if err := writer.QueryRow(t.Context(), sql+` RETURNING `+changelog.Commit, args...).Scan(&commit); err != nil {
			t.Fatal(err)
		}
		return commit
	}
	for i := range 300 {
		id, text := 1+rand.Int64N(3), "x"+string(rune('a'+i%26))
		var commit string
		switch i % 10 {
		case 0:
			commit = write(`UPDATE agencies SET name = $1`, text)
			for _, flat := range want {
				flat.Agency = text
			}
		case 1:
			commit = write(`UPDATE flats SET title = $1 WHERE id = $2`, text, id)
			want[id].Title = text
		default:
			commit = write(`UPDATE prices SET amount = $1 WHERE flat = $2`, i, id)
			want[id].Amount = int64(i)
		}
		for _, replica := range replicas {
			for id, flat := range want {
				r := httptest.NewRequest(http.MethodGet, "/flats/"+string(rune('0'+id)), nil)
				r.Header.Set("Seen", commit)
				w := httptest.NewRecorder()
				replica.ServeHTTP(w, r)
				var got Flat
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got != *flat {
					t.Fatalf("write %d: %+v (%v), want %+v", i, got, err, *flat)
				}
			}
		}
	}
	w := httptest.NewRecorder()
	replicas[0].ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/flats/9", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("a flat that is not there: status %d", w.Code)
	}
}
