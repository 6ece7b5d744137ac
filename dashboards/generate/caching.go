package main

import (
	"strings"

	"strata/strategies"
)

// caching is the home page: the project's question, and its answer, for somebody who knows nothing of either.
func caching() *dashboard {
	d := newBoard("strata-caching", "What did caching change?",
		"The same traffic with four caching strategies: speed, load on the database, price, and whether the answers were true.")
	d.choose("strategy", "Strategies", `query_result(sum by (strategy) (increase(strata_answers_total[$__range])) > 0)`, `/strategy="([^"]+)"/`)
	d.add(variable{
		"name": "baseline", "label": "Compared with", "type": "custom", "query": strings.Join(strategies.Names(), ","), "hide": 0, "includeAll": false, "multi": false,
		"current": object{"selected": true, "text": strategies.Baseline, "value": strategies.Baseline}, "options": baselines(),
	})
	d.text(`# What did caching change?
A property portal answers the same visitors with four caching strategies. **Faster** is half of the question; the other half is **true**: how long did a sold flat still look for sale?

| **none** | **ttl** | **aside** | **stamped** |
|---|---|---|---|
| every request reads Postgres: the baseline | answers are kept for a fixed time, true or not | data in Redis, deleted by the code that writes | all is kept, and proved fresh at each read |

**Read from the top:** the cards are the verdict over the time that is chosen above; below them come the reasons. No figures yet? Run `+"`make load`"+`, and let it play each strategy.`, 7)

	d.row("Verdict: what each strategy gained, and what it cost in truth")
	reads := `{strategy=~"$strategy", http_request_method=~"GET|HEAD"}`
	p99 := func(strategy string) string {
		return `histogram_quantile(0.99, sum by (le) (increase(http_server_request_duration_seconds_bucket{strategy=~"` + strategy + `", http_request_method=~"GET|HEAD"}[$__range])))`
	}
	d.stat("$strategy", "short", `One card a strategy, over the whole time that is shown. p99: ninety-nine of a hundred reads were answered within this time. Faster than $baseline: its p99 divided by this one's. `+
		`Queries a request: statements that the service sent to Postgres for each request. Answered without the database: by a cache, on whatever level. Age of answers: ninety-nine of a hundred were allowed to be this old when they left, at most.`, 24,
		q(p99("$strategy"), "p99"),
		q(p99("$baseline")+" / "+p99("$strategy"), "times faster than $baseline"),
		q(`sum(increase(db_client_operation_duration_seconds_count{db_system_name="postgresql", strategy=~"$strategy"}[$__range])) / (sum(increase(http_server_request_duration_seconds_count{strategy=~"$strategy"}[$__range])) > 0)`, "database queries a request"),
		q(`1 - sum(increase(strata_answers_total{strategy=~"$strategy", source="postgres"}[$__range])) / (sum(increase(strata_answers_total{strategy=~"$strategy"}[$__range])) > 0)`, "answered without database"),
		q(`histogram_quantile(0.99, sum by (le) (increase(strata_served_staleness_seconds_bucket{strategy=~"$strategy"}[$__range])))`, "age of answers, p99"),
	).repeat("strategy").height(12).vertical().
		named("p99", "s", 1, colorSteps("green", 0.05, "orange", 0.25, "red")).
		named("times faster than $baseline", "suffix:x", 1, colorSteps("red", 0.9, "text", 1.5, "green")).
		named("database queries a request", "none", 2, colorSteps("green", 0.2, "orange", 0.8, "red")).
		named("answered without database", "percentunit", 0, colorSteps("red", 0.2, "orange", 0.8, "green")).
		named("age of answers, p99", "s", 1, colorSteps("green", 0.25, "orange", 1, "red")).
		links(board("How fresh, and why", "strata-freshness"), board("Inside the caches", "strata-cache"))
	d.table("The worst minute of each strategy", "short", "strategy", "From the recording rules: of the time that is shown, the minute with the slowest p99, the most queries, the smallest share from caches and the oldest answers. "+
		"A strategy may have good minutes; this is what its visitors had to bear.", 24,
		q(`max by (strategy) (max_over_time(strategy:http_server_request_duration_seconds:p99_1m{strategy=~"$strategy"}[$__range]))`, "p99"),
		q(`max by (strategy) (max_over_time(strategy:db_queries_per_request:ratio1m{strategy=~"$strategy"}[$__range]))`, "Queries a request"),
		q(`min by (strategy) (min_over_time(strategy:strata_answers_without_database:ratio1m{strategy=~"$strategy"}[$__range]))`, "Without database"),
		q(`max by (strategy) (max_over_time(strategy:strata_served_staleness_seconds:p99_1m{strategy=~"$strategy"}[$__range]))`, "Age p99"),
		q(`max by (strategy) (max_over_time(strategy:process_cpu_seconds_per_request:ratio1m{strategy=~"$strategy"}[$__range]))`, "CPU a request"),
		q(`max by (strategy) (max_over_time(strategy:process_resident_memory_bytes:sum{strategy=~"$strategy"}[$__range]))`, "Memory"),
	).height(6).
		named("p99", "s", 1).named("Queries a request", "none", 2).named("Without database", "percentunit", 0).
		named("Age p99", "s", 1).named("CPU a request", "s", 2).named("Memory", "bytes", 0)

	d.row("Latency: how long visitors waited")
	quantile := func(p, name string) query {
		return withExemplars(`histogram_quantile(`+p+`, sum by (strategy, le) (rate(http_server_request_duration_seconds_bucket`+reads+`[$__rate_interval])))`, "{{strategy}} "+name)
	}
	d.graph("Reads: p50, p95, p99 as the service measures them", "s", "Each line is the time within which that share of the reads was answered. The scale is logarithmic: a hit takes a fraction of a millisecond, a city's statistics from Postgres tens of them. Dots are exemplars: single requests, each with its trace.", 12,
		quantile("0.5", "p50"), quantile("0.95", "p95"), quantile("0.99", "p99")).byStrategy().logarithmic().
		links(traces("Slow requests of this time", `{ kind = server && duration > 50ms }`), board("By route", "strata-service"))
	d.graph("p99 as visitors saw it", "s", "Measured by k6, from outside: what the service reports plus the wait for its door. A gap between this and the service's own p99 is time spent in queues that the service cannot see. Where k6 sends no histograms, it is the p99 of its run so far, cold start included.", 12,
		q(`histogram_quantile(0.99, sum by (strategy) (rate(k6_http_req_duration_seconds{name=~"detail|search|stats", strategy=~"$strategy"}[$__rate_interval]))) or max by (strategy) (k6_http_req_duration_p99{name=~"detail|search|stats", strategy=~"$strategy"})`, "{{strategy}}")).byStrategy().logarithmic().
		links(board("Load test", "strata-load"))
	d.heatmap("Every read of $strategy", "s", "Where the reads of one strategy fell, over time. Two bands are the mark of a cache: hits below, misses above.", 24,
		`sum by (le) (increase(http_server_request_duration_seconds_bucket`+reads+`[$__rate_interval]))`).repeat("strategy")

	d.row("Where answers came from")
	d.graph("Answers of $strategy by source", "percentunit", "Every answer is counted once, under where it came from: a whole response (view) or a value (data), in the process (L1) or in Redis (L2), from Postgres, stale by way of precaution, or an error.", 24,
		q(`sum by (source) (rate(strata_answers_total{strategy=~"$strategy"}[$__rate_interval]))`, "{{source}}")).share().repeat("strategy").
		links(board("Inside the caches", "strata-cache"), traces("Answers from Postgres", `{ span.strata.source = "postgres" }`))
	d.graph("Mean latency, and what it would be without caches", "s", "Observed: the mean of all reads. Without caches: the mean that the same service has under $baseline, over the time that is shown. The distance between the two is what the caches saved a visitor, on average.", 12,
		q(`sum by (strategy) (rate(http_server_request_duration_seconds_sum`+reads+`[$__rate_interval])) / (sum by (strategy) (rate(http_server_request_duration_seconds_count`+reads+`[$__rate_interval])) > 0)`, "{{strategy}} observed"),
		q(`sum(increase(http_server_request_duration_seconds_sum{strategy="$baseline", http_request_method=~"GET|HEAD"}[$__range])) / (sum(increase(http_server_request_duration_seconds_count{strategy="$baseline", http_request_method=~"GET|HEAD"}[$__range])) > 0)`, "under $baseline")).byStrategy().logarithmic()
	d.graph("Answered without the database", "percentunit", "The hit ratio that counts, end to end: the share of the answers for which Postgres was not asked. Layers are never averaged.", 12,
		q(`strategy:strata_answers_without_database:ratio1m{strategy=~"$strategy"}`, "{{strategy}}")).byStrategy().full().links(board("By level and layer", "strata-cache"))

	d.row("Database: what was left for Postgres to do")
	d.graph("Statements a second, as Postgres counts", "ops", "From pg_stat_statements, all databases' users of the service together, the change feed included: its polls are the price of knowing what changed.", 6,
		q(`sum(rate(pg_stat_statements_calls_total{datname="strata"}[$__rate_interval]))`, "statements")).links(board("Postgres", "strata-postgres"))
	d.graph("Seconds of work a second, as Postgres counts", "percentunit", "Time that Postgres spent executing statements in each second. 100 % is one connection busy all the time.", 6,
		q(`sum(rate(pg_stat_statements_seconds_total{datname="strata"}[$__rate_interval]))`, "executing")).links(board("Postgres", "strata-postgres"))
	d.graph("Connections used, and requests that wait for one", "short", "Used connections of all replicas, the most they may open, and how many requests wait on average. Waiting begins where used reaches its limit.", 6,
		q(`sum(db_client_connection_count{db_client_connection_pool_name="postgres", db_client_connection_state="used"})`, "used"),
		q(`sum(db_client_connection_max{db_client_connection_pool_name="postgres"})`, "limit"),
		q(`sum(rate(strata_pool_wait_seconds_total{db_client_connection_pool_name="postgres"}[$__rate_interval]))`, "waiting"))
	d.graph("Blocks that Postgres found in memory, and read", "ops", "Postgres has a cache too, which the strategies share. Many reads of blocks mean that a strategy had to warm it first.", 6,
		q(`sum(rate(pg_stat_database_blks_hit{datname="strata"}[$__rate_interval]))`, "in memory"),
		q(`sum(rate(pg_stat_database_blks_read{datname="strata"}[$__rate_interval]))`, "read"))

	d.row("Price: what the caches cost")
	d.graph("Processor time a request", "s", "Of the service's own processes. A cache costs some to look up and saves some: fewer queries to send, fewer rows to decode.", 8,
		q(`strategy:process_cpu_seconds_per_request:ratio1m{strategy=~"$strategy"}`, "{{strategy}}")).byStrategy().links(board("Go runtime", "strata-go"))
	d.graph("Memory of the service", "bytes", "Resident memory of all replicas with a strategy, and the part of it that is live on the heap.", 8,
		q(`strategy:process_resident_memory_bytes:sum{strategy=~"$strategy"}`, "{{strategy}} resident"),
		q(`sum by (strategy) (go_gc_heap_live_bytes * on (job, instance) group_left (strategy) (strata_strategy_info == 1))`, "{{strategy}} live heap")).byStrategy().links(board("Go runtime", "strata-go"))
	d.graph("Memory of the caches", "bytes", "What the entries of the first layer weigh, in all replicas, and all that Redis holds.", 8,
		q(`sum by (level) (strata_cache_size_bytes)`, "{{level}} L1"), q(`sum(redis_memory_used_bytes)`, "Redis")).stacked().links(board("Redis", "strata-redis"))

	d.row("Truth: could the answers be believed?")
	d.graph("Age of answers, p99", "s", "How old an answer was allowed to be when it left, by its as-of time: ninety-nine of a hundred were younger. The dashed line is the objective of stamped, 250 ms.", 12,
		q(`strategy:strata_served_staleness_seconds:p99_1m{strategy=~"$strategy"}`, "{{strategy}}")).byStrategy().logarithmic().limit(0.25).links(board("Freshness", "strata-freshness"))
	d.graph("Answers compared with the database afterwards", "ops", "The audit reads the database beside a few answers. same: they agreed. changed: the database changed since, which is allowed. stale: the answer missed a change that it promised to show, which must never happen to stamped.", 12,
		q(`sum by (strategy, result) (rate(strata_audit_total{strategy=~"$strategy"}[$__rate_interval]))`, "{{strategy}} {{result}}")).byStrategy().links(board("Freshness", "strata-freshness"))
	d.graph("Age of entries when they were served, p99", "s", "Old and true is the aim: an entry that nothing has changed may be served for a long time. Compare with the age of answers, above.", 8,
		q(`histogram_quantile(0.99, sum by (level, le) (rate(strata_cache_entry_age_seconds_bucket[$__rate_interval])))`, "{{level}}")).logarithmic()
	d.graph("How far the feed is behind", "s", "Age: time since the change log was last seen complete, of the replica that is worst off. Lag p99: from a change to its being known.", 8,
		q(`max(strata_feed_age_seconds)`, "age"), q(`histogram_quantile(0.99, sum by (le) (rate(strata_feed_lag_seconds_bucket[$__rate_interval])))`, "lag p99")).needs("No changes yet: `make load` writes, too").links(board("Freshness", "strata-freshness"))
	d.graph("Misses that joined a load under way", "ops", "A thousand visitors who miss the same key cost one query: the others join the load, in the same replica or across the fleet.", 8,
		q(`sum by (scope) (rate(strata_cache_coalesced_total[$__rate_interval]))`, "{{scope}}"))

	d.row("The run: was the comparison fair?")
	d.graph("Arrivals a second", "reqps", "Aimed at: what k6 meant to start. Started: what it did. Visitors do not wait for one another, so a strategy that is too slow shows in the difference and not by slowing the visitors down.", 8,
		q(`sum by (strategy) (rate(k6_iterations_total{strategy=~"$strategy"}[$__rate_interval])) + (sum by (strategy) (rate(k6_dropped_iterations_total{strategy=~"$strategy"}[$__rate_interval])) or 0 * sum by (strategy) (rate(k6_iterations_total{strategy=~"$strategy"}[$__rate_interval])))`, "{{strategy}} aimed at"),
		q(`sum by (strategy) (rate(k6_iterations_total{strategy=~"$strategy"}[$__rate_interval]))`, "{{strategy}} started")).byStrategy().links(board("Load test", "strata-load"))
	d.graph("Arrivals that could not be started", "reqps", "More than none: the load generator had no visitor free, and the latencies above are flattered.", 8,
		q(`sum by (strategy) (rate(k6_dropped_iterations_total{strategy=~"$strategy"}[$__rate_interval])) or 0 * sum by (strategy) (rate(k6_iterations_total{strategy=~"$strategy"}[$__rate_interval]))`, "{{strategy}}")).byStrategy()
	d.graph("Answers that were what was asked for", "percentunit", "Each answer of the run is checked by k6: the right listing, the right city. Anything below 100 % is a wrong answer or an error.", 8,
		q(`min by (strategy) (k6_checks_rate{strategy=~"$strategy"})`, "{{strategy}}")).byStrategy().full()
	return d
}

// baselines are the strategies to choose one from.
func baselines() []object {
	var all []object
	for _, name := range strategies.Names() {
		all = append(all, object{"selected": name == strategies.Baseline, "text": name, "value": name})
	}
	return all
}
