package postgres

import (
	"github.com/jackc/pgx/v5"

	"strata/app/listing"
)

// origin is what a stamp is made of: under which snapshot a statement ran, on what kind of server, and which cities it depends on if it asked
// for those. It comes with the rows of the very statement, and a statement has one snapshot for everything in it.
type origin struct {
	snapshot string
	standby  bool
	cities   []string
	asked    bool // for cities
}

const originColumns = 4 // that wrap puts before the query's own

// mostCityTags bounds the tags of one stamp. A search of more cities depends on every change instead.
const mostCityTags = 64

// wrap returns the query's SQL with the origin before each row, and with one row, of nothing else, if the query has none. A left join of one row is a nested loop
// and keeps the query's order.
func (o *origin) wrap(q query) string {
	cities := q.places
	if o.asked = cities != ""; !o.asked {
		cities = `NULL::text[]`
	}
	return `SELECT (SELECT pg_current_snapshot()::text), (SELECT pg_is_in_recovery()), (SELECT ` + cities + `), found.*
		FROM (VALUES (true)) AS always LEFT JOIN (SELECT true AS present, answer.* FROM (` + q.sql + `) AS answer) AS found ON true`
}

// tags returns what a result of this origin depends on, if that is not cities then the tag.
func (o *origin) tags(tag string) []string {
	if !o.asked || len(o.cities) == 0 || len(o.cities) > mostCityTags {
		return []string{tag}
	}
	tags := make([]string, len(o.cities))
	for i, city := range o.cities {
		tags[i] = listing.CityTag(city)
	}
	return tags
}

// originRows are the rows of a wrapped query as the query itself would have them.
type originRows struct {
	pgx.Rows
	origin *origin
	into   []any
}

// Next implements pgx.Rows.
func (r *originRows) Next() bool {
	if !r.Rows.Next() {
		return false
	}
	if r.into == nil {
		r.into = make([]any, originColumns, len(r.Rows.FieldDescriptions()))
		all := make([]any, len(r.Rows.FieldDescriptions()))
		all[0], all[1], all[2] = &r.origin.snapshot, &r.origin.standby, &r.origin.cities
		if err := r.Rows.Scan(all...); err != nil {
			return false // the rows keep it
		}
	}
	return r.Rows.RawValues()[originColumns-1] != nil
}

// Scan implements pgx.Rows.
func (r *originRows) Scan(into ...any) error {
	return r.Rows.Scan(append(r.into[:originColumns], into...)...)
}
