package cache

import "strconv"

// Source says where an answer came from. Every answer has exactly one.
type Source uint8

// The sources, from the nearest to the farthest.
const (
	SourceViewL1   Source = iota // a whole response out of this process
	SourceViewL2                 // a whole response out of Redis
	SourceDataL1                 // built from values out of this process
	SourceDataL2                 // built from values of which the farthest came out of Redis
	SourcePostgres               // the database was read for it
	SourceStale                  // an expired entry, or one that could not be judged, in place of an origin that failed or was slow; labelled so
	SourceError                  // no answer: a failure of ours
	sources                      // how many there are
)

// Sources holds all sources in order, for creating a metric for each.
var Sources = [sources]Source{SourceViewL1, SourceViewL2, SourceDataL1, SourceDataL2, SourcePostgres, SourceStale, SourceError}

// String is the value of the label "source".
func (s Source) String() string {
	if s < sources {
		return [sources]string{"view_l1", "view_l2", "data_l1", "data_l2", "postgres", "stale", "error"}[s]
	}
	return "source_" + strconv.Itoa(int(s))
}

// sourceOf is where a hit of a layer comes from.
func sourceOf(level Level, layer Layer) Source {
	return [levels][layers]Source{Data: {SourceDataL1, SourceDataL2}, Views: {SourceViewL1, SourceViewL2}}[level][layer]
}
