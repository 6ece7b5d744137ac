package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"strconv"

	"github.com/gofiber/fiber/v2"

	"example.com/strata/app/freshness"
	"example.com/strata/app/listing"
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

func written(l listing.Listing, commit freshness.Commit) writtenOutput {
	return writtenOutput{ETag: etagOf(&l), Seen: seenOf(commit), Body: listingWire(l)}
}

// seenOf is what a reader names who has seen the effect of a transaction. Nothing was changed by none.
func seenOf(commit freshness.Commit) string {
	if commit.XID == 0 {
		return ""
	}
	return commit.String()
}

func (s *Server) createListing(ctx context.Context, c *fiber.Ctx) (*createdOutput, error) {
	if err := noQuery(c); err != nil {
		return nil, err
	}
	document, err := bodyOf(c, typeJSON)
	if err != nil {
		return nil, err
	}
	d, err := decodeDraft(document, nil)
	if err != nil {
		return nil, err
	}
	key, err := idempotencyKeyOf(c)
	if err != nil {
		return nil, err
	}
	l, commit, err := s.create(ctx, c, key, d)
	if err != nil {
		return nil, err
	}
	return &createdOutput{
		Location: "/v1/listings/" + strconv.FormatInt(l.ID, 10),
		ETag:     etagOf(&l), Seen: seenOf(commit), Body: listingWire(l),
	}, nil
}

// create stores a listing: whenever it is asked to, or with a key once.
func (s *Server) create(ctx context.Context, c *fiber.Ctx, key string, d listing.Draft) (l listing.Listing, commit freshness.Commit, err error) {
	if key == "" {
		l, commit, err = s.listings.Create(ctx, d)
		noteWritten(c, "created", l)
		return l, commit, err
	}
	token, err := s.tokenOf(c)
	if err != nil { // cannot happen: it was authorized by it
		return l, freshness.Commit{}, err
	}
	once := listing.Once{Owner: token.Name, Key: key, Request: sha256.Sum256(c.Request().Body())}
	l, commit, replayed, err := s.listings.CreateOnce(ctx, once, d)
	s.metrics.countOnce(replayed, err)
	outcome := "created"
	if replayed {
		outcome = "replayed"
	}
	noteWritten(c, outcome, l)
	return l, commit, err
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
	d, err := decodeDraft(document, nil)
	if err != nil {
		return nil, err
	}
	if !expected.given {
		return nil, &failure{status: 428, detail: "Replacing a listing needs If-Match with the ETag of what is replaced."}
	}
	l, commit, err := s.listings.Replace(ctx, id, expected.match(), d)
	noteWritten(c, "replaced", l)
	if err != nil {
		return nil, expected.judge(err)
	}
	out := written(l, commit)
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
	l, commit, err := s.listings.Patch(ctx, id, expected.match(), func(d listing.Draft) (listing.Draft, error) { return mergePatch(d, patch) })
	noteWritten(c, "changed", l)
	if err != nil {
		return nil, expected.judge(err)
	}
	out := written(l, commit)
	return &out, nil
}

func (s *Server) deleteListing(ctx context.Context, c *fiber.Ctx) (*deletedOutput, error) {
	id, expected, err := targetOf(c)
	if err != nil {
		return nil, err
	}
	commit, err := s.listings.Delete(ctx, id, expected.match())
	noteWritten(c, "deleted", listing.Listing{ID: id})
	if err != nil {
		return nil, expected.judge(err)
	}
	return &deletedOutput{Seen: seenOf(commit)}, nil
}

// targetOf returns which listing a write is about, and what the writer expects it to be.
func targetOf(c *fiber.Ctx) (int64, expectation, error) {
	if err := noQuery(c); err != nil {
		return 0, expectation{}, err
	}
	id, err := idOf(c)
	if err != nil {
		return 0, expectation{}, err
	}
	expected, err := parseIfMatch(joined(c, fiber.HeaderIfMatch))
	if err == nil && !expected.given && len(c.Request().Header.Peek(fiber.HeaderIfUnmodifiedSince)) > 0 {
		// With If-Match it is not looked at (RFC 9110, section 13.1.4). Alone it must not be ignored, and dates of whole seconds cannot tell two changes within one.
		err = badHeader(fiber.HeaderIfUnmodifiedSince, "", "is too coarse for a write: use If-Match with the ETag instead")
	}
	return id, expected, err
}

// joined returns a header field whose value is a list: fields of one name are one list (RFC 9110, section 5.3).
func joined(c *fiber.Ctx, name string) string {
	return string(bytes.Join(c.Request().Header.PeekAll(name), []byte(", ")))
}
