package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"example.com/strata/app/listing"
)

func TestEachErrorHasItsStatusAndVolume(t *testing.T) {
	const quiet = slog.Level(-100)
	for _, tt := range []struct {
		err    error
		status int
		level  slog.Level
	}{
		{listing.ErrNotFound, 404, quiet},
		{fmt.Errorf("reading: %w", listing.ErrNotFound), 404, quiet},
		{listing.ErrConflict, 409, quiet},
		{listing.ErrUnknownCity, 422, quiet},
		{listing.ErrUnknownAgent, 422, quiet},
		{listing.ErrCursor, 422, quiet},
		{listing.FieldErrors{{Field: "title", Message: "must be there"}}, 422, quiet},
		{listing.ErrUnavailable, 503, slog.LevelWarn},
		{context.Canceled, 503, slog.LevelWarn},
		{context.DeadlineExceeded, 504, slog.LevelWarn},
		{fmt.Errorf("%w: %w", context.DeadlineExceeded, errors.New("driver")), 504, slog.LevelWarn},
		{fiber.ErrNotFound, 404, quiet},
		{fiber.ErrMethodNotAllowed, 405, quiet},
		{fiber.ErrRequestTimeout, 408, quiet},
		{fiber.ErrRequestEntityTooLarge, 413, quiet},
		{fiber.ErrRequestURITooLong, 414, quiet},
		{fiber.ErrRequestHeaderFieldsTooLarge, 431, quiet},
		{fiber.ErrNotImplemented, 501, quiet},
		{fiber.ErrBadGateway, 500, slog.LevelError},
		{&panicked{value: "boom"}, 500, slog.LevelError},
		{errors.New("secret detail"), 500, slog.LevelError},
	} {
		f := failed(tt.err)
		level := quiet
		if f.cause != nil {
			level = f.level
		}
		if f.status != tt.status || level != tt.level {
			t.Errorf("%v: status %d at level %d, want %d at %d", tt.err, f.status, level, tt.status, tt.level)
		}
		model := f.model()
		if model.Status != tt.status || model.Title == "" || model.Detail == "" || model.Type != problemPath+cmp.Or(f.slug, kindOf(tt.status).slug) {
			t.Errorf("%v: not a whole problem: %+v", tt.err, model)
		}
		if f.status == 500 && regexp.MustCompile(`secret|boom|Gateway`).MatchString(fmt.Sprintf("%+v %v", model, model.Errors)) {
			t.Errorf("%v: the client is told of it: %+v", tt.err, model)
		}
	}
}

func TestEachStatusHasATypeOfProblemThatStandsForIt(t *testing.T) {
	slugs, seen := map[string]bool{}, map[int]bool{}
	for _, k := range kinds() {
		if slugs[k.slug] || k.title == "" || k.about == "" || !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(k.slug) {
			t.Errorf("type of problem %+v is incomplete or there twice", k)
		}
		if !seen[k.status] && kindOf(k.status) != k {
			t.Errorf("status %d has type %+v, want its first, %+v", k.status, kindOf(k.status), k)
		}
		if got := (&failure{status: k.status, slug: k.slug}).model(); got.Type != problemPath+k.slug || got.Status != k.status {
			t.Errorf("a failure of type %s is described as %+v", k.slug, got)
		}
		if kindNamed(k.slug) != k {
			t.Errorf("%s has type %+v, want %+v", k.slug, kindNamed(k.slug), k)
		}
		slugs[k.slug], seen[k.status] = true, true
	}
	if got := kindOf(418).status; got != 400 {
		t.Errorf("418 without a type of its own counts as %d, want 400", got)
	}
	if got := kindOf(507).status; got != 500 {
		t.Errorf("507 without a type of its own counts as %d, want 500", got)
	}
}

func TestErrorsOfHumaGetOurTypesAndTellNothingInternal(t *testing.T) {
	v, err := describeErrors(nil, "500", &huma.ErrorModel{Status: 500, Detail: "unexpected", Errors: []*huma.ErrorDetail{{Message: "secret"}}})
	model, ok := v.(*huma.ErrorModel)
	if err != nil || !ok || model.Type != "/problems/internal" || model.Errors != nil || model.Detail == "unexpected" {
		t.Errorf("a 500 became %+v, %v", v, err)
	}
	v, _ = describeErrors(nil, "422", &huma.ErrorModel{Status: 422, Detail: "validation failed", Errors: []*huma.ErrorDetail{{Message: "useful"}}})
	if model := v.(*huma.ErrorModel); model.Type != "/problems/invalid" || len(model.Errors) != 1 {
		t.Errorf("a 422 became %+v", model)
	}
	if v, _ := describeErrors(nil, "200", pageWire{}); v == nil {
		t.Error("an answer was lost")
	}
}

func TestIfMatchIsReadAsTheStandardSays(t *testing.T) {
	for field, want := range map[string]string{
		"":                "false false []",
		`*`:               "true true []",
		`"a7"`:            `true false ["a7"]`,
		`"a7-gzip"`:       `true false ["a7"]`, // of another form of the same state
		`"a7", "a8","a9"`: `true false ["a7" "a8" "a9"]`,
		`W/"a7"`:          `true false [W/"a7"]`, // weak tags never match in If-Match
		`"a,b", "a2"`:     `true false ["a,b" "a2"]`,
		`a7`:              "error",
		`"a7`:             "error",
		`"a7" "a8"`:       "error",
		`*, "a7"`:         "error",
		`garbage`:         "error",
	} {
		e, err := parseIfMatch(field)
		got := fmt.Sprintf("%v %v %v", e.given, e.any, e.tags)
		if err != nil {
			got = "error"
			if f := failed(err); f.status != http.StatusBadRequest {
				t.Errorf("If-Match %s: status %d", field, f.status)
			}
		}
		if got != want {
			t.Errorf("If-Match %s is read as %s, want %s", field, got, want)
		}
	}
}
