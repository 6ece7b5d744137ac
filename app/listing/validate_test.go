package listing

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func goodDraft() Draft {
	return Draft{
		Title: "Flat with a view", City: "lisbon", Type: Apartment, Offer: Sale, PriceMinor: 32_500_000, Currency: "EUR",
		Bedrooms: 2, Bathrooms: 1, AreaM2: 71.5, Latitude: 38.72, Longitude: -9.14, Amenities: []string{"balcony", "lift"}, Status: Active, AgentID: 1,
	}
}

func TestDraftAtItsBoundsIsValid(t *testing.T) {
	for name, change := range map[string]func(*Draft){
		"as it is":          func(*Draft) {},
		"longest title":     func(d *Draft) { d.Title = strings.Repeat("é", MaxTitle) },
		"no description":    func(d *Draft) { d.Description = "" },
		"long description":  func(d *Draft) { d.Description = strings.Repeat("line\n", MaxDescription/5) },
		"city with hyphens": func(d *Draft) { d.City = "new-york-2" },
		"least price":       func(d *Draft) { d.PriceMinor = 1 },
		"highest price":     func(d *Draft) { d.PriceMinor = MaxPriceMinor },
		"no rooms":          func(d *Draft) { d.Bedrooms, d.Bathrooms = 0, 0 },
		"most rooms":        func(d *Draft) { d.Bedrooms, d.Bathrooms = MaxRooms, MaxRooms },
		"largest":           func(d *Draft) { d.AreaM2 = MaxAreaM2 },
		"a pole":            func(d *Draft) { d.Latitude, d.Longitude = -90, 180 },
		"no amenities":      func(d *Draft) { d.Amenities = nil },
		"most amenities":    func(d *Draft) { d.Amenities = manyAmenities(MaxAmenities) },
	} {
		d := goodDraft()
		change(&d)
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDraftBeyondItsBoundsNamesTheField(t *testing.T) {
	for _, tt := range []struct {
		field  string
		change func(*Draft)
	}{
		{"title", func(d *Draft) { d.Title = "" }},
		{"title", func(d *Draft) { d.Title = " \u00a0 " }},
		{"title", func(d *Draft) { d.Title = "two\nlines" }},
		{"title", func(d *Draft) { d.Title = "a\x00b" }},
		{"title", func(d *Draft) { d.Title = "a\xffb" }},
		{"title", func(d *Draft) { d.Title = strings.Repeat("x", MaxTitle+1) }},
		{"description", func(d *Draft) { d.Description = "\x00" }},
		{"description", func(d *Draft) { d.Description = strings.Repeat("x", MaxDescription+1) }},
		{"city", func(d *Draft) { d.City = "" }},
		{"city", func(d *Draft) { d.City = "Lisbon" }},
		{"city", func(d *Draft) { d.City = "-lisbon" }},
		{"city", func(d *Draft) { d.City = "lisbon-" }},
		{"city", func(d *Draft) { d.City = "new--york" }},
		{"city", func(d *Draft) { d.City = "são-paulo" }},
		{"city", func(d *Draft) { d.City = strings.Repeat("x", MaxSlug+1) }},
		{"type", func(d *Draft) { d.Type = "castle" }},
		{"type", func(d *Draft) { d.Type = "" }},
		{"offer", func(d *Draft) { d.Offer = "lease" }},
		{"price_minor", func(d *Draft) { d.PriceMinor = 0 }},
		{"price_minor", func(d *Draft) { d.PriceMinor = -1 }},
		{"price_minor", func(d *Draft) { d.PriceMinor = MaxPriceMinor + 1 }},
		{"currency", func(d *Draft) { d.Currency = "eur" }},
		{"currency", func(d *Draft) { d.Currency = "EURO" }},
		{"currency", func(d *Draft) { d.Currency = "" }},
		{"bedrooms", func(d *Draft) { d.Bedrooms = -1 }},
		{"bedrooms", func(d *Draft) { d.Bedrooms = MaxRooms + 1 }},
		{"bathrooms", func(d *Draft) { d.Bathrooms = -1 }},
		{"area_m2", func(d *Draft) { d.AreaM2 = 0 }},
		{"area_m2", func(d *Draft) { d.AreaM2 = math.NaN() }},
		{"area_m2", func(d *Draft) { d.AreaM2 = math.Inf(1) }},
		{"latitude", func(d *Draft) { d.Latitude = 90.001 }},
		{"latitude", func(d *Draft) { d.Latitude = math.NaN() }},
		{"longitude", func(d *Draft) { d.Longitude = -180.001 }},
		{"amenities", func(d *Draft) { d.Amenities = manyAmenities(MaxAmenities + 1) }},
		{"amenities[1]", func(d *Draft) { d.Amenities = []string{"lift", ""} }},
		{"amenities[0]", func(d *Draft) { d.Amenities = []string{strings.Repeat("x", MaxAmenity+1)} }},
		{"status", func(d *Draft) { d.Status = "gone" }},
		{"agent_id", func(d *Draft) { d.AgentID = 0 }},
	} {
		d := goodDraft()
		tt.change(&d)
		if got := failing(t, d.Validate()); !cmp.Equal(got, []string{tt.field}) {
			t.Errorf("%+v: fields %q are wrong, want %q", d, got, tt.field)
		}
	}
}

func TestValidateNamesEveryWrongField(t *testing.T) {
	var d Draft
	want := []string{"title", "city", "type", "offer", "price_minor", "currency", "area_m2", "status", "agent_id"}
	if diff := cmp.Diff(failing(t, d.Validate()), want); diff != "" {
		t.Errorf("of an empty draft, got before want:\n%s", diff)
	}
}

func failing(t *testing.T, err error) (fields []string) {
	t.Helper()
	var wrong FieldErrors
	if err != nil && !errors.As(err, &wrong) {
		t.Fatalf("Validate returned a %T", err)
	}
	for _, f := range wrong {
		if !strings.HasPrefix(f.Message, "must be ") {
			t.Errorf("%s: message %q does not say what it must be", f.Field, f.Message)
		}
		fields = append(fields, f.Field)
	}
	return fields
}

func manyAmenities(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("amenity %d", i)
	}
	return all
}
