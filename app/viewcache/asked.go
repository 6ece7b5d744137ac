package viewcache

import (
	"bytes"
	"errors"
	"net/http"
	"strings"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// Asked is what the header fields of a request ask of a cache: which form, on which condition, how new. It is read in one pass over the header, and
// refers to the request's memory. The zero value asks for nothing in particular.
type Asked struct {
	encoding        []byte // Accept-Encoding; nil if there is none
	noneMatch       []byte
	modifiedSince   []byte
	match           []byte
	unmodifiedSince []byte
	control         []byte // Cache-Control
	pragma          []byte
	surrogate       bool // a CDN asks, and may want to know how to purge
	credentials     bool // it says who asks
}

// AskedBy reads the header of a request.
func AskedBy(h *fasthttp.RequestHeader) (a Asked) {
	for name, value := range h.All() {
		a.Note(name, value)
	}
	return a
}

// Note reads one header field, whose name is in canonical form.
func (a *Asked) Note(name, value []byte) {
	switch string(name) {
	case fiber.HeaderAcceptEncoding:
		also(&a.encoding, value)
	case fiber.HeaderIfNoneMatch:
		also(&a.noneMatch, value)
	case fiber.HeaderIfModifiedSince:
		a.modifiedSince = value
	case fiber.HeaderIfMatch:
		also(&a.match, value)
	case fiber.HeaderIfUnmodifiedSince:
		a.unmodifiedSince = value
	case fiber.HeaderCacheControl:
		also(&a.control, value)
	case fiber.HeaderPragma:
		also(&a.pragma, value)
	case fiber.HeaderAuthorization:
		a.credentials = true
	case "Cdn-Loop", "Surrogate-Capability": // RFC 8586; Edge Architecture
		a.surrogate = true
	}
}

// also adds a line of a field that may have several (RFC 9110, section 5.3).
func also(field *[]byte, value []byte) {
	if *field == nil {
		*field = value[:len(value):len(value)]
		if value == nil {
			*field = []byte{}
		}
		return
	}
	*field = append(append(*field, ", "...), value...)
}

// Simple reports whether a view that is found can only answer with 200 or 304.
func (a *Asked) Simple() bool {
	return a.match == nil && a.unmodifiedSince == nil && !a.credentials && !a.Anew()
}

// Anew reports whether the client wants an answer from the origin rather than from a cache (RFC 9111, sections 5.2.1.1, 5.2.1.4 and 5.4).
func (a *Asked) Anew() bool {
	if a.control == nil {
		return a.pragma != nil && has(a.pragma, "no-cache")
	}
	return has(a.control, "no-cache") || has(a.control, "max-age=0")
}

// has reports whether a list has a member.
func has(list []byte, member string) bool {
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte(","))
		if bytes.EqualFold(bytes.TrimSpace(item), []byte(member)) {
			return true
		}
	}
	return false
}

// What a condition makes of a request.
var (
	errNotAcceptable = fiber.ErrNotAcceptable
	errPrecondition  = fiber.ErrPreconditionFailed
)

// errNotModified is for the caller: the client has what it asks for.
var errNotModified = errors.New("not modified")

// resolve says in which coding the view goes out, and whether at all, by the precedence of RFC 9110, section 13.2.2. modified is the view's Last-Modified in Unix
// seconds, 0 if it has none. It returns errNotModified beside the coding that the client has, errPrecondition or errNotAcceptable.
func (a *Asked) resolve(v *view, modified int64) (coding, error) {
	accept := acceptable(a.encoding)
	chosen, ok := accept.choose(v)
	if !ok {
		return identity, errNotAcceptable
	}
	switch {
	case a.match != nil:
		if _, ok := named(a.match, v.etag, &accept, false); !ok {
			return identity, errPrecondition
		}
	case a.unmodifiedSince != nil && modified != 0:
		if date, ok := parseDate(a.unmodifiedSince); ok && modified > date {
			return identity, errPrecondition
		}
	}
	switch {
	case a.noneMatch != nil:
		if has, ok := named(a.noneMatch, v.etag, &accept, true); ok {
			if has < 0 {
				return chosen, errNotModified
			}
			return coding(has), errNotModified
		}
	case a.modifiedSince != nil && modified != 0:
		if date, ok := parseDate(a.modifiedSince); ok && modified <= date {
			return chosen, errNotModified
		}
	}
	return chosen, nil
}

func parseDate(field []byte) (unix int64, ok bool) {
	at, err := http.ParseTime(string(field)) // all three forms of RFC 9110, section 5.6.7
	return at.Unix(), err == nil
}

// named looks for a form of the view in a list of ETags. Any form that the client accepts is as good as the one that would be chosen: if it has one,
// that is the one it shall keep. It returns -1 for *, which names all of them. weak is the comparison that weak tags pass (RFC 9110, section 8.8.3.2).
func named(list []byte, etag string, accept *accepts, weak bool) (c int, ok bool) {
	if string(bytes.TrimSpace(list)) == "*" {
		return -1, true
	}
	for {
		list = bytes.TrimLeft(list, " \t,")
		opaque, isWeak := bytes.CutPrefix(list, []byte("W/"))
		if len(opaque) == 0 || opaque[0] != '"' {
			return 0, false // the end, or nothing that could be read
		}
		end := bytes.IndexByte(opaque[1:], '"') + 2
		if end < 2 {
			return 0, false
		}
		if c, ours := formNamed(opaque[:end], etag); ours && accept[c] > 0 && (weak || !isWeak) {
			return int(c), true
		}
		list = opaque[end:]
	}
}

// formNamed returns the coding of the form whose ETag is tag, if it is one of a view whose identity form has etag.
func formNamed(tag []byte, etag string) (coding, bool) {
	if string(tag) == etag {
		return identity, true
	}
	core := len(etag) - 1 // without the quote at the end
	if core < 1 || len(tag) <= core+1 || string(tag[:core]) != etag[:core] || tag[core] != '-' {
		return 0, false
	}
	suffix := tag[core+1 : len(tag)-1]
	for c := gzipped; c < codings; c++ {
		if string(suffix) == codingNames[c] {
			return c, true
		}
	}
	return 0, false
}

// TrimCoding returns the ETag of the identity form for that of any form: "1-7" for "1-7-gzip". Others come back as they are.
func TrimCoding(etag string) string {
	for _, name := range codingNames[gzipped:] {
		if core, ok := strings.CutSuffix(etag, "-"+name+`"`); ok {
			return core + `"`
		}
	}
	return etag
}
