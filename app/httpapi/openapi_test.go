package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
	"example.com/strata/app/ratelimit"
	"example.com/strata/app/telemetry"
	"example.com/strata/app/viewcache"
)

// newStoreless returns a server for what needs no database.
func newStoreless(t testing.TB) *Server {
	t.Helper()
	s, err := storeless(t.Output())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func storeless(log io.Writer) (*Server, error) {
	tel, err := telemetry.New(context.Background(), telemetry.Config{}, log)
	if err != nil {
		return nil, err
	}
	ledger := freshness.NewLedger(freshness.Config{})
	layers := cache.Open(cache.Config{}, ledger)
	var nowhere struct{ listing.Store } // not a stand-in: whoever asks it gets a nil dereference
	return New(Config{}, listing.NewService(nowhere, layers, ledger), viewcache.New(viewcache.Config{}, layers, tel), layers, ledger, ratelimit.New(nil, tel), tel), nil
}

func TestDescriptionIsTheGoldenOne(t *testing.T) {
	const golden = "testdata/openapi.json"
	got := newStoreless(t).get(t, "/openapi.json")
	if got.status != http.StatusOK || got.header.Get("Content-Type") != typeJSON {
		t.Fatalf("status %d, Content-Type %q", got.status, got.header.Get("Content-Type"))
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(got.body), "", "  "); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, indented.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(indented.String(), string(want)); diff != "" {
		t.Errorf("the API's description changed; if it should, run the test with -update. Got before want:\n%s", diff)
	}
}

func TestDescriptionPromisesLists(t *testing.T) {
	body := newStoreless(t).get(t, "/openapi.json").body
	if strings.Contains(body, `["array","null"]`) {
		t.Error("some list may be null, says the description")
	}
	if regexp.MustCompile(`[a-z]Wire`).MatchString(body) {
		t.Error("the description shows names of our code")
	}
}

func TestPagesNeedNothingFromElsewhere(t *testing.T) {
	s := newStoreless(t)
	for path, want := range map[string]string{"/docs": "/v1/cities/{city}/stats", "/problems/not-found": "404"} {
		page := s.get(t, path)
		if page.status != http.StatusOK || !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") || !strings.Contains(page.body, want) {
			t.Errorf("%s: status %d, Content-Type %q, or %q is not in it", path, page.status, page.header.Get("Content-Type"), want)
		}
		if found := regexp.MustCompile(`(?i)<script|<link|<img|@import|https?://|url\(`).FindString(page.body); found != "" {
			t.Errorf("%s reaches outside: %s", path, found)
		}
	}
	if got := s.get(t, "/problems/boredom"); got.status != http.StatusNotFound {
		t.Errorf("an invented type of problem has status %d", got.status)
	}
}
