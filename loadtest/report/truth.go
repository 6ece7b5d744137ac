package report

import (
	"fmt"
	"sort"
)

// staleness says, strategy by strategy, what the witness saw.
func staleness(r *Report) []Finding {
	var found []Finding
	for i := range r.Strategies {
		s := &r.Strategies[i]
		switch {
		case s.WitnessReads == 0 && s.Name == baselineName:
		case s.WitnessReads == 0:
			found = append(found, speaksAgainst("No witness read through %s: nothing is known of its freshness.", s.Name)...)
		case s.Name == baselineName && s.StaleReads == 0:
		case s.Name == baselineName:
			found = append(found, speaksAgainst("Without a cache the witness still calls %s of its reads stale, by up to %s: that is its own margin of error.",
				percent(s.StaleShare), duration(s.StalenessWorstSeconds))...)
		case s.StaleReads == 0:
			found = append(found, speaksFor("%s answered every one of the witness's %s fresh.", s.Name, noun(s.WitnessReads, "read"))...)
		case s.StalenessWorstSeconds <= prompt:
			found = append(found, speaksFor("%s answered %s of the witness's reads stale, never by more than %s%s.",
				s.Name, percent(s.StaleShare), duration(s.StalenessWorstSeconds), stalestKind(s))...)
		default:
			found = append(found, speaksAgainst("%s answered %s of the witness's reads stale, up to %s old%s.",
				s.Name, percent(s.StaleShare), duration(s.StalenessWorstSeconds), stalestKind(s))...)
		}
	}
	return found
}

// stalestKind names the kind of answer that is stale at least twice as often as the least stale kind, in words to append.
func stalestKind(s *Strategy) string {
	var kinds []string
	for kind, seen := range s.StaleByKind {
		if seen.Reads >= enough {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) < 2 {
		return ""
	}
	share := func(kind string) float64 {
		return float64(s.StaleByKind[kind].Stale) / float64(s.StaleByKind[kind].Reads)
	}
	sort.Slice(kinds, func(i, j int) bool {
		if share(kinds[i]) != share(kinds[j]) {
			return share(kinds[i]) > share(kinds[j])
		}
		return kinds[i] < kinds[j]
	})
	first, last := share(kinds[0]), share(kinds[len(kinds)-1])
	if first < 0.01 || first < 2*last {
		return ""
	}
	return fmt.Sprintf(" (%s: %s; %s: %s)", kindName(kinds[0]), percent(first), kindName(kinds[len(kinds)-1]), percent(last))
}

func kindName(kind string) string {
	switch kind {
	case "listing":
		return "single listings"
	case "page":
		return "search pages"
	case "stats":
		return "city statistics"
	}
	return kind
}

// priceOfTruth tells what judging every entry costs against a cache that does not judge.
func priceOfTruth(r *Report) []Finding {
	stamped, ttl := r.find("stamped"), r.find("ttl")
	if !r.sound(stamped) || !r.sound(ttl) || stamped.P99Seconds <= 0 || ttl.P99Seconds <= 0 {
		return nil
	}
	if stamped.P99Seconds < alike*ttl.P99Seconds {
		return nil
	}
	return speaksAgainst("Judging every entry costs time: stamped has a p99 of %s where ttl, which never asks whether its entries are true, has %s.",
		duration(stamped.P99Seconds), duration(ttl.P99Seconds))
}
