package httpapi

import (
	"net/http"
	"testing"
	"time"

	"example.com/strata/app/cache"
)

func TestPagesAreRevalidatedByTheirETag(t *testing.T) {
	s := newStoreless(t)
	etags := make(map[string]string)
	for _, path := range []string{"/openapi.json", "/docs", "/problems/invalid", "/problems/conflict"} {
		full := s.get(t, path)
		etag := full.header.Get("ETag")
		if full.status != http.StatusOK || full.body == "" || etag == "" || full.header.Get("Cache-Control") != "no-cache" {
			t.Fatalf("%s: status %d, %v", path, full.status, full.header)
		}
		if other, taken := etags[etag]; taken {
			t.Errorf("%s and %s share the ETag %s", path, other, etag)
		}
		etags[etag] = path
		for field, want := range map[string]int{
			etag: 304, "W/" + etag: 304, `"x", ` + etag: 304, "*": 304,
			`"x"`: 200, "x": 200, `"x` + etag: 200, etag[1 : len(etag)-1]: 200,
		} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				got := s.do(t, method, path, "", "If-None-Match", field)
				if got.status != want || got.header.Get("ETag") != etag {
					t.Errorf("%s %s with If-None-Match: %s: status %d, ETag %s, want %d", method, path, field, got.status, got.header.Get("ETag"), want)
				}
				if got.status == 304 && got.body != "" {
					t.Errorf("%s %s: 304 with a body", method, path)
				}
			}
		}
		if got := s.get(t, path, "If-Modified-Since", time.Now().UTC().Format(http.TimeFormat)); got.status != http.StatusOK {
			t.Errorf("%s has no date, and with If-Modified-Since status %d", path, got.status)
		}
	}
	if got := s.get(t, "/problems/none", "If-None-Match", "*"); got.status != http.StatusNotFound || got.header.Get("ETag") != "" {
		t.Errorf("a page that there is not: status %d, ETag %s", got.status, got.header.Get("ETag"))
	}
}

func TestAWriteOnConditionOfADateIsRefusedAndNotDoneWithoutIt(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	version := func() string { return s.get(t, "/v1/listings/1", "Accept-Encoding", "identity").header.Get("ETag") }
	etag := version()
	past := "Fri, 02 Jan 2015 15:04:05 GMT"
	for method, body := range map[string]string{"PUT": goodBody(t, nil), "PATCH": `{"price_minor": 77}`, "DELETE": ""} {
		p := s.write(t, method, "/v1/listings/1", body, "If-Unmodified-Since", past).problem(t)
		if p.Status != 400 || len(p.Errors) != 1 || p.Errors[0].Location != "header.If-Unmodified-Since" {
			t.Errorf("%s: %+v", method, p)
		}
	}
	if got := version(); got != etag {
		t.Errorf("the listing's ETag was %s, and is %s after writes that were refused", etag, got)
	}
	got := s.write(t, "PATCH", "/v1/listings/1", `{"price_minor": 77}`, "If-Unmodified-Since", past, "If-Match", etag)
	if got.status != http.StatusOK { // If-Match goes before it
		t.Errorf("beside If-Match: %d %s", got.status, got.body)
	}
}
