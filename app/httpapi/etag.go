package httpapi

import (
	"errors"
	"strconv"
	"strings"

	"github.com/gofiber/fiber/v2"

	"strata/app/listing"
	"strata/app/viewcache"
)

// etagForm is how a listing is written. It is part of each ETag, and has to change whenever a release writes the same listing differently.
const etagForm = "1"

// etagOf returns the ETag of a listing. It can be strong because the answer holds nothing but the row, and every change of the row, also one by cascade from
// its city, raises the version. So a write can be compared with it in the database, in the same statement.
func etagOf(version int64) string {
	return `"` + etagForm + `-` + strconv.FormatInt(version, 10) + `"`
}

// expectation is what If-Match says: nothing, or a choice of versions.
type expectation struct {
	given    bool
	versions []int64 // 0 is any
}

// parseIfMatch reads the field (RFC 9110, section 13.1.1). The ETag of any content coding of a listing names the same version. Tags that this service did not issue, and weak ones, match nothing.
func parseIfMatch(field string) (expectation, error) {
	const most = 16 // each costs a statement
	e := expectation{given: field != ""}
	for rest := field; strings.TrimSpace(rest) != ""; {
		tag, more, ok := cutTag(strings.TrimLeft(rest, " \t,"))
		if !ok || len(e.versions) == most {
			return e, badHeader(fiber.HeaderIfMatch, field, "must be * or at most 16 ETags in quotes, with commas between")
		}
		rest = more
		if tag == "*" {
			e.versions = append(e.versions, 0)
			continue
		}
		version, ours := strings.CutPrefix(viewcache.TrimCoding(tag), `"`+etagForm+`-`)
		n, valid := parseID(strings.TrimSuffix(version, `"`))
		if ours && valid {
			e.versions = append(e.versions, n)
		}
	}
	return e, nil
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

// try does a write for the expected version, or for each until one is the present one.
func (e expectation) try(write func(version int64) error) error {
	if !e.given {
		return write(0)
	}
	for _, version := range e.versions {
		err := write(version)
		if !errors.Is(err, listing.ErrConflict) || version == 0 {
			return err
		}
	}
	return &failure{status: 412, detail: "The listing's ETag is none of those in If-Match."}
}
