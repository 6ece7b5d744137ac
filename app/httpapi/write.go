package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"

	"strata/app/freshness"
	"strata/app/listing"
)

const (
	typeJSON       = "application/json"
	typeMergePatch = "application/merge-patch+json"
)

type createdOutput struct {
	Location string `header:"Location" doc:"The listing's path"`
	ETag     string `header:"ETag" doc:"Strong; for If-Match"`
	Seen     string `header:"Strata-Seen" doc:"The write's transaction. A read that carries this field is sure to see the write"`
	Body     listingWire
}

type writtenOutput struct {
	ETag string `header:"ETag" doc:"Strong; for If-Match"`
	Seen string `header:"Strata-Seen" doc:"The write's transaction. A read that carries this field is sure to see the write"`
	Body listingWire
}

type deletedOutput struct {
	Seen string `header:"Strata-Seen" doc:"The write's transaction. A read that carries this field is sure to see the write"`
}

func written(l listing.Listing, xid freshness.XID) writtenOutput {
	return writtenOutput{ETag: etagOf(l.Version), Seen: xid.String(), Body: listingWire(l)}
}

func (s *Server) createListing(ctx context.Context, c *fiber.Ctx) (*createdOutput, error) {
	if err := noQuery(c); err != nil {
		return nil, err
	}
	document, err := bodyOf(c, typeJSON)
	if err != nil {
		return nil, err
	}
	d, err := decodeDraft(document)
	if err != nil {
		return nil, err
	}
	l, xid, err := s.listings.Create(ctx, d)
	if err != nil {
		return nil, err
	}
	s.logWrite(ctx, c, l.ID)
	return &createdOutput{
		Location: "/v1/listings/" + strconv.FormatInt(l.ID, 10),
		ETag:     etagOf(l.Version), Seen: xid.String(), Body: listingWire(l),
	}, nil
}

func (s *Server) replaceListing(ctx context.Context, c *fiber.Ctx) (*writtenOutput, error) {
	id, expected, err := targetOf(c)
	if err != nil {
		return nil, err
	}
	document, err := bodyOf(c, typeJSON)
	if err != nil {
		return nil, err
	}
	d, err := decodeDraft(document)
	if err != nil {
		return nil, err
	}
	var out writtenOutput
	err = expected.try(func(version int64) error {
		l, xid, err := s.listings.Replace(ctx, id, version, d)
		out = written(l, xid)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.logWrite(ctx, c, id)
	return &out, nil
}

func (s *Server) patchListing(ctx context.Context, c *fiber.Ctx) (*writtenOutput, error) {
	id, expected, err := targetOf(c)
	if err != nil {
		return nil, err
	}
	patch, err := bodyOf(c, typeMergePatch, typeJSON)
	if err != nil {
		return nil, err
	}
	var out writtenOutput
	err = expected.try(func(version int64) error {
		l, xid, err := s.listings.Patch(ctx, id, version, func(d listing.Draft) (listing.Draft, error) { return mergePatch(d, patch) })
		out = written(l, xid)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.logWrite(ctx, c, id)
	return &out, nil
}

func (s *Server) deleteListing(ctx context.Context, c *fiber.Ctx) (*deletedOutput, error) {
	id, expected, err := targetOf(c)
	if err != nil {
		return nil, err
	}
	var out deletedOutput
	err = expected.try(func(version int64) error {
		xid, err := s.listings.Delete(ctx, id, version)
		out.Seen = xid.String()
		return err
	})
	if err != nil {
		return nil, err
	}
	s.logWrite(ctx, c, id)
	return &out, nil
}

// logWrite tells the log who wrote.
func (s *Server) logWrite(ctx context.Context, c *fiber.Ctx, id int64) {
	if !s.tel.Log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	name, _ := c.Locals(localWriter).(string)
	s.tel.Log.DebugContext(ctx, "listing written", "method", methods[methodIndex(c.Method())], "listing", id, "writer", name)
}

// targetOf returns which listing a write is about, and which versions of it the writer expects.
func targetOf(c *fiber.Ctx) (int64, expectation, error) {
	if err := noQuery(c); err != nil {
		return 0, expectation{}, err
	}
	id, err := idOf(c)
	if err != nil {
		return 0, expectation{}, err
	}
	expected, err := parseIfMatch(c.Get(fiber.HeaderIfMatch))
	return id, expected, err
}

// bodyOf reads the request's body, which must be a JSON object of one of the types.
func bodyOf(c *fiber.Ctx, types ...string) (map[string]json.RawMessage, error) {
	media, _, _ := strings.Cut(c.Get(fiber.HeaderContentType), ";")
	media = strings.ToLower(strings.TrimSpace(media))
	allowed := false
	for _, t := range types {
		allowed = allowed || media == t
	}
	if !allowed {
		return nil, &failure{status: 415, detail: "Content-Type must be " + strings.Join(types, " or ") + "."}
	}
	// Fiber would decompress, without a limit: what it takes for 1 MiB is no small thing to find out.
	if coding := c.Get(fiber.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, &failure{status: 415, detail: "The body must not be compressed."}
	}
	var document map[string]json.RawMessage
	if err := json.Unmarshal(c.Request().Body(), &document); err != nil || document == nil {
		detail := &huma.ErrorDetail{Location: "body", Message: "must be a JSON object"}
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			detail.Message = "must be JSON: " + syntax.Error() + " at byte " + strconv.FormatInt(syntax.Offset, 10)
		}
		return nil, &failure{status: 400, detail: "The body cannot be read.", errors: []*huma.ErrorDetail{detail}}
	}
	return document, nil
}
