package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pb33f/libopenapi"
	validator "github.com/pb33f/libopenapi-validator"
	"github.com/pb33f/libopenapi-validator/config"

	"example.com/strata/app/cache"
)

// contract is the document at /openapi.json, as whoever checks answers against it reads it.
type contract struct {
	validator validator.Validator
	// operations holds, for each path's template and each method in lower case, the statuses that are documented.
	operations map[string]map[string][]string
}

// sharedContract is the contract of all services: their document is a constant of the program. A server of its own is asked for it, so that a
// test's counts only what the test does; it is read once, since that takes longer than most tests.
var sharedContract = sync.OnceValues(func() (*contract, error) {
	s, err := storeless(io.Discard)
	if err != nil {
		return nil, err
	}
	res, err := s.app.Test(httptest.NewRequest(http.MethodGet, "http://strata.test/openapi.json", nil), -1)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	document, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	return readContract(document)
})

func readContract(document []byte) (*contract, error) {
	parsed, err := libopenapi.NewDocument(document)
	if err != nil {
		return nil, err
	}
	// Strict: a member or a header field that the document does not name is refused too, though clients are told to expect some. Left out are maps,
	// which the mode takes for objects without members (their values are checked all the same), and the fields that every answer has, of whatever kind.
	v, errs := validator.NewValidator(parsed, config.WithFormatAssertions(), config.WithStrictMode(),
		config.WithStrictIgnorePaths("$.body.facets.*", "$.body.facets.*.*", "$.body.groups[*].price_minor.*", "$.body.groups[*].per_m2_minor.*"),
		config.WithStrictIgnoredHeadersExtra("Access-Control-Allow-Origin", "Access-Control-Expose-Headers", "Cross-Origin-Resource-Policy", "Referrer-Policy",
			"Timing-Allow-Origin", "X-Content-Type-Options", "Content-Security-Policy", "X-Frame-Options", "Strict-Transport-Security"))
	if len(errs) > 0 {
		return nil, errs[0]
	}
	var raw struct {
		Paths map[string]map[string]struct{ Responses map[string]any }
	}
	if err := json.Unmarshal(document, &raw); err != nil {
		return nil, err
	}
	c := &contract{v, make(map[string]map[string][]string)}
	for path, operations := range raw.Paths {
		c.operations[path] = make(map[string][]string)
		for method, operation := range operations {
			for status := range operation.Responses {
				c.operations[path][method] = append(c.operations[path][method], status)
			}
		}
	}
	return c, nil
}

// template returns the documented path that leads where this one does.
func (c *contract) template(path string) (string, bool) {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	for known := range c.operations {
		if slices.EqualFunc(strings.Split(known, "/"), parts, func(want, part string) bool { return want == part || want[:min(len(want), 1)] == "{" && part != "" }) {
			return known, true
		}
	}
	return "", false
}

// check returns what the document does not allow of an answer, whose body has no content coding. What it says nothing of, paths and methods
// that there are not, may only be answered with a problem.
func (c *contract) check(method, path string, got reply) error {
	template, known := c.template(path)
	if !known {
		return c.checkOther(method, path, got, 400, 404, 405, 501, 500)
	}
	statuses, known := c.operations[template][strings.ToLower(strings.Replace(method, "HEAD", "GET", 1))]
	if !known {
		return c.checkOther(method, path, got, 405, 501)
	}
	if !slices.Contains(statuses, strconv.Itoa(got.status)) {
		return fmt.Errorf("status %d of %s %s is not documented", got.status, method, template)
	}
	if method == http.MethodHead {
		return nil
	}
	return c.validate(method, template, got)
}

// checkOther is for what is no operation. All problems are alike, so one that an operation documents stands for it.
func (c *contract) checkOther(method, path string, got reply, statuses ...int) error {
	if got.status < http.StatusBadRequest && !strings.HasPrefix(path, "/v1") || method == http.MethodHead || method == http.MethodOptions && got.status == http.StatusNoContent {
		return nil // a page; no body; CORS
	}
	if !slices.Contains(statuses, got.status) {
		return fmt.Errorf("status %d of %s %s, which is no operation", got.status, method, path)
	}
	got.status = http.StatusInternalServerError
	return c.validate(http.MethodGet, "/v1/cities", got)
}

func (c *contract) validate(method, template string, got reply) error {
	url := strings.NewReplacer("{id}", "1", "{city}", "lisbon").Replace("http://strata.test" + template)
	res := &http.Response{StatusCode: got.status, Header: got.header.Clone(), Body: io.NopCloser(bytes.NewReader([]byte(got.body)))}
	if got.body == "" {
		res.Body = http.NoBody
	}
	valid, errs := c.validator.ValidateHttpResponse(httptest.NewRequest(method, url, nil), res)
	if valid {
		return nil
	}
	var text []string
	for _, e := range errs {
		text = append(text, e.Error())
		for _, s := range e.SchemaValidationErrors {
			text = append(text, s.Error())
		}
	}
	return fmt.Errorf("%s %s, status %d: %s\n%s", method, template, got.status, strings.Join(text, "; "), got.body)
}

// obeyed reports an answer that is not as the document says.
func obeyed(t testing.TB, method, path string, got reply) {
	t.Helper()
	c, err := sharedContract()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.check(method, path, got); err != nil {
		t.Errorf("against the contract: %v", err)
	}
}

func TestDescriptionIsValidOpenAPI31(t *testing.T) {
	c, err := sharedContract()
	if err != nil {
		t.Fatal(err)
	}
	if valid, errs := c.validator.ValidateDocument(); !valid {
		for _, e := range errs {
			t.Error(e)
		}
	}
}

// The negative control of obeyed.
func TestContractRefusesWhatItDoesNotAllow(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped})
	c, err := sharedContract()
	if err != nil {
		t.Fatal(err)
	}
	page, one, stats := "/v1/listings?limit=2&facets=type", "/v1/listings/7", "/v1/cities/lisbon/stats"
	for _, tt := range []struct {
		name, path string
		change     func(*reply)
		allowed    bool
	}{
		{"nothing", page, func(*reply) {}, true},
		{"nothing of one", one, func(*reply) {}, true},
		{"nothing of statistics", stats, func(*reply) {}, true},
		{"a number that is text", one, swap(`"version":1`, `"version":"1"`), false},
		{"a fraction", one, swap(`"bedrooms":3`, `"bedrooms":3.5`), false},
		{"a type that there is not", one, swap(`"type":"apartment"`, `"type":"castle"`), false},
		{"a member less", one, swap(`"title":"Flat 7",`, ``), false},
		{"a member more", one, swap(`{`, `{"colour":"red",`), false},
		{"a member more, deep down", page, swap(`"items":[{`, `"items":[{"colour":"red",`), false},
		{"null", page, func(r *reply) { r.body = `{"items":null}` }, false},
		{"a list", one, func(r *reply) { r.body = "[" + r.body + "]" }, false},
		{"cut off", one, func(r *reply) { r.body = r.body[:20] }, false},
		{"no body", one, func(r *reply) { r.body = "" }, false},
		{"another type of content", one, func(r *reply) { r.header.Set("Content-Type", "text/plain") }, false},
		{"a status of another operation", one, func(r *reply) { r.status = 201 }, false},
		{"a status of none", one, func(r *reply) { r.status = 418 }, false},
		{"a listing as a problem", one, func(r *reply) { r.status, r.header = 404, http.Header{"Content-Type": {problemType}} }, false},
		{"a path that there is not", "/v1/listings/7/photos", func(r *reply) { r.status = 200 }, false},
		{"the problem of such a path", "/v1/listings/7/photos", func(*reply) {}, true},
		{"a problem with a member more", "/v1/nothing", swap(`{`, `{"stack":"main.go",`), false},
	} {
		got := s.get(t, tt.path)
		before := got.body
		tt.change(&got)
		if err := c.check(http.MethodGet, tt.path, got); (err == nil) != tt.allowed {
			t.Errorf("%s: allowed %v, want %v (%v)\n%s", tt.name, err == nil, tt.allowed, err, before)
		}
	}
}

// swap replaces a part of the body that must be there.
func swap(old, with string) func(*reply) {
	return func(r *reply) {
		if !strings.Contains(r.body, old) {
			panic(fmt.Sprintf("no %s in %s", old, r.body))
		}
		r.body = strings.Replace(r.body, old, with, 1)
	}
}
