package postgres

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"

	"example.com/strata/app/listing"
)

// cursor is the place of a page's last row in the order it was sorted by. In text it carries a signature over itself and the search it belongs to:
// one that was cut, edited, made up, or issued for another search is refused instead of quietly skipping rows.
type cursor struct {
	key int64 // microseconds since 1970, a price in minor units, or the bits of an area or a rank
	id  int64
}

const (
	signatureSize = 16 // bytes of HMAC-SHA256: nobody guesses 128 bits
	cursorSize    = 8 + 8 + signatureSize
)

// cursorKey is the secret that cursors are signed with. All replicas have it from their database, so that any of them can go on where
// another stopped, and nobody has to configure it.
type cursorKey []byte

func (k cursorKey) encode(c cursor, scope string) string {
	b := make([]byte, 0, cursorSize)
	b = binary.BigEndian.AppendUint64(b, uint64(c.key))
	b = binary.BigEndian.AppendUint64(b, uint64(c.id))
	return base64.RawURLEncoding.EncodeToString(append(b, k.sign(b, scope)...))
}

// decode returns listing.ErrCursor for anything that encode did not make for this scope.
func (k cursorKey) decode(text, scope string) (cursor, error) {
	if len(text) != base64.RawURLEncoding.EncodedLen(cursorSize) {
		return cursor{}, listing.ErrCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != cursorSize {
		return cursor{}, listing.ErrCursor
	}
	place, signature := b[:cursorSize-signatureSize], b[cursorSize-signatureSize:]
	if !hmac.Equal(signature, k.sign(place, scope)) {
		return cursor{}, listing.ErrCursor
	}
	return cursor{key: int64(binary.BigEndian.Uint64(place)), id: int64(binary.BigEndian.Uint64(place[8:]))}, nil
}

func (k cursorKey) sign(place []byte, scope string) []byte {
	mac := hmac.New(sha256.New, k)
	mac.Write(place)
	mac.Write([]byte(scope))
	return mac.Sum(nil)[:signatureSize]
}

// cursorKey returns the database's. It is read once; whoever changes it restarts the service, and cursors of before are refused from then on.
func (db *DB) cursorKey(ctx context.Context) (cursorKey, error) {
	if key := db.key.Load(); key != nil {
		return *key, nil
	}
	const sql = `SELECT key FROM cursor_key`
	conn, err := db.acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", nameCursorKey, err)
	}
	defer conn.Release()
	key, err := ask(ctx, db, conn, nil, query{name: nameCursorKey, sql: sql}, func(rows pgx.Rows) (cursorKey, error) {
		return pgx.CollectExactlyOneRow(rows, pgx.RowTo[cursorKey])
	}, nil)
	if err != nil {
		return nil, err
	}
	db.key.Store(&key)
	return key, nil
}
