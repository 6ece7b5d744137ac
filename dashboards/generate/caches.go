package main

const lookups = `strata_cache_requests_total{outcome!~"bypass|error"}`

// cache looks inside the caches: by level, layer and class.
func cache() *dashboard {
	d := newBoard("strata-cache", "Cache internals", "Hits, misses and loads by level (view, data), layer (L1 in the process, L2 in Redis) and class.")
	d.instance()
	hits := func(level, layer string) query {
		at := `level="` + level + `", layer="` + layer + `"`
		return q(`sum(increase(strata_cache_requests_total{`+at+`, outcome="hit"}[$__range])) / (sum(increase(strata_cache_requests_total{`+at+`, outcome!~"bypass|error"}[$__range])) > 0)`, "hits")
	}
	d.strip(
		figure{"Answered without database", "percentunit", "The hit ratio that counts, end to end, over the time that is shown.", q(`1 - sum(increase(strata_answers_total{source="postgres"}[$__range])) / (sum(increase(strata_answers_total[$__range])) > 0)`, "answered"), nil},
		figure{"View L1: hits", "percentunit", "Whole responses found in the process, of all look-ups there.", hits("view", "l1"), nil},
		figure{"Data L1: hits", "percentunit", "Values found in the process, of the look-ups that no view answered.", hits("data", "l1"), nil},
		figure{"L2: hits of what reached it", "percentunit", "Found in Redis, of the look-ups of views and data that the process did not answer.",
			q(`sum(increase(strata_cache_requests_total{layer="l2", outcome="hit"}[$__range])) / (sum(increase(strata_cache_requests_total{layer="l2", outcome!~"bypass|error"}[$__range])) > 0)`, "hits"), nil},
	)
	d.row("Look-ups")
	d.graph("Hit ratio by level and layer", "percentunit", "Hits of all look-ups that reached the layer; what was passed over or failed is left out. L2 sees only what L1 missed, so a low ratio there may be a good sign. Never average layers.", 12,
		q(`sum by (level, layer) (rate(strata_cache_requests_total{outcome="hit"}[$__rate_interval])) / (sum by (level, layer) (rate(`+lookups+`[$__rate_interval])) > 0)`, "{{level}} {{layer}}")).full().links(board("What did caching change?", "strata-caching"))
	d.graph("Hit ratio by class", "percentunit", "Which kind of answer is worth keeping: a listing, a page of a search, the cities, a city's statistics.", 12,
		q(`sum by (class, level, layer) (rate(strata_cache_requests_total{outcome="hit"}[$__rate_interval])) / (sum by (class, level, layer) (rate(`+lookups+`[$__rate_interval])) > 0)`, "{{class}} {{level}} {{layer}}")).full()
	d.graph("Look-ups by outcome, views", "ops", "expired: its time is over. invalidated: a change is known. bypass: the strategy or the request did not want the cache. error: Redis failed.", 12,
		q(`sum by (layer, outcome) (rate(strata_cache_requests_total{level="view"}[$__rate_interval]))`, "{{layer}} {{outcome}}")).stacked()
	d.graph("Look-ups by outcome, data", "ops", "As to the left, for decoded values, which are looked for only where no view was found.", 12,
		q(`sum by (layer, outcome) (rate(strata_cache_requests_total{level="data"}[$__rate_interval]))`, "{{layer}} {{outcome}}")).stacked()
	d.row("Misses")
	d.graph("Why look-ups missed", "percentunit", "Shares of the look-ups that found nothing to serve. Many invalidated: writes touch what is read, see the tags. Many expired: lifetimes are short. Many missed: the cache is cold or too small.", 8,
		q(`sum by (outcome) (rate(strata_cache_requests_total{outcome=~"miss|expired|invalidated"}[$__rate_interval]))`, "{{outcome}}")).share()
	d.graph("Loads a second", "ops", "Reads of the origin on behalf of a cache, by class and result. not_found is an answer, too, and is kept.", 8,
		q(`sum by (class, result) (rate(strata_cache_loads_total[$__rate_interval]))`, "{{class}} {{result}}")).stacked().links(traces("Traces with a load", `{ name = "cache.load" }`))
	d.graph("Duration of a load, p99", "s", "What a miss costs. Dots are exemplars, each with its trace: from the request to the SQL query.", 8,
		withExemplars(`histogram_quantile(0.99, sum by (class, le) (rate(strata_cache_load_duration_seconds_bucket[$__rate_interval])))`, "{{class}}")).logarithmic().links(traces("Slow loads", `{ name = "cache.load" && duration > 20ms }`))
	d.graph("Misses that joined a load", "ops", "In the same replica, or across the fleet. Compare with loads a second: together they are the misses.", 8,
		q(`sum by (class, scope) (rate(strata_cache_coalesced_total[$__rate_interval]))`, "{{class}} {{scope}}"))
	d.graph("Loads under way, and the limit", "short", "Beyond the limit reads are refused with 503 and Retry-After, so that a cold cache cannot drown Postgres.", 8,
		q(`sum by (class) (strata_cache_loads_in_flight)`, "{{class}} under way"), q(`sum by (class) (strata_cache_loads_limit)`, "{{class}} limit"))
	d.graph("Look-ups by strategy", "ops", "All look-ups that reached a layer. Two strategies at a time: a laboratory, or a rollout.", 8,
		q(`sum by (strategy) (rate(`+lookups+`[$__rate_interval]))`, "{{strategy}}")).byStrategy()
	d.row("First layer: the process")
	d.graph("Bytes of L1", "bytes", "What entries weigh, and what they may weigh, in all replicas. At the limit W-TinyLFU decides which entry is worth its place.", 8,
		q(`sum by (level) (strata_cache_size_bytes)`, "{{level}}"), q(`sum by (level) (strata_cache_capacity_bytes)`, "{{level}} limit"))
	d.graph("Entries of L1", "short", "In all replicas together. Replicas keep their own.", 8, q(`sum by (level) (strata_cache_entries)`, "{{level}}"))
	d.graph("Entries that L1 let go", "ops", "By reason. size: the cache is full; if hit ratios fall at the same time it is too small.", 8,
		q(`sum by (level, reason) (rate(strata_cache_evictions_total[$__rate_interval]))`, "{{level}} {{reason}}"))
	d.heatmap("Age of entries when they were served", "s", "How long before they were served they had been loaded. One answer in sixteen is observed.", 24,
		`sum by (le) (increase(strata_cache_entry_age_seconds_bucket[$__rate_interval]))`)
	d.row("Second layer: Redis")
	d.graph("Duration of an operation, p50 and p99", "s", "As the service sees Redis, the network included. An L2 hit must be cheaper than the query that it saves: for one listing by its key it hardly is.", 12,
		withExemplars(`histogram_quantile(0.5, sum by (operation, le) (rate(strata_cache_operation_duration_seconds_bucket{layer="l2"}[$__rate_interval])))`, "{{operation}} p50"),
		withExemplars(`histogram_quantile(0.99, sum by (operation, le) (rate(strata_cache_operation_duration_seconds_bucket{layer="l2"}[$__rate_interval])))`, "{{operation}} p99")).logarithmic().links(board("Redis", "strata-redis"), traces("Slow reads of Redis", `{ name = "cache.l2.get" && duration > 5ms }`))
	d.timeline("Breaker", "Open while a replica passes Redis over because it failed. Freshness never came from Redis; speed did.", 12,
		[2]string{"closed", "green"}, [2]string{"open: Redis is passed over", "red"}, q(`max by (instance) (strata_redis_breaker_open)`, "{{instance}}"))
	return d
}

// freshness shows what keeps answers true.
func freshness() *dashboard {
	d := newBoard("strata-freshness", "Freshness", "The change feed, the ledger, how old answers may be, and what the audit finds.")
	d.instance()
	d.strip(
		figure{"Answers older than 250 ms", "percentunit", "Of the answers of stamped, over the time that is shown. The objective allows one in 10,000 (0.01 %).",
			q(`1 - sum(increase(strata_served_staleness_seconds_bucket{strategy="stamped", le="0.25"}[$__range])) / (sum(increase(strata_served_staleness_seconds_count{strategy="stamped"}[$__range])) > 0)`, "older"), []any{"green", 0.0001, "orange", 0.001, "red"}},
		figure{"Budget left, last hour", "percentunit", "Of the freshness objective: 100 % is untouched, below 0 % the hour has missed it.",
			q(`slo:error_budget_left:ratio_1h{slo="freshness"}`, "left"), []any{"red", 0, "orange", 0.5, "green"}},
		figure{"Stale, found by the audit", "short", "Answers of stamped that missed a change which their as-of time covers, over the time that is shown. Anything but 0 is a bug.",
			q(`sum(increase(strata_audit_total{strategy="stamped", result="stale"}[$__range]))`, "stale"), []any{"green", 0.5, "red"}},
		figure{"Feed, worst replica", "s", "Time since its ledger was known to be complete. From 2 s on it serves nothing from its caches as fresh.",
			q(`max(strata_feed_age_seconds)`, "age"), []any{"green", 0.25, "orange", 2, "red"}},
	)
	d.row("Age of answers")
	d.graph("Age of answers by strategy, p99", "s", "How old an answer was allowed to be when it left. The dashed line is the objective of stamped.", 12,
		q(`strategy:strata_served_staleness_seconds:p99_1m`, "{{strategy}}")).byStrategy().logarithmic().limit(0.25).links(board("What did caching change?", "strata-caching"))
	d.graph("Share of answers too old, and what is allowed", "percentunit", "Answers of stamped older than 250 ms over five minutes and an hour, against the budget.", 12,
		q(`slo:errors:ratio_rate5m{slo="freshness"}`, "5 minutes"), q(`slo:errors:ratio_rate1h{slo="freshness"}`, "an hour"), q(`slo:error_budget:ratio{slo="freshness"}`, "allowed"))
	d.heatmap("Age of the answers of stamped", "s", "A thin dark band at the bottom is what is wanted; a plume above it is a feed that fell behind.", 24,
		`sum by (le) (increase(strata_served_staleness_seconds_bucket{strategy="stamped"}[$__rate_interval]))`)
	d.row("Feed")
	d.graph("Age of the feed by replica", "s", "Time since the ledger's as-of time. The dashed line is where a replica stops trusting its caches.", 8,
		q(`max by (instance) (strata_feed_age_seconds)`, "{{instance}}")).limit(2)
	d.graph("From a change to its being known", "s", "p50 and p99 of the lag. A NOTIFY wakes the feed, so this is milliseconds; a lost one costs no more than a poll's interval.", 8,
		q(`histogram_quantile(0.5, sum by (le) (rate(strata_feed_lag_seconds_bucket[$__rate_interval])))`, "p50"),
		q(`histogram_quantile(0.99, sum by (le) (rate(strata_feed_lag_seconds_bucket[$__rate_interval])))`, "p99")).logarithmic().needs("No changes yet: `make load` writes, too")
	d.graph("Looks at the change log", "ops", "By result. Errors: the database, or the way to it.", 8, q(`sum by (result) (rate(strata_feed_polls_total[$__rate_interval]))`, "{{result}}"))
	d.graph("Changes read", "ops", "By who made them: the API, or anybody else, psql included. Each replica reads each change.", 8,
		q(`sum by (origin) (rate(strata_feed_changes_total[$__rate_interval]))`, "{{origin}}"))
	d.graph("What keeps changes from being logged", "short", "Per replica. Above 0 nothing is served as fresh out of a cache; the log names each problem with the SQL that mends it.", 8, q(`max by (instance) (strata_watch_problems)`, "{{instance}}"))
	d.graph("Feeds that commits wake", "short", "1 where notifications arrive. At 0 a pooler keeps them back, and each change is known by the next poll only: give the feed a connection of its own.", 8, q(`max by (instance) (strata_feed_hears_notifications)`, "{{instance}}"))
	d.row("Ledger and audit")
	d.graph("Tags with a known change", "short", "Per replica. It grows with what is written and is pruned with age.", 8, q(`max by (instance) (strata_ledger_tags)`, "{{instance}}"))
	d.graph("Resets of the ledger", "short", "By reason, as counted since each replica's start. start is once a replica; epoch is a failover or a restore; full means that more was written than it can hold.", 8,
		q(`sum by (reason) (strata_epoch_resets_total)`, "{{reason}}"))
	d.graph("Audit", "ops", "Answers that were compared with the database: same, changed since, stale, or not comparable because of an error.", 8,
		q(`sum by (result) (rate(strata_audit_total[$__rate_interval]))`, "{{result}}"))
	d.graph("Stale answers that the audit found", "ops", "All, and those that missed a change which was made more than 2.5 s before. How long did a sold flat look for sale? Under ttl that is its price; under stamped there are none.", 12,
		q(`sum(rate(strata_audit_stale_age_seconds_count[$__rate_interval]))`, "all"),
		q(`sum(rate(strata_audit_stale_age_seconds_count[$__rate_interval])) - sum(rate(strata_audit_stale_age_seconds_bucket{le="2.5"}[$__rate_interval]))`, "for longer than 2.5 s"))
	d.graph("Look-ups refused because a change was known", "ops", "Each would have been a stale answer without stamps.", 12,
		q(`sum by (level, layer) (rate(strata_cache_requests_total{outcome="invalidated"}[$__rate_interval]))`, "{{level}} {{layer}}"))
	return d
}
