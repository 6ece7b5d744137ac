package report

import (
	"fmt"
	"sort"
)

func databaseQueries(r *Report) []Finding {
	if !r.countedQueries() {
		return nil
	}
	better, same, worse := r.contrasts(func(s *Strategy) (float64, bool) { return s.DBQueriesPerRequest, true })
	var found []Finding
	if len(better) > 0 {
		found = append(found, speaksFor("A request costs %s database queries without a cache, %s.",
			figure(better[0].base), told(better, figure, "fewer"))...)
	}
	if len(same) > 0 {
		found = append(found, speaksAgainst("The database is hardly spared: %s queries a request without a cache, %s.",
			figure(same[0].base), listed(same, figure))...)
	}
	if len(worse) > 0 {
		found = append(found, speaksAgainst("The database is asked more often with a cache: %s queries a request without, %s.",
			figure(worse[0].base), told(worse, figure, "more"))...)
	}
	return found
}

// feedQueries tells what following the changes costs the database: it is part of what a strategy asks.
func feedQueries(r *Report) []Finding {
	var found []Finding
	for _, s := range r.caching() {
		if s.DBFeedQueries <= 0 || s.DBQueries <= 0 {
			continue
		}
		found = append(found, speaksAgainst("%s of the %s of %s (%s) are its change feed: the price of knowing what changed.",
			count(float64(s.DBFeedQueries)), queries(s.DBQueries), s.Name, percent(float64(s.DBFeedQueries)/float64(s.DBQueries)))...)
	}
	return found
}

func queries(n int64) string {
	if n == 1 {
		return "1 database query"
	}
	return count(float64(n)) + " database queries"
}

// databaseCPU compares whole runs: sound runs have the same rate and length.
func databaseCPU(r *Report) []Finding {
	better, same, worse := r.contrasts(func(s *Strategy) (float64, bool) { return s.DBCPUSeconds, s.DBCPUSeconds > 0 })
	var found []Finding
	if len(better) > 0 {
		found = append(found, speaksFor("For the same traffic Postgres spends %s of CPU without a cache, %s.",
			effort(better[0].base), told(better, effort, "less"))...)
	}
	if len(same) > 0 {
		found = append(found, speaksAgainst("Postgres works about as hard with a cache as without: %s of CPU without, %s.",
			effort(same[0].base), listed(same, effort))...)
	}
	if len(worse) > 0 {
		found = append(found, speaksAgainst("Postgres works harder with a cache: %s of CPU without, %s.",
			effort(worse[0].base), told(worse, effort, "more"))...)
	}
	return found
}

// serviceCPU compares what the service burns, Redis added: Redis is there for the caches only.
func serviceCPU(r *Report) []Finding {
	subject, verb := "The service", "spends"
	for _, s := range r.Strategies {
		if s.RedisCPUSeconds > 0 {
			subject, verb = "The service and Redis", "spend"
		}
	}
	better, same, worse := r.contrasts(func(s *Strategy) (float64, bool) {
		return s.ServiceCPUSeconds + s.RedisCPUSeconds, s.ServiceCPUSeconds > 0
	})
	var found []Finding
	if len(better) > 0 {
		found = append(found, speaksFor("%s %s %s of CPU without a cache, %s.",
			subject, verb, effort(better[0].base), told(better, effort, "less"))...)
	}
	if len(same) > 0 {
		found = append(found, speaksAgainst("%s %s about as much: %s of CPU without a cache, %s.",
			subject, verb, effort(same[0].base), listed(same, effort))...)
	}
	if len(worse) > 0 {
		found = append(found, speaksAgainst("%s %s more: %s of CPU without a cache, %s.",
			subject, verb, effort(worse[0].base), told(worse, effort, "more"))...)
	}
	return found
}

func answeredByCache(r *Report) []Finding {
	var many, few []string
	for _, s := range r.caching() {
		if len(s.Answers) == 0 && s.HitRatio <= 0 {
			continue
		}
		told := fmt.Sprintf("%s %s", s.Name, percent(s.HitRatio))
		if s.HitRatio >= 0.5 {
			many = append(many, told)
			continue
		}
		few = append(few, told)
	}
	var found []Finding
	if len(many) > 0 {
		found = append(found, speaksFor("Reads answered without asking the database: %s.", list(many))...)
	}
	if len(few) > 0 {
		found = append(found, speaksAgainst("Fewer than half of the reads were answered without the database: %s.", list(few))...)
	}
	return found
}

// idleLayers names layers that are asked and hardly ever know: they cost and buy nothing at this traffic.
func idleLayers(r *Report) []Finding {
	var idle []string
	for _, s := range r.caching() {
		var layers []string
		for layer, ratio := range s.LayerHitRatios {
			if ratio < 0.05 {
				layers = append(layers, layer)
			}
		}
		sort.Strings(layers)
		for _, layer := range layers {
			idle = append(idle, fmt.Sprintf("%s of %s (%s)", layerName(layer), s.Name, percent(s.LayerHitRatios[layer])))
		}
	}
	if len(idle) == 0 {
		return nil
	}
	return speaksAgainst("Hardly ever a hit, so of little use at this traffic: %s.", list(idle))
}

func layerName(layer string) string {
	switch layer {
	case "view_l1":
		return "views in process"
	case "view_l2":
		return "views in Redis"
	case "data_l1":
		return "data in process"
	case "data_l2":
		return "data in Redis"
	}
	return layer
}

// memory tells what the caches hold. The baseline's figure stands beside it, since a service holds memory without caches too.
func memory(r *Report) []Finding {
	base := r.find(baselineName)
	if base == nil || base.ServiceRSSBytes == 0 {
		return nil
	}
	var parts []string
	for _, s := range r.caching() {
		more := s.ServiceRSSBytes > base.ServiceRSSBytes+base.ServiceRSSBytes/20
		redis := s.RedisMemoryBytes > base.RedisMemoryBytes+base.RedisMemoryBytes/20
		if s.ServiceRSSBytes == 0 || !more && !redis {
			continue
		}
		part := fmt.Sprintf("%s with %s", size(float64(s.ServiceRSSBytes)), s.Name)
		if redis {
			part += fmt.Sprintf(" (Redis %s)", size(float64(s.RedisMemoryBytes)))
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return nil
	}
	return speaksAgainst("Memory is the price: the service holds %s without a cache, %s.", size(float64(base.ServiceRSSBytes)), list(parts))
}
