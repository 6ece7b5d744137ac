package viewcache

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/gofiber/fiber/v2"
)

var errView = errors.New("not an encoded view")

// view is a whole HTTP response in all its forms, as they go out. It is shared between requests and must not be changed.
type view struct {
	status      int
	contentType string
	etag        string          // of the identity form: strong, with its quotes; empty for errors. Those of the other forms are made of it
	modified    int64           // when what it shows was last changed, in Unix seconds; 0 if that is not known
	keys        string          // for Surrogate-Key: the tags that it depends on; empty if they are not known
	forms       [codings][]byte // the body; nil in codings that it is not kept in
}

// capture copies the response that the handlers wrote, in every coding that is worth it. tags are what it depends on.
func capture(c *fiber.Ctx, tags []string) *view {
	v := described(c)
	v.keys = surrogateKeys(tags)
	body := append([]byte(nil), v.forms[identity]...)
	if v.status == fiber.StatusOK && len(body) >= worthCoding {
		v.forms = encodedIn(body, gzipped, brotlied, zstandard)
		for i, form := range v.forms {
			if len(form) >= len(body)-len(body)/10 { // not worth the client's work
				v.forms[i] = nil
			}
		}
	}
	v.forms[identity] = body
	return v
}

// described returns the response that the handlers wrote as a view of one form whose body is the response's own.
func described(c *fiber.Ctx) *view {
	res := c.Response()
	v := &view{
		status:      res.StatusCode(),
		contentType: string(res.Header.ContentType()),
		etag:        string(res.Header.Peek(fiber.HeaderETag)),
	}
	v.forms[identity] = res.Body()
	if v.status != fiber.StatusOK {
		return v
	}
	if v.etag == "" {
		v.etag = etagOf(v.forms[identity])
	}
	if unix, ok := parseDate(res.Header.Peek(fiber.HeaderLastModified)); ok {
		v.modified = unix
	}
	return v
}

// form returns the body in a coding. One that the view is not kept in is made: that is for clients who refuse the others.
func (v *view) form(c coding) []byte {
	if body := v.forms[c]; body != nil {
		return body
	}
	return encodedIn(v.forms[identity], c)[c]
}

// lastModified returns when the view was last changed, in Unix seconds, or 0 if that is not known, by somebody who knows what it was at a moment. Until
// a second is over another change may come that has the same time, and clocks of two machines differ a little.
func (v *view) lastModified(asOf time.Time) int64 {
	const over = 2 // seconds
	if v.modified == 0 || asOf.Unix() < v.modified+over {
		return 0
	}
	return v.modified
}

// maxKeys bounds Surrogate-Key, in bytes. CDNs take 16 kB and more, but an answer that depends on so much is better left to its lifetime.
const maxKeys = 2 << 10

// surrogateKeys lists tags as Surrogate-Key has them, or nothing if not all of them can be said: a purge that passes by an answer unnoticed would be
// worse than none.
func surrogateKeys(tags []string) string {
	keys := strings.Join(tags, " ")
	if len(keys) > maxKeys || strings.ContainsFunc(keys, func(r rune) bool { return r < ' ' || r > '~' }) || strings.Count(keys, " ") != max(len(tags), 1)-1 {
		return ""
	}
	return keys
}

// etagOf returns a strong validator of a body: equal bytes have equal tags.
func etagOf(body []byte) string {
	tag := make([]byte, 0, 18)
	tag = append(tag, '"')
	hash := strconv.FormatUint(xxhash.Sum64(body), 16)
	for range 16 - len(hash) {
		tag = append(tag, '0')
	}
	tag = append(tag, hash...)
	return string(append(tag, '"'))
}

// viewForm begins every encoded view. It is no status, so that a release that began with one refuses it.
const viewForm = 1001

// encode writes a view for L2: the form's number, status, time of change; then content type, ETag, keys and the body in each coding, with their lengths in front.
// A length is one more than that, and 0 for what there is not.
func encode(v *view) ([]byte, error) {
	size := len(v.contentType) + len(v.etag) + len(v.keys) + 64
	for _, body := range v.forms {
		size += len(body)
	}
	b := make([]byte, 0, size)
	b = binary.AppendUvarint(b, viewForm)
	b = binary.AppendUvarint(b, uint64(v.status))
	b = binary.AppendVarint(b, v.modified)
	for _, text := range []string{v.contentType, v.etag, v.keys} {
		b = binary.AppendUvarint(b, uint64(len(text))+1)
		b = append(b, text...)
	}
	for _, body := range v.forms {
		if body == nil {
			b = append(b, 0)
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(body))+1)
		b = append(b, body...)
	}
	return b, nil
}

// decode reads what encode wrote. The bodies are parts of b.
func decode(b []byte) (*view, error) {
	r := reader{rest: b}
	if r.number() != viewForm {
		return nil, errView
	}
	v := &view{status: int(r.number()), modified: r.signed()}
	for _, text := range []*string{&v.contentType, &v.etag, &v.keys} {
		*text = string(r.bytes())
	}
	for i := range v.forms {
		v.forms[i] = r.bytes()
	}
	if r.broken || len(r.rest) > 0 || v.status > 999 || v.forms[identity] == nil {
		return nil, errView
	}
	return v, nil
}

// reader reads from the front of rest. After the first thing that cannot be read it is broken, and reads nothing.
type reader struct {
	rest   []byte
	broken bool
}

func (r *reader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	r.skip(size)
	return n
}

func (r *reader) signed() int64 {
	n, size := binary.Varint(r.rest)
	r.skip(size)
	return n
}

func (r *reader) skip(size int) {
	if size <= 0 {
		r.broken, r.rest = true, nil
		return
	}
	r.rest = r.rest[size:]
}

func (r *reader) bytes() []byte {
	n := r.number()
	if n == 0 {
		return nil
	}
	if n-1 > uint64(len(r.rest)) {
		r.broken, r.rest = true, nil
		return nil
	}
	part := r.rest[: n-1 : n-1]
	r.rest = r.rest[n-1:]
	return part
}
