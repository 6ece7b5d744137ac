package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/gofiber/fiber/v2"

	"example.com/strata/app/listing"
	"example.com/strata/app/viewcache"
)

// etagOf returns the ETag of a listing: a hash of the very answer. The version alone would not do: rows come back with one that they had before, by a reload, a restore, or a load that
// passes by the triggers. 96 bits of SHA-256, since a writer relies on it.
func etagOf(l *listing.Listing) string {
	wire := listingWire(*l)
	wire.Row = 0
	body, err := encode(wire)
	if err != nil { // cannot happen: a listing is plain, and its numbers came out of JSON or a table that holds no others
		return ""
	}
	sum := sha256.Sum256(body)
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}

// expectation is what If-Match says: nothing, or a choice of ETags.
type expectation struct {
	given, any bool
	tags       []string // without the part that names a content coding
}

// parseIfMatch reads the field (RFC 9110, section 13.1.1). The ETag of any content coding of a listing names the same state of it. Tags that this service did not issue, and weak ones,
// match nothing.
func parseIfMatch(field string) (expectation, error) {
	e := expectation{given: field != ""}
	for rest := field; strings.TrimSpace(rest) != ""; {
		tag, more, ok := cutTag(strings.TrimLeft(rest, " \t,"))
		if !ok {
			return e, badHeader(fiber.HeaderIfMatch, field, "must be * or ETags in quotes, with commas between")
		}
		rest = more
		if tag == "*" {
			e.any = true
			continue
		}
		e.tags = append(e.tags, viewcache.TrimCoding(tag))
	}
	return e, nil
}

// match returns what the service is to ask of the listing.
func (e expectation) match() listing.Match {
	if !e.given {
		return nil
	}
	return func(l *listing.Listing) bool { return e.any || slices.Contains(e.tags, etagOf(l)) }
}

// judge makes of a write's conflict that its condition does not hold, if it had one.
func (e expectation) judge(err error) error {
	if e.given && errors.Is(err, listing.ErrConflict) {
		return &failure{status: 412, detail: "The listing's ETag is none of those in If-Match."}
	}
	return err
}

// cutTag cuts an entity tag, with its quotes, or a star off the front of a list.
func cutTag(list string) (tag, rest string, ok bool) {
	if rest, star := strings.CutPrefix(list, "*"); star {
		return "*", rest, strings.TrimSpace(rest) == ""
	}
	opaque, weak := strings.CutPrefix(list, "W/")
	if !strings.HasPrefix(opaque, `"`) {
		return "", "", false
	}
	end := strings.IndexByte(opaque[1:], '"') + 2
	if end < 2 {
		return "", "", false
	}
	tag, rest = opaque[:end], strings.TrimLeft(opaque[end:], " \t")
	if rest != "" && rest[0] != ',' {
		return "", "", false
	}
	if weak {
		tag = "W/" + tag
	}
	return tag, rest, true
}
