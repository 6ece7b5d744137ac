package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
)

// localWriter is the Fiber local that holds the name of who writes.
const localWriter = "strata.writer"

// writer is somebody who may write. Tokens are kept as hashes: all are then equally long, and a dump of the memory shows none.
type writer struct {
	name string
	hash [sha256.Size]byte
}

func writersOf(tokens map[string]string) []writer {
	var all []writer
	for _, name := range slices.Sorted(maps.Keys(tokens)) {
		all = append(all, writer{name, sha256.Sum256([]byte(tokens[name]))})
	}
	return all
}

// authorize lets a write pass if it has the token of a writer.
func (s *Server) authorize(c *fiber.Ctx) error {
	if len(s.writers) == 0 {
		return &failure{status: 403, detail: "The service was configured without tokens, so nobody may write."}
	}
	scheme, token, _ := strings.Cut(c.Get(fiber.HeaderAuthorization), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return &failure{status: 401, detail: "A write needs a bearer token.", header: http.Header{"Www-Authenticate": {`Bearer realm="strata"`}}}
	}
	name, ok := s.writerOf(token)
	if !ok {
		return &failure{status: 401, detail: "The bearer token is not one that this service knows.",
			header: http.Header{"Www-Authenticate": {`Bearer realm="strata", error="invalid_token"`}}}
	}
	c.Locals(localWriter, name)
	return c.Next()
}

// writerOf compares with all tokens in constant time, so that the time tells nothing about any.
func (s *Server) writerOf(token string) (name string, ok bool) {
	hash := sha256.Sum256([]byte(token))
	for i := range s.writers {
		if subtle.ConstantTimeCompare(hash[:], s.writers[i].hash[:]) == 1 {
			name, ok = s.writers[i].name, true
		}
	}
	return name, ok
}
