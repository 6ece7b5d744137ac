package main

import "example.com/strata/strategies"

// The home board below its first screen: why the figures are what they are. The first two parts are open, the rest asks nothing until it is.

const rateOfReads = `{` + reads + `}[$__rate_interval]`

func (d *dashboard) latency() {
	d.row("Latency: how long visitors waited")
	quantile := func(p, name string) query {
		return withExemplars(`histogram_quantile(`+p+`, sum by (strategy, le) (rate(http_server_request_duration_seconds_bucket`+rateOfReads+`)))`, "{{strategy}} "+name)
	}
	service := d.graph("Reads: p50 (dotted) and p99, as the service measures them", "s", "Each line is the time within which that share of the reads was answered. The scale is logarithmic: a hit takes a fraction of a millisecond, a city's statistics from Postgres tens of them. Dots are exemplars: single requests, each with its trace.", 12,
		quantile("0.99", "p99"), quantile("0.5", "p50")).byStrategy().dotted("p50").logarithmic().
		links(traces("Slow requests of this time", `{ kind = server && duration > 50ms }`), board("By route", "strata-service"))
	visitors := d.graph("p99 as visitors saw it", "s", "Measured by k6, from outside: what the service reports plus the wait for its door. A gap between this and the service's own p99 is time spent in queues that the service cannot see. Where k6 sends no histograms, it is the p99 of its run so far, cold start included.", 12,
		q(`histogram_quantile(0.99, sum by (strategy) (rate(k6_http_req_duration_seconds{name=~"detail|search|stats", strategy=~"$strategy", run=~"$run"}[$__rate_interval]))) or max by (strategy) (k6_http_req_duration_p99{name=~"detail|search|stats", strategy=~"$strategy", run=~"$run"})`, "{{strategy}}")).byStrategy().logarithmic().
		links(board("Load test", "strata-load"))
	d.heatmap("Reads of $strategy", "s", "Where the reads of one strategy fell, over time. Two bands are the mark of a cache: hits below, misses above.", 24,
		`sum by (le) (increase(http_server_request_duration_seconds_bucket`+rateOfReads+`))`).repeat("strategy")
	d.shade(service, visitors)
}

// sources are the colours of where answers come from: the nearer to the visitor, the darker; Postgres is grey, trouble orange and red.
var sources = [][2]string{
	{"view_l1", "#1a7f4b"}, {"view_l2", "#5fbf8a"}, {"data_l1", "#2f6fb5"}, {"data_l2", "#8ab8e6"}, {"postgres", "#c9c9c9"}, {"stale", "#f2a33a"}, {"error", "#e02f44"},
}

func (d *dashboard) origins() {
	d.row("Where answers came from")
	p := d.graph("Source: $strategy", "percentunit", "Every answer is counted once, under where it came from: a whole response (view) or a value (data), in the process (L1) or in Redis (L2), from Postgres, stale by way of precaution, or an error.", 24,
		q(`sum by (source) (rate(strata_answers_total{strategy=~"$strategy"}[$__rate_interval]))`, "{{source}}")).share().repeat("strategy").
		links(board("Inside the caches", "strata-cache"), traces("Answers from Postgres", `{ span.strata.source = "postgres" }`))
	for _, s := range sources {
		p.override("byName", s[0], object{"id": "color", "value": object{"mode": "fixed", "fixedColor": s[1]}})
	}
	mean := d.graph("Mean latency, and what it would be without caches", "s", "Observed: the mean of all reads. Without caches: the mean that the same service has under the strategy to compare with, over the time that is shown. The distance between the two is what the caches saved a visitor, on average.", 12,
		q(`sum by (strategy) (rate(http_server_request_duration_seconds_sum`+rateOfReads+`)) / (sum by (strategy) (rate(http_server_request_duration_seconds_count`+rateOfReads+`)) > 0)`, "{{strategy}}"),
		q(`sum(increase(http_server_request_duration_seconds_sum{strategy="$baseline", http_request_method=~"GET|HEAD"}[$__range])) / (sum(increase(http_server_request_duration_seconds_count{strategy="$baseline", http_request_method=~"GET|HEAD"}[$__range])) > 10)`, "compared with $baseline")).byStrategy().logarithmic()
	d.graph("Answered without the database", "percentunit", "The hit ratio that counts, end to end: the share of the answers for which Postgres was not asked. Layers are never averaged.", 12,
		q(`strategy:strata_answers_without_database:ratio1m{strategy=~"$strategy"}`, "{{strategy}}")).byStrategy().full().links(board("By level and layer", "strata-cache"))
	d.shade(p, mean)
}

func (d *dashboard) database() {
	d.closed("Database: what was left for Postgres to do")
	d.graph("Queries a second, by strategy", "ops", "What the service sent to Postgres, by the strategy of the request that needed it.", 12,
		q(`sum by (strategy) (rate(db_client_operation_duration_seconds_count{db_system_name="postgresql", strategy=~"$strategy"}[$__rate_interval]))`, "{{strategy}}")).byStrategy().links(board("Queries by name", "strata-service"))
	d.graph("Time in Postgres each second, by strategy", "percentunit", "Seconds that the service's queries took in each second, the way there and back included. 100 % is one connection busy all the time.", 12,
		q(`sum by (strategy) (rate(db_client_operation_duration_seconds_sum{db_system_name="postgresql", strategy=~"$strategy"}[$__rate_interval]))`, "{{strategy}}")).byStrategy().links(board("Postgres", "strata-postgres"))
	d.graph("Statements, as Postgres counts them", "ops", "From pg_stat_statements, of all strategies together, the change feed included: its polls are the price of knowing what changed.", 8,
		q(`sum(rate(pg_stat_statements_calls_total{datname="strata"}[$__rate_interval]))`, "statements")).links(board("Postgres", "strata-postgres"))
	d.graph("Connections, and who waits for one", "short", "Used connections of all replicas, the most they may open, and how many requests wait on average. Waiting begins where used reaches its limit.", 8,
		q(`sum(db_client_connection_count{db_client_connection_pool_name="postgres", db_client_connection_state="used"})`, "used"),
		q(`sum(db_client_connection_max{db_client_connection_pool_name="postgres"})`, "limit"),
		q(`sum(rate(strata_pool_wait_seconds_total{db_client_connection_pool_name="postgres"}[$__rate_interval]))`, "waiting"))
	d.graph("Blocks found in memory, and read", "ops", "Postgres has a cache too, which the strategies share. Many reads of blocks mean that a strategy had to warm it first.", 8,
		q(`sum(rate(pg_stat_database_blks_hit{datname="strata"}[$__rate_interval]))`, "in memory"),
		q(`sum(rate(pg_stat_database_blks_read{datname="strata"}[$__rate_interval]))`, "read"))
}

func (d *dashboard) price() {
	d.closed("Price: what the caches cost")
	d.graph("Processor time a request", "s", "Of the service's own processes.", 8,
		q(`strategy:process_cpu_seconds_per_request:ratio1m{strategy=~"$strategy"}`, "{{strategy}}")).byStrategy().links(board("Go runtime", "strata-go"))
	d.graph("Memory of a replica", "bytes", "Resident memory, the mean of the replicas with a strategy; dotted the part of it that is live on the heap.", 8,
		q(`strategy:process_resident_memory_bytes:avg{strategy=~"$strategy"}`, "{{strategy}} resident"),
		q(`avg by (strategy) (go_gc_heap_live_bytes * on (job, instance) group_left (strategy) (strata_strategy_info == 1))`, "{{strategy}} live heap")).byStrategy().dotted("live heap").links(board("Go runtime", "strata-go"))
	d.graph("Memory of all caches", "bytes", "What the entries of the first layer weigh, in all replicas of all strategies, and all that Redis holds.", 8,
		q(`sum by (level) (strata_cache_size_bytes)`, "{{level}} L1"), q(`sum(redis_memory_used_bytes)`, "Redis")).stacked().links(board("Redis", "strata-redis"))
}

func (d *dashboard) truth() {
	d.closed("Truth: could the answers be believed?")
	d.graph("Age of answers, p99", "s", "How old an answer was allowed to be when it left, by its as-of time: ninety-nine of a hundred were younger. The dashed line is the objective of stamped, 250 ms.", 12,
		q(`strategy:strata_served_staleness_seconds:p99_1m{strategy=~"$strategy"}`, "{{strategy}}")).byStrategy().logarithmic().limit(0.25).links(board("Freshness", "strata-freshness"))
	d.graph("Answers that missed a change, of those audited", "percentunit", "The audit reads the database beside a few answers. This is the share that missed a change which they had to show. It must be 0 for stamped, and it is 0 for none.", 12,
		q(`sum by (strategy) (rate(strata_audit_total{strategy=~"$strategy", result="stale"}[$__rate_interval])) / (sum by (strategy) (rate(strata_audit_total{strategy=~"$strategy", result=~"same|stale|changed"}[$__rate_interval])) > 0)`, "{{strategy}}")).byStrategy().links(board("Freshness", "strata-freshness"))
	d.graph("Mean age of entries when they were served", "s", "Old and true is the aim: an entry that nothing has changed may be served for a long time. Compare with the age of answers, above.", 8,
		q(`sum by (level) (rate(strata_cache_entry_age_seconds_sum[$__rate_interval])) / (sum by (level) (rate(strata_cache_entry_age_seconds_count[$__rate_interval])) > 0)`, "{{level}}")).logarithmic()
	d.graph("How far the feed is behind", "s", "Age: time since the change log was last seen complete, of the replica that is worst off. Lag p99: from a change to its being known.", 8,
		q(`max(strata_feed_age_seconds)`, "age"), q(`histogram_quantile(0.99, sum by (le) (rate(strata_feed_lag_seconds_bucket[$__rate_interval])))`, "lag p99")).needs("No changes yet: `make load` writes, too").links(board("Freshness", "strata-freshness"))
	d.graph("Misses that joined a load under way", "ops", "A thousand visitors who miss the same key cost one query: the others join the load, in the same replica or across the fleet.", 8,
		q(`sum by (scope) (rate(strata_cache_coalesced_total[$__rate_interval]))`, "{{scope}}"))
}

func (d *dashboard) fairness() {
	d.closed("The run: was the comparison fair?")
	const run = `{strategy=~"$strategy", run=~"$run"}[$__rate_interval]`
	d.graph("Arrivals a second (dotted: aimed at)", "reqps", "Aimed at: what k6 meant to start. Started: what it did. Visitors do not wait for one another, so a strategy that is too slow shows in the difference and not by slowing the visitors down.", 8,
		q(`sum by (strategy) (rate(k6_iterations_total`+run+`)) + (sum by (strategy) (rate(k6_dropped_iterations_total`+run+`)) or 0 * sum by (strategy) (rate(k6_iterations_total`+run+`)))`, "{{strategy}} aimed at"),
		q(`sum by (strategy) (rate(k6_iterations_total`+run+`))`, "{{strategy}} started")).byStrategy().dotted("aimed at").links(board("Load test", "strata-load"))
	d.graph("Arrivals that could not be started", "reqps", "More than none: the load generator had no visitor free, and the latencies above are flattered.", 8,
		q(`sum by (strategy) (rate(k6_dropped_iterations_total`+run+`)) or 0 * sum by (strategy) (rate(k6_iterations_total`+run+`))`, "{{strategy}}")).byStrategy()
	d.graph("Answers that were what was asked for", "percentunit", "Each answer of the run is checked by k6: the right listing, the right city. Anything below 100 % is a wrong answer or an error.", 8,
		q(`min by (strategy) (k6_checks_rate{strategy=~"$strategy", run=~"$run"})`, "{{strategy}}")).byStrategy().full()
}

// orderColumn is the column of a table that only gives the lines their order.
const orderColumn = "order"

// inOrder sorts a table's lines by the column order, and hides that.
func (p *panel) inOrder() *panel {
	sorted := object{"id": "sortBy", "options": object{"fields": object{}, "sort": []object{{"field": orderColumn, "desc": false}}}}
	hidden := object{"id": "organize", "options": object{"excludeByName": object{orderColumn: true}, "indexByName": object{}, "renameByName": object{}}}
	p.Transformations = append(p.Transformations, sorted, hidden)
	return p
}

// coloured writes each strategy's name in its colour.
func (p *panel) coloured() *panel {
	names := object{}
	for i, s := range strategies.All() {
		names[s.Name] = object{"text": s.Name, "color": s.Dark, "index": i}
	}
	return p.override("byName", "strategy", object{"id": "mappings", "value": []object{{"type": "value", "options": names}}},
		object{"id": "custom.cellOptions", "value": object{"type": "color-text"}}, object{"id": "custom.width", "value": 110})
}

// cells colours a column's cells by value: first below, then pairs of a bound and the colour from there on.
func cells(first string, pairs ...any) []object {
	steps := (&panel{FieldConfig: new(fieldConfig)}).thresholds(first, pairs...).FieldConfig.Defaults.Thresholds
	return []object{
		{"id": "custom.cellOptions", "value": object{"type": "color-background", "mode": "basic"}},
		{"id": "color", "value": object{"mode": "thresholds"}}, {"id": "thresholds", "value": steps},
	}
}

// gauge draws a share as a bar in its cell.
func gauge() []object {
	return []object{
		{"id": "custom.cellOptions", "value": object{"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}}, {"id": "min", "value": 0}, {"id": "max", "value": 1},
		{"id": "color", "value": object{"mode": "fixed", "fixedColor": "#5b8f7b"}},
	}
}
