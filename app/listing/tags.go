package listing

import "strconv"

// The tags that the change log's triggers write (migrations) and that reads depend on (package postgres). Both sides must agree;
// a property test there says so.
const (
	// TagListings is touched by every change of a listing. Lists without a place depend on it.
	TagListings = "listings"
)

// Tag returns the tag of one listing: touched by every change of it, also by its creation.
func Tag(id int64) string { return "listing:" + strconv.FormatInt(id, 10) }

// CityTag returns the tag of a city's lists and statistics: touched by every change of a listing that is or was there.
func CityTag(city string) string { return "city:" + city }

// Tag returns the tag of the query's result: that of its city, or that of every change. A search in a region or country without a city depends on the
// tags of the cities there instead, which the store reads in the same snapshot. So a write need not name more than its city, a search
// of a country is not invalidated by another country's writes, and a city that comes, goes or moves touches everything anyway.
func (q Query) Tag() string {
	if q.City != "" {
		return CityTag(q.City)
	}
	return TagListings
}
