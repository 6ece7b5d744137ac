package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"example.com/strata/app/listing"
)

// decodeDraft reads the body of a write. It returns listing.FieldErrors with every field that is wrong: missing, of the wrong type, out of range, or unknown.
// Names of fields are compared exactly. What is wrong with a field that is as it was before is let pass, if there was something.
func decodeDraft(document map[string]json.RawMessage, before *listing.Draft) (listing.Draft, error) {
	d := listing.Draft{Status: listing.Active}
	fields := []struct {
		name     string
		into     any
		must     string
		optional bool
	}{
		{"title", &d.Title, "must be text", false},
		{"description", &d.Description, "must be text", true},
		{"city", &d.City, "must be text", false},
		{"type", &d.Type, "must be text", false},
		{"offer", &d.Offer, "must be text", false},
		{"price_minor", &d.PriceMinor, "must be a whole number", false},
		{"currency", &d.Currency, "must be text", false},
		{"bedrooms", &d.Bedrooms, "must be a whole number", false},
		{"bathrooms", &d.Bathrooms, "must be a whole number", false},
		{"area_m2", &d.AreaM2, "must be a number", false},
		{"latitude", &d.Latitude, "must be a number", false},
		{"longitude", &d.Longitude, "must be a number", false},
		{"amenities", &d.Amenities, "must be a list of texts", true},
		{"status", &d.Status, "must be text", true},
		{"agent_id", &d.AgentID, "must be a whole number", false},
	}
	rest := maps.Clone(document)
	faults := make(map[string]string) // by field
	for _, f := range fields {
		value, given := rest[f.name]
		delete(rest, f.name)
		switch {
		case !given && !f.optional:
			faults[f.name] = "must be given"
		case given && (isNull(value) || json.Unmarshal(value, f.into) != nil):
			faults[f.name] = f.must
		}
	}
	var wrong listing.FieldErrors
	if before == nil {
		errors.As(d.Validate(), &wrong) // it returns no other
	} else {
		errors.As(d.ValidateChange(before), &wrong)
	}
	var all listing.FieldErrors
	for _, f := range fields {
		if must := faults[f.name]; must != "" { // whatever is said of a value that was not read means nothing
			all = append(all, listing.FieldError{Field: f.name, Message: must})
			continue
		}
		for _, e := range wrong {
			if base, _, _ := strings.Cut(e.Field, "["); base == f.name {
				all = append(all, e)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(rest)) {
		all = append(all, listing.FieldError{Field: shown(name), Message: unknown(name)})
	}
	if len(all) > 0 {
		return listing.Draft{}, all
	}
	return d, nil
}

// unknown says why a field is not accepted.
func unknown(name string) string {
	switch name {
	case "id", "region", "country", "created_at", "updated_at", "version":
		return "must be left out: the service decides it"
	}
	return "must be left out: it is not a field of a listing"
}

// mergePatch applies a JSON merge patch (RFC 7396) to a listing: what a field of the patch says replaces the listing's, and null removes it, which is an error
// for those that a listing cannot be without. The result is read like the body of a PUT.
func mergePatch(d listing.Draft, patch map[string]json.RawMessage) (listing.Draft, error) {
	text, err := json.Marshal(draftWire(d))
	if err != nil {
		return listing.Draft{}, fmt.Errorf("encoding the present listing: %w", err)
	}
	var document map[string]json.RawMessage
	if err := json.Unmarshal(text, &document); err != nil {
		return listing.Draft{}, fmt.Errorf("decoding the present listing: %w", err)
	}
	for name, value := range patch {
		if _, known := document[name]; known && isNull(value) {
			delete(document, name)
			continue
		}
		document[name] = value
	}
	return decodeDraft(document, &d)
}

func isNull(value json.RawMessage) bool { return bytes.Equal(value, []byte("null")) }
