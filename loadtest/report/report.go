// Package report turns the measurements of a comparison into something to read: a table on the terminal, a self-contained
// HTML page, and JSON for machines.
package report

import "time"

// Report is one run of the comparison, whole. Its JSON form is report.json.
type Report struct {
	Started    time.Time  `json:"started"`
	Finished   time.Time  `json:"finished"`
	Conditions Conditions `json:"conditions"`
	Strategies []Strategy `json:"strategies"` // in the order they ran; the baseline "none" first where it ran
	Findings   []Finding  `json:"findings"`   // computed by Find
}

// Conditions say under what circumstances the figures were measured, so that nobody compares what cannot be compared.
type Conditions struct {
	Commit          string            `json:"commit"`   // git revision, with "+dirty" if the tree was
	Versions        map[string]string `json:"versions"` // strata, go, postgres, redis, k6, kernel
	CPU             string            `json:"cpu"`
	Cores           int               `json:"cores"`
	MemoryBytes     uint64            `json:"memory_bytes"`
	Listings        int               `json:"listings"`
	Seed            uint64            `json:"seed"`
	DurationSeconds float64           `json:"duration_seconds"` // of the equal-rate run of one strategy
	WarmSeconds     float64           `json:"warm_seconds"`
	RateRPS         float64           `json:"rate_rps"`       // target of the equal-rate run
	RateFrom        string            `json:"rate_from"`      // how it was chosen, in words
	Mix             string            `json:"mix"`            // the traffic, in words
	TTLSeconds      float64           `json:"ttl_seconds"`    // of strategies that expire
	CapacityLimit   string            `json:"capacity_limit"` // what capacity means, in words
	Notes           []string          `json:"notes"`          // what is not comparable, what was missing (miniredis in place of Redis, ...)
}

// Strategy is what was measured of one caching strategy. Durations are in seconds, sizes in bytes.
type Strategy struct {
	Name string `json:"name"` // none, ttl, aside, stamped

	// The run at the equal rate, measured by k6 at the client.
	RateRPS     float64          `json:"rate_rps"` // achieved
	Requests    int64            `json:"requests"`
	Dropped     int64            `json:"dropped"` // iterations that k6 could not start in time
	P50Seconds  float64          `json:"p50_seconds"`
	P95Seconds  float64          `json:"p95_seconds"`
	P99Seconds  float64          `json:"p99_seconds"`
	MeanSeconds float64          `json:"mean_seconds"`
	Errors      int64            `json:"errors"`  // answers that were not what was asked for
	Latency     []Bucket         `json:"latency"` // the distribution, for the chart
	Classes     map[string]Class `json:"classes"` // detail, search, stats, write

	// Capacity.
	CapacityRPS       float64 `json:"capacity_rps"`           // highest rate with p99 under 50 ms and nothing dropped
	CapacityP99       float64 `json:"capacity_p99_seconds"`   // at that rate
	CapacityGenerator string  `json:"capacity_generator"`     // k6, vegeta
	CapacityLimit     string  `json:"capacity_limit"`         // what stopped the search: latency, errors, generator, ceiling
	CapacityCPU       float64 `json:"capacity_generator_cpu"` // the generator's share of one core at that rate

	// The database, from pg_stat_statements and pg_stat_database over the equal-rate run.
	DBQueries           int64    `json:"db_queries"` // statements by the service's role, its feed included
	DBQueriesPerRequest float64  `json:"db_queries_per_request"`
	DBFeedQueries       int64    `json:"db_feed_queries"` // of DBQueries, those of the change feed
	DBSeconds           float64  `json:"db_seconds"`      // execution time that pg_stat_statements adds up
	DBCPUSeconds        float64  `json:"db_cpu_seconds"`  // of all Postgres processes
	DBBlocksHit         int64    `json:"db_blocks_hit"`
	DBBlocksRead        int64    `json:"db_blocks_read"`
	DBTimeline          []Sample `json:"db_timeline"` // queries/s over the equal-rate run

	// The service.
	ServiceCPUSeconds   float64            `json:"service_cpu_seconds"`
	ServiceRSSBytes     uint64             `json:"service_rss_bytes"` // the highest seen
	RedisCPUSeconds     float64            `json:"redis_cpu_seconds"`
	RedisMemoryBytes    uint64             `json:"redis_memory_bytes"`
	GeneratorCPUSeconds float64            `json:"generator_cpu_seconds"` // k6's, in the equal-rate run
	HitRatio            float64            `json:"hit_ratio"`             // share of reads answered without the database
	LayerHitRatios      map[string]float64 `json:"layer_hit_ratios"`      // "view_l1", "view_l2", "data_l1", "data_l2"; a layer that nobody asked is absent
	Answers             map[string]int64   `json:"answers"`               // reads by source: view_l1, view_l2, data_l1, data_l2, postgres, stale, error

	// The truth, from the witness.
	WitnessReads          int64                `json:"witness_reads"`
	WitnessWrites         int64                `json:"witness_writes"`
	StaleReads            int64                `json:"stale_reads"`
	StaleShare            float64              `json:"stale_share"`           // of the witness's reads
	StalenessP50Seconds   float64              `json:"staleness_p50_seconds"` // of the stale reads; 0 without one
	StalenessP99Seconds   float64              `json:"staleness_p99_seconds"`
	StalenessWorstSeconds float64              `json:"staleness_worst_seconds"`
	Staleness             []Bucket             `json:"staleness"`     // the distribution over stale reads, for the chart
	StaleByKind           map[string]StaleKind `json:"stale_by_kind"` // listing, page, stats
}

// StaleKind is the witness's verdict on one kind of answer.
type StaleKind struct {
	Reads        int64   `json:"reads"`
	Stale        int64   `json:"stale"`
	WorstSeconds float64 `json:"worst_seconds"`
}

// Class is the latency of one class of requests.
type Class struct {
	Requests   int64   `json:"requests"`
	P50Seconds float64 `json:"p50_seconds"`
	P99Seconds float64 `json:"p99_seconds"`
}

// Bucket counts observations above the bucket before and up to UpTo.
type Bucket struct {
	UpTo  float64 `json:"up_to"` // seconds
	Count int64   `json:"count"`
}

// Sample is a value at a moment of the run.
type Sample struct {
	Seconds float64 `json:"seconds"` // since the run began
	Value   float64 `json:"value"`
}

// Finding is one sentence that the figures support.
type Finding struct {
	Text string `json:"text"`
	Good bool   `json:"good"` // speaks for caching; false where it buys nothing or costs
}
