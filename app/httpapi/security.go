package httpapi

import (
	"encoding/hex"
	"math/rand/v2"

	"github.com/gofiber/fiber/v2"
	"github.com/gofiber/fiber/v2/utils"
	"github.com/valyala/fasthttp"

	"example.com/strata/app/telemetry"
)

// headerRequestID names a request in the log. A client may choose it, so that its log and ours can be laid side by side.
const headerRequestID = "X-Request-Id"

// The header fields of every answer. They never change, so they are one field to fasthttp, whose value goes on in lines of its own: a hit then pays for one
// field rather than for each. fasthttp writes what it is given here as it is; whoever passes it anything but these constants writes a response of their own.
//
// Nothing here depends on who asks, so that any web page may read what anybody may read; without credentials, which reads do not look at. What follows is not for
// answers to writes: no page elsewhere has business with them, and their preflight fails.
var (
	headerSecurity = []byte(fiber.HeaderXContentTypeOptions)
	headerEcho     = []byte(headerRequestID)
	securityBase   = []byte("nosniff\r\nReferrer-Policy: no-referrer\r\nCross-Origin-Resource-Policy: ")
	securityWrite  = append(securityBase[:len(securityBase):len(securityBase)], "same-origin"...)
	securityRead   = append(securityBase[:len(securityBase):len(securityBase)],
		"cross-origin\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: *\r\nTiming-Allow-Origin: *"...)
)

// secure adds the header fields that every answer has.
func secure(h *fasthttp.ResponseHeader, read bool) {
	if read {
		h.SetCanonical(headerSecurity, securityRead)
		return
	}
	h.SetCanonical(headerSecurity, securityWrite)
}

// open begins an answer with the header fields that all have.
func (s *Server) open(c *fiber.Ctx) {
	method := c.Method()
	secure(&c.Response().Header, method == fiber.MethodGet || method == fiber.MethodHead || method == fiber.MethodOptions)
	id := c.Get(headerRequestID)
	if !isRequestID(id) {
		id = newRequestID()
	}
	c.Set(headerRequestID, id)
}

// name gives the request's id to the log.
func (s *Server) name(c *fiber.Ctx) {
	id := string(c.Response().Header.PeekBytes(headerEcho))
	c.SetUserContext(telemetry.WithRequestID(c.UserContext(), id))
}

// echoID is what open does about ids for a hit, which leaves no line in the log that one would have to be made for.
func echoID(h *fasthttp.ResponseHeader, id []byte) {
	if len(id) > 0 && isRequestID(utils.UnsafeString(id)) {
		h.SetCanonical(headerEcho, id)
	}
}

// isRequestID reports whether text may be written into a log and into a header as it is.
func isRequestID(text string) bool {
	if text == "" || len(text) > 64 {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// newRequestID returns an id that no other request has. It is no secret.
func newRequestID() string {
	var b [16]byte
	for i, n := range [2]uint64{rand.Uint64(), rand.Uint64()} {
		for j := range 8 {
			b[8*i+j] = byte(n >> (8 * j))
		}
	}
	return hex.EncodeToString(b[:])
}

// isPreflight reports whether a browser asks what a page from elsewhere may do (the Fetch standard, section 4.8).
func isPreflight(c *fiber.Ctx) bool {
	return c.Method() == fiber.MethodOptions && c.Get(fiber.HeaderOrigin) != "" && c.Get(fiber.HeaderAccessControlRequestMethod) != ""
}

// preflight allows reads and nothing else, on every path: whether there is something a read will tell.
func preflight(c *fiber.Ctx) {
	c.Set(fiber.HeaderAccessControlAllowMethods, "GET, HEAD")
	c.Set(fiber.HeaderAccessControlAllowHeaders, "If-None-Match, If-Modified-Since, Cache-Control, Strata-Seen, Traceparent, Tracestate, X-Request-Id")
	c.Set(fiber.HeaderAccessControlMaxAge, "86400")
	c.Status(fiber.StatusNoContent)
}
