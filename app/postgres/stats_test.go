package postgres

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.com/strata/app/listing"
)

func TestStatisticsAreThoseOfTheActiveListings(t *testing.T) {
	db, all := newSearchable(t, 120)
	city := func(l listing.Listing) bool { return l.City == "alpha" }
	got, err := db.CityStats(t.Context(), "alpha")
	if err != nil {
		t.Fatal(err)
	}
	want := listing.CityStats{City: "alpha"}
	for _, l := range all {
		if city(l) && l.UpdatedAt.After(want.UpdatedAt) {
			want.UpdatedAt = l.UpdatedAt
		}
	}
	for _, offer := range []listing.Offer{listing.Rent, listing.Sale} {
		for _, kind := range []listing.PropertyType{listing.Apartment, listing.House} {
			group := expect(all, listing.Query{City: "alpha", Offer: offer, Type: kind})
			if len(group) == 0 {
				continue
			}
			var price, perM2 []float64
			for _, l := range group {
				if l.Currency == "EUR" { // most are
					price, perM2 = append(price, float64(l.PriceMinor)), append(perM2, float64(l.PriceMinor)/l.AreaM2)
				}
			}
			want.Listings += int64(len(group))
			want.Groups = append(want.Groups, listing.TypeStats{
				Offer: offer, Type: kind, Listings: int64(len(group)), Currency: "EUR", PriceMinor: percentilesOf(price), PerM2Minor: percentilesOf(perM2),
			})
		}
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// percentilesOf interpolates between the closest ranks.
func percentilesOf(values []float64) listing.Percentiles {
	slices.Sort(values)
	at := func(p float64) float64 {
		rank := p * float64(len(values)-1)
		low := int(math.Floor(rank))
		high := min(low+1, len(values)-1)
		return values[low] + (rank-float64(low))*(values[high]-values[low])
	}
	return listing.Percentiles{P10: at(0.1), Median: at(0.5), P90: at(0.9)}
}

func TestCityWithoutActiveListingsHasEmptyStatistics(t *testing.T) {
	db := newSmallDatabase(t).open(t, Config{})
	got, err := db.CityStats(t.Context(), "alpha")
	if diff := cmp.Diff(listing.CityStats{City: "alpha", Groups: []listing.TypeStats{}}, got); err != nil || diff != "" {
		t.Errorf("no listing: error %v (-want +got):\n%s", err, diff)
	}
	sold := draft("alpha")
	sold.Status = listing.Sold
	l := create(t, db, sold)
	got, err = db.CityStats(t.Context(), "alpha")
	if diff := cmp.Diff(listing.CityStats{City: "alpha", Groups: []listing.TypeStats{}, UpdatedAt: l.UpdatedAt}, got); err != nil || diff != "" {
		t.Errorf("a sold one: error %v (-want +got):\n%s", err, diff)
	}
}

func TestCitiesComeWithTheirActiveListingsLargestFirst(t *testing.T) {
	db := newSmallDatabase(t).open(t, Config{})
	rent, sold := draft("gamma"), draft("beta")
	rent.Offer, sold.Status = listing.Rent, listing.Sold
	create(t, db, rent)
	create(t, db, draft("gamma"))
	create(t, db, sold)
	got, err := db.Cities(t.Context())
	want := []listing.City{
		{Slug: "gamma", Name: "Gamma", Region: "South", RegionSlug: "south", Country: "BB", Latitude: -30, Longitude: 30, ForSale: 1, ForRent: 1},
		{Slug: "alpha", Name: "Alpha", Region: "North", RegionSlug: "north", Country: "AA", Latitude: 10, Longitude: 10},
		{Slug: "beta", Name: "Beta", Region: "North", RegionSlug: "north", Country: "AA", Latitude: 20, Longitude: 20},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
}
