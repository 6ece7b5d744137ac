package listing

import "strconv"

// The tags that the change log's triggers write (migrations) and that reads depend on (package postgres). Both sides must agree;
// a property test there says so.
const (
	// TagListings is touched by every change of a listing. Lists without a city depend on it.
	TagListings = "listings"
)

// Tag returns the tag of one listing: touched by every change of it, also by its creation.
func Tag(id int64) string { return "listing:" + strconv.FormatInt(id, 10) }

// CityTag returns the tag of a city's lists and statistics: touched by every change of a listing that is or was there.
func CityTag(city string) string { return "city:" + city }

// Tag returns the tag of the query's result: that of the most selective facet it names.
func (q Query) Tag() string {
	if q.City != "" {
		return CityTag(q.City)
	}
	return TagListings
}
