package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// Scope is what a token allows.
type Scope string

// The scopes.
const (
	ScopeWrite  Scope = "listings:write"  // create, replace and change listings
	ScopeDelete Scope = "listings:delete" // delete listings
)

// Scopes returns all scopes.
func Scopes() []Scope { return []Scope{ScopeWrite, ScopeDelete} }

// Token is somebody's right to write. The token itself is not kept: its SHA-256 is as good to compare with, and whoever reads the configuration or the
// memory cannot write with it. Not bcrypt or its like: they make guessing passwords slow, and there is nothing to guess in 256 random bits; what they
// would do is hand everybody who sends nonsense 50 ms of this service's processor time.
type Token struct {
	Name   string // of its owner: in the log, and whose idempotency keys and rate it uses
	Scopes []Scope
	Hash   [sha256.Size]byte
}

// localToken is the name of the Fiber local that holds the *Token of who asks.
const localToken = "strata.token"

// authorize returns a handler that lets a request pass if it has a token with the scope.
func (s *Server) authorize(scope Scope) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if len(s.cfg.Tokens) == 0 {
			return &failure{status: 403, detail: "The service was configured without tokens, so nobody may write."}
		}
		token, err := s.tokenOf(c)
		if err != nil {
			if limited := s.limit(c, s.writeRate); limited != nil { // else whoever has no token could make us write a log line each
				return limited
			}
			return err
		}
		if !token.allows(scope) {
			return &failure{status: 403, slug: "insufficient-scope", detail: "The token lacks the scope " + string(scope) + ".",
				header: http.Header{"Www-Authenticate": {`Bearer realm="strata", error="insufficient_scope", scope="` + string(scope) + `"`}}}
		}
		return c.Next()
	}
}

func (t *Token) allows(scope Scope) bool { return slices.Contains(t.Scopes, scope) }

// mayWrite reports whether authorize would let a request with this header pass, if it is one that authorize stands before.
func (s *Server) mayWrite(h *fasthttp.RequestHeader) bool {
	switch string(h.Method()) {
	case fiber.MethodPost, fiber.MethodPut, fiber.MethodPatch, fiber.MethodDelete:
		token, err := s.tokenIn(h)
		return err == nil && token.allows(scopeOf(string(h.Method())))
	}
	return false
}

// tokenOf returns the token that the request has, or the failure of one that has none that is known.
func (s *Server) tokenOf(c *fiber.Ctx) (*Token, error) {
	if token, ok := c.Locals(localToken).(*Token); ok {
		return token, nil
	}
	token, err := s.tokenIn(&c.Request().Header)
	if err != nil {
		return nil, err
	}
	c.Locals(localToken, token)
	return token, nil
}

func (s *Server) tokenIn(h *fasthttp.RequestHeader) (*Token, error) {
	fields := h.PeekAll(fiber.HeaderAuthorization)
	if len(fields) > 1 {
		return nil, badHeader(fiber.HeaderAuthorization, "", "must be there once")
	}
	scheme, secret, _ := strings.Cut(string(h.Peek(fiber.HeaderAuthorization)), " ")
	secret = strings.TrimSpace(secret)
	if !strings.EqualFold(scheme, "Bearer") || secret == "" {
		return nil, &failure{status: 401, detail: "A write needs a bearer token.", header: http.Header{"Www-Authenticate": {`Bearer realm="strata"`}}}
	}
	token := s.find(secret)
	if token == nil {
		return nil, &failure{status: 401, detail: "The bearer token is not one that this service knows.",
			header: http.Header{"Www-Authenticate": {`Bearer realm="strata", error="invalid_token"`}}}
	}
	return token, nil
}

// find compares with all tokens in constant time, so that the time tells nothing about any.
func (s *Server) find(secret string) (found *Token) {
	hash := sha256.Sum256([]byte(secret))
	for i := range s.cfg.Tokens {
		if subtle.ConstantTimeCompare(hash[:], s.cfg.Tokens[i].Hash[:]) == 1 {
			found = &s.cfg.Tokens[i]
		}
	}
	return found
}
