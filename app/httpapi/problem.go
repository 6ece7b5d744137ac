package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"example.com/strata/app/cache"
	"example.com/strata/app/listing"
)

const (
	problemPath = "/problems/"
	problemType = "application/problem+json"
)

// kind is a type of problem. There is one for each status, and some for what deserves a type of its own; the URI of each can be looked up.
type kind struct {
	status int
	slug   string // the last part of the type's URI
	title  string
	about  string // what it means and what a client can do
}

// slugCursor is the type of problem that sends a client back to the first page.
const slugCursor = "invalid-cursor"

// slugInternal is the type of problem of an error that nothing is known of.
const slugInternal = "internal"

// kinds lists all types of problem. The first of a status stands for it. Statuses that have none are as bad a request as the first, or internal.
func kinds() []kind {
	return []kind{
		{400, "bad-request", "The request cannot be understood", "It is not HTTP, its body is not JSON, or a header field does not have the form that it must have. Sending it again as it is will not help."},
		{401, "unauthorized", "A bearer token is needed", "Writes need the field Authorization: Bearer followed by a token that this service was configured with."},
		{403, "writes-disabled", "Writes are switched off", "The service was configured without tokens, so nobody may write."},
		{403, "insufficient-scope", "The token does not allow this", "The token is known, and lacks the scope that WWW-Authenticate names."},
		{404, "not-found", "There is no such thing", "The path leads nowhere, or the listing or city that it names does not exist."},
		{405, "method-not-allowed", "The method is not allowed here", "The field Allow of the answer lists the methods that are."},
		{406, "not-acceptable", "No form of the answer is acceptable", "Accept-Encoding refuses identity, and with it gzip, br and zstd: there is no other form. Leave the field out, or name one of them."},
		{408, "request-timeout", "The request took too long to arrive", "Send it faster, or in a smaller form."},
		{409, "conflict", "Somebody else changed it at the same time", "The change was not made. Read the listing and try again."},
		{409, "referred", "Something else claims it or refers to it", "A constraint that the database's owner has added forbids the change while other rows are as they are."},
		{409, "request-in-progress", "A request with this Idempotency-Key is under way", "Its answer is not known yet. Send the request again after what Retry-After says, with the same key and body."},
		{412, "precondition-failed", "It is not what the request expects it to be", "The listing has changed since the ETag in If-Match was issued. Read it, decide anew, and try again."},
		{413, "content-too-large", "The body is too large", "A body may have 1 MiB."},
		{414, "uri-too-long", "The URL is too long", "Path and query may have 2,048 bytes."},
		{415, "unsupported-media-type", "The body has the wrong type", "Bodies are application/json, those of PATCH also application/merge-patch+json, and none is compressed."},
		{422, "invalid", "Some values are not valid", "The member errors lists every one: where it is and what it must be."},
		{422, "refused", "The database refuses these values", "They have the form that the API asks for, and break a constraint or a rule that the database's owner has added, or cannot be stored. The log of the service names it."},
		{422, slugCursor, "The cursor is not one of this search", "A cursor goes on where a page of the very same search and order ended, and cannot be made or changed by a client. Begin again with the first page: leave the parameter out."},
		{422, "idempotency-mismatch", "The Idempotency-Key was used for another request", "The same token has sent it with another body. Nothing was done. A new request needs a new key; a retry has the same body, byte by byte."},
		{428, "precondition-required", "The request must say what it replaces", "A PUT needs If-Match with the ETag of the listing that its sender has seen, so that nobody's change is overwritten unseen."},
		{429, "rate-limited", "The client asks too often", "The fields RateLimit-Policy and RateLimit say how often it may. Try again after what Retry-After says."},
		{431, "header-too-large", "The header is too large", "All header fields and the request line together may have 8 KiB."},
		{501, "not-implemented", "The method is unknown", "The service does not know this method for any resource."},
		{503, "unavailable", "The service cannot answer now", "The database cannot be reached and no cached answer may stand in for it. The field Retry-After says when to try again."},
		{503, "overloaded", "The service has too much to do", "As many connections are open, or reads of the database under way, as it may have. This one was turned away rather than made to wait. Try again after what Retry-After says."},
		{503, "busy", "Other changes are in the way", "The database gave others precedence, each of several times. Nothing was done. Try again after what Retry-After says."},
		{503, "read-only", "The database takes no changes at present", "It is a standby, or somebody holds it, during a move to another server say. Reads work. Try again after what Retry-After says."},
		{503, "exhausted", "The database has run out of something", "Of disk, memory or connections; the log of the service says of what. Nothing was done. Try again after what Retry-After says."},
		{503, "setup", "The database is not set up as the service needs", "Its schema, its rights or its credentials are not what this release expects. Whoever runs the service finds in its log what is missing. Try again after what Retry-After says."},
		{504, "timeout", "The answer took too long", "The database did not answer in time. A read can be tried again; of a write look first whether it happened."},
		{500, slugInternal, "Something went wrong here", "The log of the service knows more. It is not the request's fault."},
		{500, "database-fault", "The database reports a fault of its own", "It could not compute the answer from what it holds, or found its storage damaged. The log of the service has its words."},
	}
}

// kindOf returns the type of problem for a status that no more is known of.
func kindOf(status int) kind {
	for _, k := range kinds() {
		if k.status == status {
			return k
		}
	}
	if status < http.StatusInternalServerError {
		return kinds()[0]
	}
	return kindNamed(slugInternal)
}

// kindNamed returns the type of problem with that slug.
func kindNamed(slug string) kind {
	all := kinds()
	return all[slices.IndexFunc(all, func(k kind) bool { return k.slug == slug })]
}

// failure is an error as its client will read it.
type failure struct {
	status int
	slug   string // of the type of problem; empty: that of the status
	detail string
	errors []*huma.ErrorDetail
	header http.Header // more for the answer's header; nil mostly
	level  slog.Level  // of the log, for failures that are ours; others are not logged
	cause  error       // for the log
}

// Error is the detail.
func (f *failure) Error() string { return f.detail }

// failed turns any error into what the client is told of it, and how loud the log is. What it does not know is a 500 that tells nothing.
func failed(err error) *failure {
	var known *failure
	var fields listing.FieldErrors
	var fromFiber *fiber.Error
	var broke *panicked
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &fields):
		return invalid(detailsOf(fields)...)
	case errors.Is(err, listing.ErrUnknownCity):
		return invalid(&huma.ErrorDetail{Location: "body.city", Message: "must be the slug of a city that exists"})
	case errors.Is(err, listing.ErrUnknownAgent):
		return invalid(&huma.ErrorDetail{Location: "body.agent_id", Message: "must be the id of an agent that exists"})
	case errors.Is(err, listing.ErrCursor):
		f := invalid(&huma.ErrorDetail{Location: "query.cursor", Message: mustBeCursor})
		f.slug = slugCursor
		return f
	case errors.Is(err, listing.ErrNotFound):
		return &failure{status: 404, detail: "What the path names does not exist."}
	case errors.Is(err, listing.ErrKeyReused):
		return &failure{status: 422, slug: "idempotency-mismatch", detail: "This Idempotency-Key came with another body before."}
	case errors.Is(err, listing.ErrInProgress):
		return &failure{status: 409, slug: "request-in-progress", detail: "A request with this Idempotency-Key is under way.", header: http.Header{"Retry-After": {"1"}}}
	case errors.Is(err, cache.ErrOverloaded):
		return &failure{status: 503, slug: "overloaded", detail: "Too many reads of the database are under way.", header: http.Header{"Retry-After": {"1"}}}
	case errors.Is(err, listing.ErrConflict):
		return &failure{status: 409, detail: "The listing was changed by somebody else at the same time."}
	}
	if f := failedInDatabase(err); f != nil {
		return f
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return &failure{status: 504, detail: "The answer was not ready in time.", level: slog.LevelWarn, cause: err}
	case errors.Is(err, context.Canceled):
		return &failure{status: 503, detail: "The database cannot be reached.", header: http.Header{"Retry-After": {"1"}}, level: slog.LevelWarn, cause: err}
	case errors.As(err, &broke):
		return &failure{status: 500, level: slog.LevelError, cause: broke}
	case errors.As(err, &fromFiber) && fromFiber.Code < 500, errors.Is(err, fiber.ErrNotImplemented):
		return &failure{status: fromFiber.Code}
	}
	return &failure{status: 500, level: slog.LevelError, cause: err}
}

// failedInDatabase is failed for what the database itself had to say, or nil. What only whoever runs it can mend is an error in the log.
func failedInDatabase(err error) *failure {
	for _, known := range []struct {
		is     error
		status int
		slug   string
		level  slog.Level
	}{
		{listing.ErrRefused, 422, "refused", slog.LevelWarn},
		{listing.ErrReferred, 409, "referred", slog.LevelWarn},
		{listing.ErrBusy, 503, "busy", slog.LevelWarn},
		{listing.ErrReadOnly, 503, "read-only", slog.LevelWarn},
		{listing.ErrExhausted, 503, "exhausted", slog.LevelError},
		{listing.ErrSetup, 503, "setup", slog.LevelError},
		{listing.ErrUnavailable, 503, "unavailable", slog.LevelWarn},
		{listing.ErrFault, 500, "database-fault", slog.LevelError},
	} {
		if !errors.Is(err, known.is) || errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		f := &failure{status: known.status, slug: known.slug, level: known.level, cause: err, detail: kindNamed(known.slug).about}
		if f.status == http.StatusServiceUnavailable {
			f.header = http.Header{"Retry-After": {"1"}}
		}
		return f
	}
	return nil
}

func invalid(details ...*huma.ErrorDetail) *failure {
	f := &failure{status: 422, errors: details, detail: "One value is not valid."}
	if len(details) != 1 {
		f.detail = "Several values are not valid."
	}
	return f
}

func detailsOf(fields listing.FieldErrors) []*huma.ErrorDetail {
	details := make([]*huma.ErrorDetail, len(fields))
	for i, f := range fields {
		details[i] = &huma.ErrorDetail{Location: "body." + f.Field, Message: f.Message}
	}
	return details
}

// badHeader is the failure of a request whose header field cannot be understood. The value may be Fiber's buffer.
func badHeader(name, value, must string) *failure {
	return &failure{status: 400, detail: "A header field is malformed.",
		errors: []*huma.ErrorDetail{{Location: "header." + name, Message: must, Value: shown(value)}}}
}

// shown is the part of a bad value that an error says, copied: it may be long, and may be Fiber's buffer. It goes no further than model.
func shown(value string) string {
	const most = 100
	return strings.ToValidUTF8(strings.Clone(value[:min(len(value), most)]), "\uFFFD")
}

// kind returns the type of problem.
func (f *failure) kind() kind {
	if f.slug != "" {
		return kindNamed(f.slug)
	}
	return kindOf(f.status)
}

func (f *failure) model() *huma.ErrorModel {
	k := f.kind()
	model := &huma.ErrorModel{Type: problemPath + k.slug, Title: k.title, Status: f.status, Detail: f.detail}
	for _, e := range f.errors {
		model.Errors = append(model.Errors, &huma.ErrorDetail{Location: location(e.Location), Message: e.Message})
	}
	if model.Detail == "" {
		model.Detail = k.about
	}
	return model
}

// location returns where an error is, as a problem says it. The sender's own values are not in problems, and of its names only those that
// could be ours: a document that repeats what it was sent is a tool for whoever makes somebody else send it.
func location(text string) string {
	where, name, _ := strings.Cut(text, ".")
	odd := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("_-.[]", r)
	}
	if len(name) > 64 || strings.ContainsFunc(name, odd) {
		return where
	}
	return text
}

// log tells the log of a failure that is ours.
func (s *Server) log(ctx context.Context, f *failure) {
	if f.cause == nil {
		return
	}
	attrs := []slog.Attr{slog.Int("status", f.status), slog.Any("error", f.cause)}
	var broke *panicked
	if errors.As(f.cause, &broke) {
		attrs = append(attrs, slog.String("stack", string(broke.stack)))
	}
	s.tel.Log.LogAttrs(ctx, f.level, "request failed", attrs...)
}

// writeError makes an error the response, for what happens outside huma.
func (s *Server) writeError(c *fiber.Ctx, err error) {
	f := failed(err)
	s.log(c.UserContext(), f)
	for name, values := range f.header {
		c.Set(name, values[0])
	}
	c.Response().ResetBody()
	body, err := encode(f.model())
	if err != nil { // cannot happen: the model is plain
		f.status = fiber.StatusInternalServerError
	}
	c.Status(f.status).Response().SetBodyRaw(body)
	c.Set(fiber.HeaderContentType, problemType)
	c.Response().Header.Del(fiber.HeaderETag)
}

// humaError makes an error one that huma writes as we do.
func (s *Server) humaError(ctx context.Context, c *fiber.Ctx, err error) error {
	f := failed(err)
	s.log(ctx, f)
	noteProblem(c, f)
	if errors.Is(err, cache.ErrOverloaded) {
		c.Locals(localOverloaded, refusedLoads)
	}
	if f.header != nil {
		return huma.ErrorWithHeaders(f.model(), f.header)
	}
	return f.model()
}

// describeErrors gives the errors that huma itself makes our types.
func describeErrors(_ huma.Context, _ string, v any) (any, error) {
	if model, ok := v.(*huma.ErrorModel); ok && model.Type == "" {
		ours := (&failure{status: model.Status, detail: model.Detail, errors: model.Errors}).model()
		if model.Status >= http.StatusInternalServerError {
			ours.Errors, ours.Detail = nil, kindOf(model.Status).about
		}
		return ours, nil
	}
	return v, nil
}

// encode is JSON as huma writes it.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
