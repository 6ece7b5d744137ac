package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

const (
	typeJSON       = "application/json"
	typeMergePatch = "application/merge-patch+json"
)

// maxDepth is how deep a body may be nested. A listing is two deep; more is only of use to whoever wants to see what it does to a parser.
const maxDepth = 8

// unaskedBody is how much of a body is read whoever sends it: as much as every connection has a buffer for, so that it costs no more than the header does, and
// the connection can be kept.
const unaskedBody = maxHeader

// received looks at a header before memory is taken for the body, as fasthttp does for all that Content-Length announces. What nobody has a use for is left unread:
// the body of a read, and that of a write by somebody who may not write. The request is answered as if it had none, and the connection closed. Nor are the
// clients that ask whether to send a body (Expect: 100-continue) told to send one that is unwanted or too large.
func (s *Server) received(h *fasthttp.RequestHeader) (unchanged fasthttp.RequestConfig) {
	length := h.ContentLength()
	if length == 0 || length == noBody {
		return unchanged
	}
	asks := len(h.Peek(fiber.HeaderExpect)) > 0
	switch {
	case length <= unaskedBody && length >= 0 && !asks:
	case length > maxBody: // fasthttp refuses it, but would tell clients to send it first
		h.Del(fiber.HeaderExpect)
	case !s.mayWrite(h):
		h.Del(fiber.HeaderExpect)
		h.SetContentLength(0)
		h.SetConnectionClose()
	}
	return unchanged
}

// noBody is the length of a body that fasthttp gives if the header says nothing of one. That of one in chunks is below 0, too.
const noBody = -2

// mayHaveUnread reports whether received may have left a body unread. Who ends a connection by a request with an empty body is taken for it, and does not notice.
func mayHaveUnread(h *fasthttp.RequestHeader) bool {
	return h.ConnectionClose() && h.ContentLength() == 0
}

// bodyOf reads the request's body, which must be a JSON object of one of the types.
func bodyOf(c *fiber.Ctx, types ...string) (map[string]json.RawMessage, error) {
	media, parameters, err := mime.ParseMediaType(c.Get(fiber.HeaderContentType))
	charset, given := parameters["charset"]
	if err != nil || !slices.Contains(types, media) || given && !strings.EqualFold(charset, "utf-8") {
		return nil, &failure{status: 415, detail: "Content-Type must be " + strings.Join(types, " or ") + ", in UTF-8."}
	}
	// Fiber would decompress, without a limit: what it takes for 1 MiB is no small thing to find out.
	if coding := c.Get(fiber.HeaderContentEncoding); coding != "" && !strings.EqualFold(coding, "identity") {
		return nil, &failure{status: 415, detail: "The body must not be compressed."}
	}
	body := c.Request().Body()
	if detail := faultOf(body); detail != nil {
		return nil, &failure{status: 400, detail: "The body cannot be read.", errors: []*huma.ErrorDetail{detail}}
	}
	var document map[string]json.RawMessage
	if err := json.Unmarshal(body, &document); err != nil || document == nil { // cannot happen: it was read just now
		return nil, &failure{status: 400, detail: "The body cannot be read."}
	}
	return document, nil
}

// faultOf returns what is wrong with a body that is to be one JSON object (RFC 8259, and I-JSON, RFC 7493, as to names and text), or nil. encoding/json would
// take the last of two members of one name, where somebody in front of this service may have taken the first; and put a substitute for what is no UTF-8.
func faultOf(body []byte) *huma.ErrorDetail {
	fault := func(message string) *huma.ErrorDetail { return &huma.ErrorDetail{Location: "body", Message: message} }
	if !utf8.Valid(body) {
		return fault("must be UTF-8")
	}
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return fault("must be a JSON object, and is empty")
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(body)) // a Buffer is read in place
	if d.PeekKind() != '{' {
		return fault("must be a JSON object")
	}
	for ended := false; ; {
		_, err := d.ReadToken()
		var syntax *jsontext.SyntacticError
		switch {
		case err == nil && ended:
			return fault("must be one JSON object, and goes on behind it")
		case err == nil && d.StackDepth() > maxDepth:
			return fault("must not be nested as deep as this")
		case err == nil:
			ended = d.StackDepth() == 0
			continue
		case errors.Is(err, io.EOF) && ended:
			return nil
		case errors.Is(err, jsontext.ErrDuplicateName) && errors.As(err, &syntax):
			return &huma.ErrorDetail{Location: "body." + syntax.JSONPointer.LastToken(), Message: "must be there once"}
		case errors.Is(err, io.ErrUnexpectedEOF):
			return fault("must be JSON, and ends before it is complete")
		}
		return fault("must be JSON")
	}
}
