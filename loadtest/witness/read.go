package witness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// shown is of a listing what the witness looks at.
type shown struct {
	ID      int64 `json:"id"`
	Version int64 `json:"version"`
}

func (w *Witness) readListing(ctx context.Context, t *target) error {
	var l shown
	started := time.Now()
	if err := w.get(ctx, fmt.Sprintf("/v1/listings/%d", t.id), &l); err != nil {
		return err
	}
	w.notes.judged(Listing, t.history.listing(l.Version, started), true)
	return nil
}

func (w *Witness) readPage(ctx context.Context, t *target, city string) error {
	var page struct {
		Items []shown `json:"items"`
	}
	started := time.Now()
	if err := w.get(ctx, "/v1/listings?city="+city, &page); err != nil { // the newest first is the default
		return err
	}
	at := slices.IndexFunc(page.Items, func(l shown) bool { return l.ID == t.id })
	if at < 0 {
		stale, ok := t.history.absent(city, started)
		w.notes.judged(Page, stale, ok)
		return nil
	}
	w.notes.judged(Page, t.history.present(page.Items[at].Version, started), true)
	return nil
}

func (w *Witness) readStats(ctx context.Context, t *target, city string) error {
	var stats struct {
		UpdatedAt time.Time `json:"updated_at"`
	}
	started := time.Now()
	if err := w.get(ctx, "/v1/cities/"+city+"/stats", &stats); err != nil {
		return err
	}
	stale, ok := t.history.stats(city, stats.UpdatedAt, started)
	w.notes.judged(Stats, stale, ok)
	return nil
}

// get reads a JSON answer.
func (w *Witness) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, w.cfg.ServiceURL+path, nil)
	if err != nil {
		return err
	}
	answer, err := w.http.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, answer.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}
