package viewcache

import (
	"encoding/binary"
	"errors"
	"strconv"

	"github.com/cespare/xxhash/v2"
	"github.com/gofiber/fiber/v2"
)

var errView = errors.New("not an encoded view")

// view is a whole HTTP response, as it goes out. It is shared between requests and must not be changed.
type view struct {
	status      int
	contentType string
	etag        string // strong, with its quotes; empty for errors
	body        []byte
}

// capture copies the response that the handlers wrote.
func capture(c *fiber.Ctx) *view {
	res := c.Response()
	v := &view{
		status:      res.StatusCode(),
		contentType: string(res.Header.ContentType()),
		etag:        string(res.Header.Peek(fiber.HeaderETag)),
		body:        append([]byte(nil), res.Body()...),
	}
	if v.etag == "" && v.status == fiber.StatusOK {
		v.etag = etagOf(v.body)
	}
	return v
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

// encode writes a view for L2: status, then content type, ETag and body, the first two with their lengths in front.
func encode(v *view) ([]byte, error) {
	b := make([]byte, 0, len(v.body)+len(v.contentType)+len(v.etag)+16)
	b = binary.AppendUvarint(b, uint64(v.status))
	for _, text := range []string{v.contentType, v.etag} {
		b = binary.AppendUvarint(b, uint64(len(text)))
		b = append(b, text...)
	}
	return append(b, v.body...), nil
}

// decode reads what encode wrote. The body is a part of b.
func decode(b []byte) (*view, error) {
	status, size := binary.Uvarint(b)
	if size <= 0 || status > 999 {
		return nil, errView
	}
	v, rest := &view{status: int(status)}, b[size:]
	for _, text := range []*string{&v.contentType, &v.etag} {
		n, size := binary.Uvarint(rest)
		if size <= 0 || n > uint64(len(rest)-size) {
			return nil, errView
		}
		*text, rest = string(rest[size:size+int(n)]), rest[size+int(n):]
	}
	v.body = rest
	return v, nil
}
