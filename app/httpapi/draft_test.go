package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/go-cmp/cmp"

	"example.com/strata/app/listing"
)

// goodBody is the body of a write that nothing is wrong with. change replaces fields; a value of nil leaves the field out.
func goodBody(t testing.TB, change map[string]any) string {
	t.Helper()
	body := map[string]any{
		"title": "Flat with a view", "description": "Third floor", "city": "lisbon", "type": "apartment", "offer": "sale",
		"price_minor": 32500000, "currency": "EUR", "bedrooms": 2, "bathrooms": 1, "area_m2": 71.5, "latitude": 38.72, "longitude": -9.14,
		"amenities": []string{"lift", "balcony"}, "status": "active", "agent_id": 1,
	}
	for name, value := range change {
		if value == nil {
			delete(body, name)
			continue
		}
		body[name] = value
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func decode(t testing.TB, body string) (listing.Draft, error) {
	t.Helper()
	var document map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		t.Fatal(err)
	}
	return decodeDraft(document, nil)
}

func wrongFields(err error) (fields []string) {
	var wrong listing.FieldErrors
	errors.As(err, &wrong)
	for _, w := range wrong {
		fields = append(fields, w.Field)
	}
	return fields
}

func TestEveryFaultOfABodyIsNamed(t *testing.T) {
	for body, want := range map[string][]string{
		`{}`: {"title", "city", "type", "offer", "price_minor", "currency", "bedrooms", "bathrooms", "area_m2", "latitude", "longitude", "agent_id"},
		goodBody(t, map[string]any{"Title": "capital"}):                                {"Title"},
		goodBody(t, map[string]any{"id": 5, "version": 2, "colour": "red"}):            {"colour", "id", "version"},
		goodBody(t, map[string]any{"price_minor": 1.5}):                                {"price_minor"},
		goodBody(t, map[string]any{"price_minor": "100"}):                              {"price_minor"},
		goodBody(t, map[string]any{"price_minor": json.Number("1e400")}):               {"price_minor"},
		goodBody(t, map[string]any{"area_m2": json.Number("1e400")}):                   {"area_m2"},
		goodBody(t, map[string]any{"agent_id": json.Number("9999999999999999999999")}): {"agent_id"},
		goodBody(t, map[string]any{"title": 5}):                                        {"title"},
		goodBody(t, map[string]any{"title": json.RawMessage(`null`)}):                  {"title"},
		goodBody(t, map[string]any{"amenities": json.RawMessage(`null`)}):              {"amenities"},
		goodBody(t, map[string]any{"amenities": "lift"}):                               {"amenities"},
		goodBody(t, map[string]any{"amenities": []any{"lift", 5}}):                     {"amenities"},
		goodBody(t, map[string]any{"amenities": []any{"lift", nil}}):                   {"amenities[1]"},
		goodBody(t, map[string]any{"type": "castle", "offer": nil, "bedrooms": true}):  {"type", "offer", "bedrooms"},
		goodBody(t, map[string]any{"title": "a\x00b"}):                                 {"title"},
		goodBody(t, map[string]any{"title": map[string]any{"en": "x"}}):                {"title"},
	} {
		_, err := decode(t, body)
		if diff := cmp.Diff(wrongFields(err), want); diff != "" {
			t.Errorf("%s, got before want:\n%s", body, diff)
		}
	}
}

func TestWhatMayBeLeftOutHasItsDefault(t *testing.T) {
	d, err := decode(t, goodBody(t, map[string]any{"description": nil, "amenities": nil, "status": nil}))
	if err != nil {
		t.Fatal(err)
	}
	if d.Description != "" || len(d.Amenities) != 0 || d.Status != listing.Active {
		t.Errorf("description %q, amenities %q, status %q", d.Description, d.Amenities, d.Status)
	}
}

func TestMergePatchDoesWhatTheStandardSays(t *testing.T) {
	start, err := decode(t, goodBody(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	for patch, want := range map[string]func(*listing.Draft){
		`{}`:                                    func(*listing.Draft) {},
		`{"price_minor":1}`:                     func(d *listing.Draft) { d.PriceMinor = 1 },
		`{"amenities":["pool"]}`:                func(d *listing.Draft) { d.Amenities = []string{"pool"} }, // lists are replaced, not merged
		`{"amenities":null,"description":null}`: func(d *listing.Draft) { d.Amenities, d.Description = nil, "" },
		`{"status":"sold"}`:                     func(d *listing.Draft) { d.Status = listing.Sold },
	} {
		wanted := start
		want(&wanted)
		got, err := mergePatch(start, document(t, patch))
		if diff := cmp.Diff(got, wanted); err != nil || diff != "" {
			t.Errorf("%s: %v, got before want:\n%s", patch, err, diff)
		}
	}
	for patch, want := range map[string][]string{
		`{"title":null}`:                  {"title"},
		`{"colour":null}`:                 {"colour"},
		`{"id":7}`:                        {"id"},
		`{"price_minor":-1,"city":"???"}`: {"city", "price_minor"},
		`{"title":{"en":"x"}}`:            {"title"},
	} {
		_, err := mergePatch(start, document(t, patch))
		if diff := cmp.Diff(wrongFields(err), want); diff != "" {
			t.Errorf("%s, got before want:\n%s", patch, diff)
		}
	}
}

func document(t testing.TB, text string) (d map[string]json.RawMessage) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// The description promises bounds that the domain enforces elsewhere: both have to be the same.
func TestDocumentedBoundsAreTheDomains(t *testing.T) {
	registry := huma.NewMapRegistry("#/components/schemas/", schemaName)
	schema := registry.SchemaFromRef(registry.Schema(reflect.TypeFor[draftWire](), true, "").Ref)
	accepted := func(field string, value any) bool {
		_, err := decode(t, goodBody(t, map[string]any{field: value}))
		return err == nil
	}
	checked := 0
	check := func(field string, good, bad any) {
		t.Helper()
		checked++
		if !accepted(field, good) {
			t.Errorf("%s: documented as good, refused: %.40v", field, good)
		}
		if accepted(field, bad) {
			t.Errorf("%s: documented as bad, accepted: %.40v", field, bad)
		}
	}
	for field, s := range schema.Properties {
		if s.Minimum != nil {
			check(field, *s.Minimum, *s.Minimum-1)
		}
		if s.ExclusiveMinimum != nil {
			check(field, *s.ExclusiveMinimum+0.001, *s.ExclusiveMinimum)
		}
		if s.Maximum != nil {
			check(field, json.Number(fmt.Sprintf("%.0f", *s.Maximum)), json.Number(fmt.Sprintf("%.0f", math.Floor(*s.Maximum)+1)))
		}
		if s.MaxLength != nil {
			check(field, strings.Repeat("x", *s.MaxLength), strings.Repeat("x", *s.MaxLength+1))
		}
		if s.MaxItems != nil {
			check(field, slices.Repeat([]string{"x"}, *s.MaxItems), slices.Repeat([]string{"x"}, *s.MaxItems+1))
		}
		for _, value := range s.Enum {
			check(field, value, fmt.Sprint(value)+"x")
		}
		if required := slices.Contains(schema.Required, field); required == accepted(field, nil) {
			t.Errorf("%s: documented as required: %v, and it is not so", field, required)
		}
	}
	if checked < 20 {
		t.Errorf("only %d bounds are documented", checked)
	}
	var draft map[string]any
	text, _ := json.Marshal(draftWire{})
	if err := json.Unmarshal(text, &draft); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(draft)), slices.Sorted(maps.Keys(schema.Properties))); diff != "" {
		t.Error(diff)
	}
}

func TestAnswersAreWrittenAsTheDomainNamesThem(t *testing.T) {
	for _, tt := range []struct{ domain, wire any }{
		{listing.Listing{Amenities: []string{"lift"}}, listingWire(listing.Listing{Amenities: []string{"lift"}})},
		{listing.City{Slug: "x"}, cityWire(listing.City{Slug: "x"})},
		{listing.FacetCount{Value: "loft", Count: 1}, facetCountWire{"loft", 1}},
		{listing.Page{Items: []listing.Listing{{ID: 1}}, Next: "n"}, pageOf(listing.Page{Items: []listing.Listing{{ID: 1}}, Next: "n"}, nil)},
		{listing.CityStats{Groups: []listing.TypeStats{{Currency: "EUR"}}}, statsOf(listing.CityStats{Groups: []listing.TypeStats{{Currency: "EUR"}}})},
	} {
		domain, err := json.Marshal(tt.domain)
		wire, err2 := json.Marshal(tt.wire)
		if diff := cmp.Diff(string(wire), string(domain)); err != nil || err2 != nil || diff != "" {
			t.Errorf("%T, got before want:\n%s", tt.wire, diff)
		}
	}
}
