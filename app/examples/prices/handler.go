package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/freshness"
)

// handler answers GET /flats/{id}. Whoever names a commit in the header Seen gets an answer that
// holds it.
func handler(flats *flats) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /flats/{id}", func(w http.ResponseWriter, r *http.Request) {
		id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
		if err != nil {
			http.Error(w, "the id is not a number", http.StatusBadRequest)
			return
		}
		if seen := r.Header.Get("Seen"); seen != "" {
			commit, err := freshness.ParseCommit(seen)
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			if !flats.ledger.Await(r.Context(), commit) {
				return // the client has left
			}
		}
		flat, err := flats.Get(r.Context(), id)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			http.NotFound(w, r)
		case err != nil:
			http.Error(w, "the database does not answer", http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(flat) // the client may have left
		}
	})
	return mux
}
