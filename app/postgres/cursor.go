package postgres

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"

	"strata/app/listing"
)

// cursor is the place of a page's last row in the order it was sorted by. In text it carries the order and a checksum: one
// that was cut, edited, or belongs to another order is refused instead of quietly skipping rows.
type cursor struct {
	key int64 // microseconds since 1970, or a price in minor units
	id  int64
}

const cursorSize = 1 + 8 + 8 + 4

func (c cursor) encode(order byte) string {
	b := make([]byte, 0, cursorSize)
	b = append(b, order)
	b = binary.BigEndian.AppendUint64(b, uint64(c.key))
	b = binary.BigEndian.AppendUint64(b, uint64(c.id))
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodeCursor returns listing.ErrCursor for anything that encode did not make for this order.
func decodeCursor(text string, order byte) (cursor, error) {
	if len(text) != base64.RawURLEncoding.EncodedLen(cursorSize) {
		return cursor{}, listing.ErrCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != cursorSize || b[0] != order {
		return cursor{}, listing.ErrCursor
	}
	sum := len(b) - 4
	if binary.BigEndian.Uint32(b[sum:]) != crc32.ChecksumIEEE(b[:sum]) {
		return cursor{}, listing.ErrCursor
	}
	return cursor{key: int64(binary.BigEndian.Uint64(b[1:])), id: int64(binary.BigEndian.Uint64(b[9:]))}, nil
}
