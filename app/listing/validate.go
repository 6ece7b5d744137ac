package listing

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of a Draft and of a Query. The database holds its own checks against those who write past this service; none of them
// is narrower.
const (
	MaxTitle       = 200               // characters
	MaxDescription = 10_000            // characters
	MaxSlug        = 64                // characters of a city's slug
	MaxPriceMinor  = 1_000_000_000_000 // ten thousand million of a currency of hundredths; JavaScript holds it exactly
	MaxRooms       = 100               // bedrooms, and bathrooms
	MaxAreaM2      = 1_000_000         // a square kilometre
	MaxAmenities   = 50                // entries
	MaxAmenity     = 50                // characters of one
	MaxText        = 100               // characters of a search's words
)

// FieldError says what is wrong with one field.
type FieldError struct {
	Field   string // as in JSON: price_minor, amenities[3]
	Message string // what the field has to be
}

// FieldErrors are all fields of a draft that are wrong, in the order of the draft's fields.
type FieldErrors []FieldError

// Error lists the fields in one line.
func (e FieldErrors) Error() string {
	var b strings.Builder
	for i, f := range e {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(f.Field + " " + f.Message)
	}
	return b.String()
}

// PropertyTypes returns all property types.
func PropertyTypes() []PropertyType {
	return []PropertyType{Apartment, Studio, House, Townhouse, Villa, Loft}
}

// Offers returns all offers.
func Offers() []Offer { return []Offer{Sale, Rent} }

// Statuses returns all statuses.
func Statuses() []Status { return []Status{Active, Reserved, Sold, Withdrawn} }

// Sorts returns all orders of a page, the usual one first.
func Sorts() []Sort { return []Sort{Newest, Cheapest, Dearest, Smallest, Largest, Best} }

// Valid reports whether t is a property type.
func (t PropertyType) Valid() bool {
	switch t {
	case Apartment, Studio, House, Townhouse, Villa, Loft:
		return true
	}
	return false
}

// Valid reports whether o is an offer.
func (o Offer) Valid() bool { return o == Sale || o == Rent }

// Valid reports whether s is a status.
func (s Status) Valid() bool {
	switch s {
	case Active, Reserved, Sold, Withdrawn:
		return true
	}
	return false
}

// Valid reports whether s is an order.
func (s Sort) Valid() bool {
	switch s {
	case Newest, Cheapest, Dearest, Smallest, Largest, Best:
		return true
	}
	return false
}

// Validate returns nil, or FieldErrors with every field that is wrong. Whether the city and the agent exist only the store can tell.
func (d *Draft) Validate() error {
	var wrong FieldErrors
	check := func(ok bool, field, format string, args ...any) {
		if !ok {
			wrong = append(wrong, FieldError{field, fmt.Sprintf(format, args...)})
		}
	}
	check(isText(d.Title, MaxTitle) && strings.TrimSpace(d.Title) != "" && !strings.ContainsAny(d.Title, "\n\r\t"),
		"title", "must be one line of 1 to %d characters", MaxTitle)
	check(isText(d.Description, MaxDescription), "description", "must be text of at most %d characters", MaxDescription)
	check(IsSlug(d.City), "city", "must be a city's slug, such as lisbon or new-york")
	check(d.Type.Valid(), "type", "must be one of %s", list(PropertyTypes()))
	check(d.Offer.Valid(), "offer", "must be one of %s", list(Offers()))
	check(d.PriceMinor >= 1 && d.PriceMinor <= MaxPriceMinor, "price_minor", "must be from 1 to %d", int64(MaxPriceMinor))
	check(isCurrency(d.Currency), "currency", "must be a currency code of three capital letters, such as EUR")
	check(d.Bedrooms >= 0 && d.Bedrooms <= MaxRooms, "bedrooms", "must be from 0 to %d", MaxRooms)
	check(d.Bathrooms >= 0 && d.Bathrooms <= MaxRooms, "bathrooms", "must be from 0 to %d", MaxRooms)
	check(d.AreaM2 > 0 && d.AreaM2 <= MaxAreaM2, "area_m2", "must be above 0 and at most %d", MaxAreaM2)
	check(math.Abs(d.Latitude) <= 90, "latitude", "must be from -90 to 90")
	check(math.Abs(d.Longitude) <= 180, "longitude", "must be from -180 to 180")
	check(len(d.Amenities) <= MaxAmenities, "amenities", "must be at most %d", MaxAmenities)
	for i, a := range d.Amenities[:min(len(d.Amenities), MaxAmenities)] {
		check(isText(a, MaxAmenity) && strings.TrimSpace(a) != "", fmt.Sprintf("amenities[%d]", i), "must be text of 1 to %d characters", MaxAmenity)
	}
	check(d.Status.Valid(), "status", "must be one of %s", list(Statuses()))
	check(d.AgentID >= 1, "agent_id", "must be an agent's id")
	if wrong == nil {
		return nil // not a nil FieldErrors in an interface
	}
	return wrong
}

// ValidateChange is Validate for a draft that shall replace another: what is wrong with fields that stay as they are was so before, and is let pass. Listings are loaded
// by others too, who know other bounds.
func (d *Draft) ValidateChange(before *Draft) error {
	var wrong FieldErrors
	if err := d.Validate(); !errors.As(err, &wrong) {
		return err
	}
	wrong = slices.DeleteFunc(wrong, func(e FieldError) bool { return !d.changes(before, e.Field) })
	if len(wrong) == 0 {
		return nil
	}
	return wrong
}

// Equal reports whether both drafts say the same. The order of amenities means nothing.
func (d *Draft) Equal(other *Draft) bool {
	for _, field := range draftFields {
		if d.changes(other, field) {
			return false
		}
	}
	return true
}

// draftFields are the fields of a draft, as in JSON.
var draftFields = []string{"title", "description", "city", "type", "offer", "price_minor", "currency", "bedrooms", "bathrooms", "area_m2", "latitude", "longitude",
	"amenities", "status", "agent_id"}

// changes reports whether a field, or the one of its entries that is named, is not as it was.
func (d *Draft) changes(before *Draft, field string) bool {
	field, _, _ = strings.Cut(field, "[")
	switch field {
	case "title":
		return d.Title != before.Title
	case "description":
		return d.Description != before.Description
	case "city":
		return d.City != before.City
	case "type":
		return d.Type != before.Type
	case "offer":
		return d.Offer != before.Offer
	case "price_minor":
		return d.PriceMinor != before.PriceMinor
	case "currency":
		return d.Currency != before.Currency
	case "bedrooms":
		return d.Bedrooms != before.Bedrooms
	case "bathrooms":
		return d.Bathrooms != before.Bathrooms
	case "area_m2":
		return d.AreaM2 != before.AreaM2
	case "latitude":
		return d.Latitude != before.Latitude
	case "longitude":
		return d.Longitude != before.Longitude
	case "amenities":
		return !slices.Equal(sortedOnce(d.Amenities), sortedOnce(before.Amenities))
	case "status":
		return d.Status != before.Status
	case "agent_id":
		return d.AgentID != before.AgentID
	}
	return true
}

func sortedOnce(texts []string) []string { return slices.Compact(slices.Sorted(slices.Values(texts))) }

// IsSlug reports whether text has the form of a city's slug: lower-case letters, digits, and single hyphens between them.
func IsSlug(text string) bool {
	if text == "" || len(text) > MaxSlug || text[0] == '-' || text[len(text)-1] == '-' {
		return false
	}
	for i := range len(text) {
		switch c := text[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '-' && text[i-1] != '-':
		default:
			return false
		}
	}
	return true
}

// IsCountry reports whether text has the form of a country's code: two capital letters.
func IsCountry(text string) bool {
	return len(text) == 2 && 'A' <= text[0] && text[0] <= 'Z' && 'A' <= text[1] && text[1] <= 'Z'
}

// NormalText returns the words of a search in lower case with single spaces between them: the full-text search knows no other case. It returns
// false for what is too long, cannot be searched for, or has no word that must be there: all listings without a pool are nearly
// all listings. A word that the full-text search leaves out, such as the, passes as one that must be there.
func NormalText(text string) (string, bool) {
	if !isText(text, MaxText) {
		return "", false
	}
	normal := strings.Join(strings.Fields(strings.ToLower(text)), " ")
	return normal, wantsWord(normal) && utf8.RuneCountInString(normal) <= MaxText
}

// wantsWord reports whether each alternative of a search has a word that must be there. It reads the text as PostgreSQL's websearch_to_tsquery does: alternatives
// are separated by or, a minus is for the word or the words in quotation marks that follow it, and !&|() are spaces.
func wantsWord(text string) bool {
	var found, wanted, words, not bool // found: in any alternative. The others are of the present one; not: a minus stands before what comes
	for text != "" {
		if text[0] == '-' || isSpace(rune(text[0])) {
			not = not || text[0] == '-'
			text = text[1:]
			continue
		}
		var part string
		quoted := text[0] == '"'
		if quoted {
			part, text, _ = strings.Cut(text[1:], `"`)
		} else {
			end := strings.IndexFunc(text, func(r rune) bool { return r == '"' || isSpace(r) })
			if end < 0 {
				end = len(text)
			}
			part, text = text[:end], text[end:]
		}
		inPart := strings.FieldsFunc(part, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		switch {
		case len(inPart) == 0:
		case inPart[0] == "or" && len(inPart) == 1 && !quoted && !not:
			if words && !wanted {
				return false
			}
			wanted, words = false, false
		case slices.ContainsFunc(inPart, func(word string) bool { return word != "or" }): // or is never found where it is a word
			wanted, words = wanted || !not, true
			found, not = found || wanted, false
		}
	}
	return found && (wanted || !words)
}

func isSpace(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("!&|()", r) }

func isCurrency(text string) bool {
	for i := range len(text) {
		if text[i] < 'A' || text[i] > 'Z' {
			return false
		}
	}
	return len(text) == 3
}

// isText reports whether text can be stored and shown. PostgreSQL refuses a NUL; other control characters are nobody's description of a home.
func isText(text string, most int) bool {
	if !utf8.ValidString(text) || utf8.RuneCountInString(text) > most {
		return false
	}
	return !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' })
}

func list[S ~string](values []S) string {
	texts := make([]string, len(values))
	for i, v := range values {
		texts[i] = string(v)
	}
	return strings.Join(texts, ", ")
}
