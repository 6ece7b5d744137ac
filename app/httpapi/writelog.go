package httpapi

import (
	"log/slog"

	"github.com/gofiber/fiber/v2"

	"example.com/strata/app/listing"
)

// localNote is the name of the Fiber local that holds the *note of a write.
const localNote = "strata.note"

// note is what a write leaves for the log: what was done to which listing. The writer's name, the request's id and its trace stand in the log beside it.
type note struct {
	outcome     string // created, replayed, replaced, changed, deleted, or the type of problem that it ended with
	id, version int64  // of the listing; 0 where there is none
}

// logged writes one line about each write, also about one that was refused. It stands in front of everything that may refuse it.
func (s *Server) logged(c *fiber.Ctx) error {
	var n note
	if id, ok := parseID(c.Params("id")); ok {
		n.id = id
	}
	c.Locals(localNote, &n)
	err := c.Next()
	status := c.Response().StatusCode()
	if err != nil {
		f := failed(err)
		n.outcome, status = f.kind().slug, f.status
	}
	writer := ""
	if token, ok := c.Locals(localToken).(*Token); ok {
		writer = token.Name
	}
	s.tel.Log.LogAttrs(c.UserContext(), slog.LevelInfo, "write",
		slog.String("writer", writer), slog.String("method", methods[methodIndex(c.Method())]), slog.Int64("listing", n.id),
		slog.Int64("version", n.version), slog.String("outcome", n.outcome), slog.Int("status", status))
	return err
}

// noteWritten notes what a write did, if it does not fail.
func noteWritten(c *fiber.Ctx, outcome string, l listing.Listing) {
	if n, ok := c.Locals(localNote).(*note); ok && l.ID != 0 {
		n.outcome, n.id, n.version = outcome, l.ID, l.Version
	}
}

// noteProblem notes what a write ended with.
func noteProblem(c *fiber.Ctx, f *failure) {
	if n, ok := c.Locals(localNote).(*note); ok {
		n.outcome, n.version = f.kind().slug, 0
	}
}
