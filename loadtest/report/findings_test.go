package report

import (
	"strings"
	"testing"
)

// fixed returns a small report that no rule but those of a test says anything new about: a baseline and one cache.
func fixed() *Report {
	strategy := func(name string) Strategy {
		return Strategy{Name: name, Requests: 10_000, RateRPS: 100, P99Seconds: 0.040, CapacityRPS: 1000, CapacityLimit: "latency"}
	}
	return &Report{
		Conditions: Conditions{RateRPS: 100, DurationSeconds: 100, Cores: 2},
		Strategies: []Strategy{strategy("none"), strategy("aside")},
	}
}

func TestEachFindingNeedsItsFigures(t *testing.T) {
	class := func(name string, p50 float64) map[string]Class {
		return map[string]Class{name: {Requests: 500, P50Seconds: p50}}
	}
	for _, test := range []struct {
		name string
		text string // that the finding contains
		good bool
		on   func(base, aside *Strategy, r *Report) // the figures support it
		off  func(base, aside *Strategy, r *Report) // they do not
	}{
		{
			"baseline missing", "baseline without a cache was not run", false,
			func(_, _ *Strategy, r *Report) { r.Strategies = r.Strategies[1:] },
			func(_, _ *Strategy, r *Report) {},
		}, {
			"requests failed", "aside: 300 of 10,000 requests failed. Its figures at the equal rate are not comparable", false,
			func(_, aside *Strategy, _ *Report) { aside.Errors = 300 },
			func(_, aside *Strategy, _ *Report) { aside.Errors = 0 },
		}, {
			"requests dropped", "aside: 2,000 requests could not be started in time. Its figures at the equal rate are not comparable", false,
			func(_, aside *Strategy, _ *Report) { aside.Dropped = 2000 },
			func(_, aside *Strategy, _ *Report) { aside.Dropped = 3 },
		}, {
			"baseline spoilt", "the report does not say what caching changes", false,
			func(base, _ *Strategy, _ *Report) { base.Errors = 300 },
			func(_, aside *Strategy, _ *Report) { aside.Errors = 300 },
		}, {
			"rate missed", "the rate reached 80 requests/s instead of 100", false,
			func(_, aside *Strategy, _ *Report) { aside.RateRPS = 80 },
			func(_, aside *Strategy, _ *Report) { aside.RateRPS = 98 },
		}, {
			"a few dropped", "3 requests could not be started in time. That is 0.03 % of all, too few", false,
			func(_, aside *Strategy, _ *Report) { aside.Dropped = 3 },
			func(_, aside *Strategy, _ *Report) { aside.Dropped = 2000 },
		}, {
			"nothing ran", "aside answered no request", false,
			func(_, aside *Strategy, _ *Report) { aside.Requests = 0 },
			func(_, _ *Strategy, _ *Report) {},
		}, {
			"machine crowded", "cores were nearly all busy during the run of none (95 %)", false,
			func(base, _ *Strategy, _ *Report) { base.ServiceCPUSeconds, base.DBCPUSeconds = 60, 130 },
			func(base, _ *Strategy, _ *Report) { base.ServiceCPUSeconds, base.DBCPUSeconds = 30, 100 },
		}, {
			"p99 falls", "p99 falls from 40 ms without a cache to 2.0 ms with aside (20× faster)", true,
			func(_, aside *Strategy, _ *Report) { aside.P99Seconds = 0.002 },
			func(_, aside *Strategy, _ *Report) { aside.P99Seconds, aside.Errors = 0.002, 5000 },
		}, {
			"p99 stays", "At the tail caching buys little here: p99 is 40 ms without a cache and 38 ms with aside", false,
			func(_, aside *Strategy, _ *Report) { aside.P99Seconds = 0.038 },
			func(_, aside *Strategy, _ *Report) { aside.P99Seconds = 0.020 },
		}, {
			"p99 rises", "Caching makes the tail worse: p99 rises from 40 ms without a cache to 60 ms with aside (1.5× slower)", false,
			func(_, aside *Strategy, _ *Report) { aside.P99Seconds = 0.060 },
			func(_, aside *Strategy, _ *Report) { aside.P99Seconds = 0.041 },
		}, {
			"a key buys little", "For one listing by its key a cache buys little: the median is 1.0 ms from Postgres and 0.90 ms with aside", false,
			func(base, aside *Strategy, _ *Report) {
				base.Classes, aside.Classes = class("detail", 0.001), class("detail", 0.0009)
			},
			func(base, aside *Strategy, _ *Report) {
				base.Classes, aside.Classes = class("detail", 0.001), class("detail", 0.0003)
			},
		}, {
			"a key costs", "For one listing by its key a cache costs time", false,
			func(base, aside *Strategy, _ *Report) {
				base.Classes, aside.Classes = class("detail", 0.001), class("detail", 0.0015)
			},
			func(base, aside *Strategy, _ *Report) {
				base.Classes, aside.Classes = class("detail", 0.001), map[string]Class{"detail": {Requests: 9, P50Seconds: 0.0015}}
			},
		}, {
			"pays most", "Caching pays most for the statistics of a city: the median is 36 ms from Postgres, 1.0 ms with aside (36× faster)", true,
			func(base, aside *Strategy, _ *Report) {
				base.Classes = map[string]Class{"detail": {Requests: 500, P50Seconds: 0.001}, "stats": {Requests: 500, P50Seconds: 0.036}}
				aside.Classes = map[string]Class{"detail": {Requests: 500, P50Seconds: 0.0003}, "stats": {Requests: 500, P50Seconds: 0.001}}
			},
			func(base, aside *Strategy, _ *Report) { // the only class: there is no most
				base.Classes, aside.Classes = class("stats", 0.036), class("stats", 0.001)
			},
		}, {
			"writes pay", "Writes pay for it: their median rises from 2.0 ms without a cache to 3.0 ms with aside (1.5× slower)", false,
			func(base, aside *Strategy, _ *Report) {
				base.Classes, aside.Classes = class("write", 0.002), class("write", 0.003)
			},
			func(base, aside *Strategy, _ *Report) {
				base.Classes, aside.Classes = class("write", 0.002), class("write", 0.0021)
			},
		}, {
			"capacity rises", "Capacity rises from 1,000 requests/s without a cache to 4,000 with aside (4.0×)", true,
			func(_, aside *Strategy, _ *Report) { aside.CapacityRPS = 4000 },
			func(base, aside *Strategy, _ *Report) { base.CapacityLimit, aside.CapacityRPS = "generator", 4000 },
		}, {
			"capacity at least", "to at least 4,000 with aside (at least 4.0×)", true,
			func(_, aside *Strategy, _ *Report) { aside.CapacityRPS, aside.CapacityLimit = 4000, "generator" },
			func(_, aside *Strategy, _ *Report) { aside.CapacityRPS = 4000 },
		}, {
			"capacity stays", "Caching hardly moves the capacity", false,
			func(_, aside *Strategy, _ *Report) { aside.CapacityRPS = 1050 },
			func(_, aside *Strategy, _ *Report) { aside.CapacityRPS, aside.CapacityLimit = 1050, "ceiling" },
		}, {
			"capacity falls", "Caching lowers the capacity", false,
			func(_, aside *Strategy, _ *Report) { aside.CapacityRPS = 500 },
			func(_, aside *Strategy, _ *Report) { aside.CapacityRPS, aside.CapacityLimit = 500, "generator" },
		}, {
			"generator gave out", "The load generator gave out before the service did for aside (1,000 requests/s by k6)", false,
			func(_, aside *Strategy, _ *Report) { aside.CapacityLimit, aside.CapacityGenerator = "generator", "k6" },
			func(_, aside *Strategy, _ *Report) { aside.CapacityLimit, aside.CapacityGenerator = "errors", "k6" },
		}, {
			"ceiling", "ended at its ceiling for aside", false,
			func(_, aside *Strategy, _ *Report) { aside.CapacityLimit = "ceiling" },
			func(_, aside *Strategy, _ *Report) { aside.CapacityLimit, aside.CapacityRPS = "ceiling", 0 },
		}, {
			"queries saved", "A request costs 1.6 database queries without a cache, 0.20 with aside (8.0× fewer)", true,
			func(base, aside *Strategy, _ *Report) { base.DBQueriesPerRequest, aside.DBQueriesPerRequest = 1.6, 0.2 },
			func(base, aside *Strategy, _ *Report) { base.DBQueriesPerRequest, aside.DBQueriesPerRequest = 1.6, 1.5 },
		}, {
			"all queries saved", "0 with aside (all saved)", true,
			func(base, _ *Strategy, _ *Report) { base.DBQueriesPerRequest = 1.6 },
			func(_, _ *Strategy, _ *Report) {}, // nothing counted: a zero is no measurement
		}, {
			"queries not saved", "The database is hardly spared", false,
			func(base, aside *Strategy, _ *Report) { base.DBQueriesPerRequest, aside.DBQueriesPerRequest = 1.6, 1.5 },
			func(base, aside *Strategy, _ *Report) { base.DBQueriesPerRequest, aside.DBQueriesPerRequest = 1.6, 2.5 },
		}, {
			"more queries", "The database is asked more often with a cache", false,
			func(base, aside *Strategy, _ *Report) { base.DBQueriesPerRequest, aside.DBQueriesPerRequest = 1.6, 2.5 },
			func(base, aside *Strategy, _ *Report) { base.DBQueriesPerRequest, aside.DBQueriesPerRequest = 1.6, 1.7 },
		}, {
			"feed", "1,200 of the 4,800 database queries of aside (25 %) are its change feed", false,
			func(_, aside *Strategy, _ *Report) { aside.DBQueries, aside.DBFeedQueries = 4800, 1200 },
			func(_, aside *Strategy, _ *Report) { aside.DBQueries = 4800 },
		}, {
			"database CPU saved", "For the same traffic Postgres spends 50.0 s of CPU without a cache, 5.0 s with aside (10× less)", true,
			func(base, aside *Strategy, _ *Report) { base.DBCPUSeconds, aside.DBCPUSeconds = 50, 5 },
			func(_, aside *Strategy, _ *Report) { aside.DBCPUSeconds = 5 },
		}, {
			"service CPU saved", "The service and Redis spend 20.0 s of CPU without a cache, 10.0 s with aside (2.0× less)", true,
			func(base, aside *Strategy, _ *Report) {
				base.ServiceCPUSeconds, aside.ServiceCPUSeconds, aside.RedisCPUSeconds = 20, 8, 2
			},
			func(base, aside *Strategy, _ *Report) { base.ServiceCPUSeconds, aside.ServiceCPUSeconds = 20, 10 }, // Redis is not told of
		}, {
			"service CPU paid", "The service spends more: 20.0 s of CPU without a cache, 30.0 s with aside (1.5× more)", false,
			func(base, aside *Strategy, _ *Report) { base.ServiceCPUSeconds, aside.ServiceCPUSeconds = 20, 30 },
			func(base, aside *Strategy, _ *Report) { base.ServiceCPUSeconds, aside.ServiceCPUSeconds = 20, 21 },
		}, {
			"hits", "Reads answered without asking the database: aside 78 %", true,
			func(_, aside *Strategy, _ *Report) { aside.HitRatio = 0.78 },
			func(_, aside *Strategy, _ *Report) { aside.HitRatio = 0.3 },
		}, {
			"few hits", "Fewer than half of the reads were answered without the database: aside 0 %", false,
			func(_, aside *Strategy, _ *Report) { aside.Answers = map[string]int64{"postgres": 10_000} },
			func(_, _ *Strategy, _ *Report) {}, // no answers counted
		}, {
			"idle layer", "Hardly ever a hit, so of little use at this traffic: data in Redis of aside (3.0 %)", false,
			func(_, aside *Strategy, _ *Report) { aside.LayerHitRatios = map[string]float64{"data_l2": 0.03} },
			func(_, aside *Strategy, _ *Report) { aside.LayerHitRatios = map[string]float64{"data_l2": 0.4} },
		}, {
			"memory", "Memory is the price: the service holds 60 MB without a cache, 140 MB with aside (Redis 40 MB)", false,
			func(base, aside *Strategy, _ *Report) {
				base.ServiceRSSBytes, base.RedisMemoryBytes, aside.ServiceRSSBytes, aside.RedisMemoryBytes = 60e6, 1e6, 140e6, 40e6
			},
			func(base, aside *Strategy, _ *Report) {
				base.ServiceRSSBytes, base.RedisMemoryBytes, aside.ServiceRSSBytes, aside.RedisMemoryBytes = 60e6, 1e6, 61e6, 1e6
			},
		}, {
			"no witness", "No witness read through aside", false,
			func(_, _ *Strategy, _ *Report) {},
			func(_, aside *Strategy, _ *Report) { aside.WitnessReads = 100 },
		}, {
			"never stale", "aside answered every one of the witness's 1,000 reads fresh", true,
			func(_, aside *Strategy, _ *Report) { aside.WitnessReads = 1000 },
			func(_, aside *Strategy, _ *Report) {
				aside.WitnessReads, aside.StaleReads, aside.StaleShare, aside.StalenessWorstSeconds = 1000, 1, 0.001, 0.01
			},
		}, {
			"hardly stale", "aside answered 1.0 % of the witness's reads stale, never by more than 84 ms", true,
			func(_, aside *Strategy, _ *Report) {
				aside.WitnessReads, aside.StaleReads, aside.StaleShare, aside.StalenessWorstSeconds = 1000, 10, 0.01, 0.084
			},
			func(_, aside *Strategy, _ *Report) {
				aside.WitnessReads, aside.StaleReads, aside.StaleShare, aside.StalenessWorstSeconds = 1000, 10, 0.01, 0.3
			},
		}, {
			"stale", "aside answered 31 % of the witness's reads stale, up to 9.8 s old (search pages: 50 %; single listings: 12 %)", false,
			func(_, aside *Strategy, _ *Report) {
				aside.WitnessReads, aside.StaleReads, aside.StaleShare, aside.StalenessWorstSeconds = 1000, 310, 0.31, 9.8
				aside.StaleByKind = map[string]StaleKind{"listing": {Reads: 500, Stale: 60}, "page": {Reads: 500, Stale: 250}}
			},
			func(_, aside *Strategy, _ *Report) { // pages are not much worse: nothing to name
				aside.WitnessReads, aside.StaleReads, aside.StaleShare, aside.StalenessWorstSeconds = 1000, 310, 0.31, 9.8
				aside.StaleByKind = map[string]StaleKind{"listing": {Reads: 500, Stale: 150}, "page": {Reads: 500, Stale: 160}}
			},
		}, {
			"margin of the witness", "Without a cache the witness still calls 0.2 % of its reads stale, by up to 2.0 ms", false,
			func(base, _ *Strategy, _ *Report) {
				base.WitnessReads, base.StaleReads, base.StaleShare, base.StalenessWorstSeconds = 1000, 2, 0.002, 0.002
			},
			func(base, _ *Strategy, _ *Report) { base.WitnessReads = 1000 },
		}, {
			"price of truth", "stamped has a p99 of 40 ms where ttl, which never asks whether its entries are true, has 20 ms", false,
			func(base, aside *Strategy, _ *Report) {
				base.Name, aside.Name, aside.P99Seconds = "stamped", "ttl", 0.02
			},
			func(base, aside *Strategy, _ *Report) { base.Name, aside.Name = "stamped", "ttl" },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, supported := range []bool{true, false} {
				r, change := fixed(), test.on
				if !supported {
					change = test.off
				}
				change(&r.Strategies[0], &r.Strategies[1], r)
				Find(r)
				var texts []string
				var found bool
				for _, f := range r.Findings {
					texts = append(texts, f.Text)
					if strings.Contains(f.Text, test.text) {
						found = true
						if f.Good != test.good {
							t.Errorf("good is %v: %s", f.Good, f.Text)
						}
					}
				}
				if found != supported {
					t.Errorf("found is %v, want %v: %q\nfindings:\n%s", found, supported, test.text, strings.Join(texts, "\n"))
				}
			}
		})
	}
}

func TestSpoiltRunsAreNotCompared(t *testing.T) {
	r := sample(t)
	r.find("none").Errors = 30_000
	Find(r)
	for _, f := range r.Findings {
		if strings.Contains(f.Text, "p99 falls") || strings.Contains(f.Text, "database queries without a cache") {
			t.Errorf("compared with a spoilt baseline: %s", f.Text)
		}
	}
	if cards := r.cards(); len(cards) > 0 && strings.Contains(cards[0].Figure, "faster") {
		t.Errorf("the page is headed by a comparison with a spoilt baseline: %s", cards[0].Figure)
	}
}

func TestFindAnswersTheSameTwice(t *testing.T) {
	r := sample(t)
	first := len(r.Findings)
	Find(r)
	if first == 0 || len(r.Findings) != first {
		t.Errorf("%d findings, then %d", first, len(r.Findings))
	}
}
