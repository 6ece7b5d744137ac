package main

const noStack = "No data yet: run `make up`"

// service is rate, errors and duration by route, and what is left of the objectives.
func service() *dashboard {
	d := newBoard("strata-service", "Service", "Rate, errors and duration by route; objectives and their budgets; limits and queues.")
	d.instance()
	const all = `sum(increase(http_server_request_duration_seconds_count[$__range]))`
	d.strip(
		figure{"Requests a second", "reqps", "All methods and answers, over the time that is shown.", q(`sum(rate(http_server_request_duration_seconds_count[$__range]))`, "requests"), nil},
		figure{"Failed", "percentunit", "Answers with 5xx of all answers, over the time that is shown.", q(`sum(increase(http_server_request_duration_seconds_count{http_response_status_code=~"5.."}[$__range])) / (`+all+` > 0) or 0 * (`+all+` > 0)`, "5xx"), []any{"green", 0.001, "red"}},
		figure{"Mean of a read", "s", "Over the time that is shown.", q(`sum(increase(http_server_request_duration_seconds_sum{http_request_method=~"GET|HEAD"}[$__range])) / (sum(increase(http_server_request_duration_seconds_count{http_request_method=~"GET|HEAD"}[$__range])) > 0)`, "mean"), nil},
		figure{"Reads within 50 ms", "percentunit", "The objective is 99 %.", q(`sum(increase(http_server_request_duration_seconds_bucket{http_request_method=~"GET|HEAD", le="0.05"}[$__range])) / (sum(increase(http_server_request_duration_seconds_count{http_request_method=~"GET|HEAD"}[$__range])) > 0)`, "within"), []any{"red", 0.99, "green"}},
	)
	d.row("Objectives")
	d.stat("Budget left, last hour", "percentunit", "Availability: 99.9 % without 5xx. Latency: 99 % of reads within 50 ms. Freshness: 99.99 % of stamped answers at most 250 ms old. 100 % is untouched; below 0 % the hour has missed it.", 12,
		q(`slo:error_budget_left:ratio_1h`, "{{slo}}")).thresholds("red", 0, "orange", 0.5, "green").decimals(0)
	d.stat("Budget left, three days", "percentunit", "As to the left, over the longest window of the alerts, or as much of it as Prometheus remembers.", 12,
		q(`slo:error_budget_left:ratio_3d`, "{{slo}}")).thresholds("red", 0, "orange", 0.5, "green").decimals(0)
	d.graph("Burn rate over five minutes", "suffix:x", "How many times faster than allowed the budget goes. 1 uses exactly all of it; 14.4 wakes somebody up.", 24,
		q(`slo:burn_rate:ratio_5m`, "{{slo}}")).limit(14.4)
	d.row("Rate, errors, duration")
	d.graph("Requests a second by route", "reqps", "All methods and answers.", 8, q(`sum by (http_request_method, http_route) (rate(http_server_request_duration_seconds_count[$__rate_interval]))`, "{{http_request_method}} {{http_route}}")).stacked()
	d.graph("Share of requests that fail", "percentunit", "Answers with 5xx of all answers, by count.", 8,
		q(`sum(rate(http_server_request_duration_seconds_count{http_response_status_code=~"5.."}[$__rate_interval])) / (sum(rate(http_server_request_duration_seconds_count[$__rate_interval])) > 0) or 0 * (sum(rate(http_server_request_duration_seconds_count[$__rate_interval])) > 0)`, "5xx")).
		links(traces("Failed requests", `{ kind = server && span.http.response.status_code >= 500 }`))
	d.graph("Answers a second by status", "reqps", "304: the reader had it already. 412 and 409: writes that met another. 429: a client's limit. 503: Postgres is gone or loads are at their limit.", 8,
		q(`sum by (http_response_status_code) (rate(http_server_request_duration_seconds_count[$__rate_interval]))`, "{{http_response_status_code}}")).stacked()
	d.graph("Duration by route, p50", "s", "Half of the requests took no longer. Logarithmic.", 12,
		withExemplars(`histogram_quantile(0.5, sum by (http_request_method, http_route, le) (rate(http_server_request_duration_seconds_bucket[$__rate_interval])))`, "{{http_request_method}} {{http_route}}")).logarithmic()
	d.graph("Duration by route, p99", "s", "Ninety-nine of a hundred took no longer. The dashed line is the objective for reads, 50 ms. Dots are exemplars, each with its trace.", 12,
		withExemplars(`histogram_quantile(0.99, sum by (http_request_method, http_route, le) (rate(http_server_request_duration_seconds_bucket[$__rate_interval])))`, "{{http_request_method}} {{http_route}}")).logarithmic().limit(0.05).links(traces("Slow requests", `{ kind = server && duration > 50ms }`))
	d.row("Limits and queues")
	d.graph("Requests being served", "short", "At this moment, by method.", 8, q(`sum by (http_request_method) (http_server_active_requests)`, "{{http_request_method}}")).stacked()
	d.graph("Requests refused", "reqps", "By reason: a client's rate, revalidations, loads at their limit, a body or header that is too large, a timeout.", 8, q(`sum by (reason) (rate(strata_refused_total[$__rate_interval]))`, "{{reason}}"))
	d.graph("Rate-limit checks", "ops", "By where the count is kept. memory while Redis answers is wrong.", 8, q(`sum by (store, result) (rate(strata_rate_limit_checks_total[$__rate_interval]))`, "{{store}} {{result}}"))
	d.graph("Writes with an idempotency key", "ops", "first: done. replayed: answered again without doing it twice. mismatch: the key came with another body. in_progress: the first is still at it.", 8,
		q(`sum by (result) (rate(strata_idempotent_requests_total[$__rate_interval]))`, "{{result}}"))
	d.graph("Connections by pool", "short", "Open connections, by state, of all replicas.", 8,
		q(`sum by (db_client_connection_pool_name, db_client_connection_state) (db_client_connection_count)`, "{{db_client_connection_pool_name}} {{db_client_connection_state}}")).stacked()
	d.graph("Waiting for a connection", "short", "Requests that wait for one, on average, by pool and replica.", 8,
		q(`instance:strata_pool_wait_seconds:rate1m`, "{{db_client_connection_pool_name}} {{instance}}")).limit(0.5)
	d.row("Queries")
	d.graph("Queries a second, as the service counts", "ops", "By our name for them.", 12, q(`sum by (db_operation_name) (rate(db_client_operation_duration_seconds_count{db_system_name="postgresql"}[$__rate_interval]))`, "{{db_operation_name}}")).stacked().links(board("Postgres", "strata-postgres"))
	d.graph("Duration of a query, p99", "s", "With the way to Postgres and back. Dots are exemplars: their traces hold the query.", 12,
		withExemplars(`histogram_quantile(0.99, sum by (db_operation_name, le) (rate(db_client_operation_duration_seconds_bucket{db_system_name="postgresql"}[$__rate_interval])))`, "{{db_operation_name}}")).logarithmic()
	d.row("What runs")
	d.table("Replicas", "short", "instance strategy version revision go_version", "What each replica was configured with and built from. Two versions at a time are a rollout, or one that hangs.", 24,
		q(`max by (instance, strategy) (strata_strategy_info == 1) * on (instance) group_left (version, revision, go_version) max by (instance, version, revision, go_version) (strata_build_info)`, "up")).height(5)
	return d
}

// postgres is the database's own view.
func postgres() *dashboard {
	d := newBoard("strata-postgres", "Postgres", "The database's own view, by its exporter: what it executes, reads, writes and waits for.")
	d.noValue = noStack
	const db = `{datname="strata"}`
	d.strip(
		figure{"Statements a second", "ops", "As pg_stat_statements counts them, over the time that is shown.", q(`sum(rate(pg_stat_statements_calls_total`+db+`[$__range]))`, "calls"), nil},
		figure{"Mean time of a statement", "s", "Over the time that is shown.", q(`sum(increase(pg_stat_statements_seconds_total`+db+`[$__range])) / (sum(increase(pg_stat_statements_calls_total`+db+`[$__range])) > 0)`, "mean"), nil},
		figure{"Connections", "short", "Of the service's database, now.", q(`sum(pg_stat_activity_count`+db+`)`, "connections"), nil},
		figure{"Found in shared buffers", "percentunit", "Of the blocks that were asked for, over the time that is shown.", q(`sum(increase(pg_stat_database_blks_hit`+db+`[$__range])) / (sum(increase(pg_stat_database_blks_hit`+db+`[$__range])) + sum(increase(pg_stat_database_blks_read`+db+`[$__range])) > 0)`, "found"), nil},
	)
	d.row("Statements")
	d.graph("Statements a second", "ops", "From pg_stat_statements: all of them, polls of the change log included.", 8, q(`sum(rate(pg_stat_statements_calls_total`+db+`[$__rate_interval]))`, "calls"))
	d.graph("Time spent executing", "percentunit", "Seconds a second. 100 % is one connection busy all the time.", 8, q(`sum(rate(pg_stat_statements_seconds_total`+db+`[$__rate_interval]))`, "executing"))
	d.graph("Mean time of a statement", "s", "Time divided by calls. The service's board has percentiles of our own queries.", 8,
		q(`sum(rate(pg_stat_statements_seconds_total`+db+`[$__rate_interval])) / (sum(rate(pg_stat_statements_calls_total`+db+`[$__rate_interval])) > 0)`, "mean")).links(board("Queries by name", "strata-service"))
	d.table("Statements that took most of the time", "s", "queryid", "Over the time that is shown. queryid is Postgres' own: SELECT query FROM pg_stat_statements WHERE queryid = ... shows the text, which the exporter leaves out.", 24,
		q(`topk(10, sum by (queryid) (increase(pg_stat_statements_seconds_total`+db+`[$__range])))`, "Time"), q(`topk(50, sum by (queryid) (increase(pg_stat_statements_calls_total`+db+`[$__range])))`, "Calls"), q(`topk(50, sum by (queryid) (increase(pg_stat_statements_rows_total`+db+`[$__range])))`, "Rows")).
		named("Time", "s", 2).named("Calls", "short", 0).named("Rows", "short", 0)
	d.row("Work")
	d.graph("Transactions", "ops", "Committed and rolled back.", 8, q(`sum(rate(pg_stat_database_xact_commit`+db+`[$__rate_interval]))`, "committed"), q(`sum(rate(pg_stat_database_xact_rollback`+db+`[$__rate_interval]))`, "rolled back"))
	d.graph("Rows", "ops", "Returned: read by scans. Fetched: by index. Many returned for few fetched are scans of tables.", 8,
		q(`sum(rate(pg_stat_database_tup_returned`+db+`[$__rate_interval]))`, "returned"), q(`sum(rate(pg_stat_database_tup_fetched`+db+`[$__rate_interval]))`, "fetched")).logarithmic()
	d.graph("Rows changed", "ops", "By kind. The change log's own rows are inserts, and its pruning deletes.", 8,
		q(`sum(rate(pg_stat_database_tup_inserted`+db+`[$__rate_interval]))`, "inserted"), q(`sum(rate(pg_stat_database_tup_updated`+db+`[$__rate_interval]))`, "updated"), q(`sum(rate(pg_stat_database_tup_deleted`+db+`[$__rate_interval]))`, "deleted"))
	d.row("Memory and disk")
	d.graph("Blocks found in shared buffers", "percentunit", "Of the blocks that were asked for; the rest came from the kernel's cache or the disk. Absent while nothing is asked for.", 8,
		q(`sum(rate(pg_stat_database_blks_hit`+db+`[$__rate_interval])) / (sum(rate(pg_stat_database_blks_hit`+db+`[$__rate_interval])) + sum(rate(pg_stat_database_blks_read`+db+`[$__rate_interval])) > 0)`, "found")).full()
	d.graph("Blocks read", "ops", "From outside of shared buffers.", 8, q(`sum(rate(pg_stat_database_blks_read`+db+`[$__rate_interval]))`, "read"))
	d.graph("Temporary files", "Bps", "Sorts and hashes that did not fit into work_mem.", 8, q(`sum(rate(pg_stat_database_temp_bytes`+db+`[$__rate_interval]))`, "written"))
	d.graph("Size of the database", "bytes", "With indexes and the change log.", 8, q(`max(pg_database_size_bytes`+db+`)`, "strata"))
	d.graph("Write-ahead log", "bytes", "On disk. It grows between checkpoints.", 8, q(`max(pg_wal_size_bytes)`, "size"))
	d.graph("Dead rows by table", "short", "Waiting for vacuum. A long transaction keeps them, and the change log's too.", 8, q(`max by (relname) (pg_stat_user_tables_n_dead_tup)`, "{{relname}}"))
	d.row("Connections and locks")
	d.graph("Connections by state", "short", "Of the service's database. Idle in transaction for long holds locks and dead rows.", 8, q(`sum by (state) (pg_stat_activity_count`+db+`)`, "{{state}}")).stacked()
	d.graph("Locks by mode", "short", "Held on the service's database.", 8, q(`sum by (mode) (pg_locks_count`+db+`)`, "{{mode}}"))
	d.graph("Deadlocks and conflicts", "short", "As counted over each interval: any is worth a look.", 8, q(`sum(increase(pg_stat_database_deadlocks`+db+`[$__rate_interval]))`, "deadlocks"), q(`sum(increase(pg_stat_database_conflicts`+db+`[$__rate_interval]))`, "conflicts"))
	return d
}

// redis is Redis' own view.
func redis() *dashboard {
	d := newBoard("strata-redis", "Redis", "Redis' own view, by its exporter: memory, commands, keys, clients.")
	d.noValue = noStack
	d.strip(
		figure{"Memory", "bytes", "Used by Redis, now.", q(`sum(redis_memory_used_bytes)`, "used"), nil},
		figure{"Keys", "short", "Of all strategies, now.", q(`sum(redis_db_keys)`, "keys"), nil},
		figure{"Commands a second", "ops", "Over the time that is shown.", q(`sum(rate(redis_commands_total[$__range]))`, "commands"), nil},
		figure{"Evicted", "short", "Keys that went because memory was short, over the time that is shown.", q(`sum(increase(redis_evicted_keys_total[$__range]))`, "evicted"), []any{"green", 0.5, "orange"}},
	)
	d.row("Memory and keys")
	d.graph("Memory", "bytes", "Used by Redis, taken from the system, and the limit. A limit of 0 means none, so no share of it is shown.", 8,
		q(`sum(redis_memory_used_bytes)`, "used"), q(`sum(redis_memory_used_rss_bytes)`, "resident"), q(`sum(redis_memory_max_bytes)`, "limit (0: none)"))
	d.graph("Keys", "short", "Of all strategies: they share the server and never their keys.", 8, q(`sum by (db) (redis_db_keys > 0)`, "{{db}}"))
	d.graph("Keys that went", "ops", "Expired: their time was over. Evicted: memory was short, and hit ratios will follow.", 8, q(`sum(rate(redis_expired_keys_total[$__rate_interval]))`, "expired"), q(`sum(rate(redis_evicted_keys_total[$__rate_interval]))`, "evicted"))
	d.row("Commands")
	d.graph("Commands a second", "ops", "By command.", 8, q(`sum by (cmd) (rate(redis_commands_total[$__rate_interval]))`, "{{cmd}}")).stacked()
	d.graph("Mean time of a command", "s", "In Redis alone, without the network. The service's view is on the board of the caches.", 8,
		q(`sum by (cmd) (rate(redis_commands_duration_seconds_total{cmd=~"get|set|unlink"}[$__rate_interval])) / (sum by (cmd) (rate(redis_commands_total{cmd=~"get|set|unlink"}[$__rate_interval])) > 0)`, "{{cmd}}")).links(board("As the service sees it", "strata-cache"))
	d.graph("Keyspace hits and misses", "ops", "As Redis counts. Not our hit ratio: this counts leases and other tenants, starts anew at a restart, and cannot see what L1 answered. That ratio is on the board of the caches.", 8,
		q(`sum(rate(redis_keyspace_hits_total[$__rate_interval]))`, "hits"), q(`sum(rate(redis_keyspace_misses_total[$__rate_interval]))`, "misses")).links(board("Hit ratios", "strata-cache"))
	d.row("Server")
	d.graph("Clients", "short", "Connected and blocked.", 6, q(`sum(redis_connected_clients)`, "connected"), q(`sum(redis_blocked_clients)`, "blocked"))
	d.graph("Network", "Bps", "Into and out of Redis.", 6, q(`sum(rate(redis_net_input_bytes_total[$__rate_interval]))`, "in"), q(`sum(rate(redis_net_output_bytes_total[$__rate_interval]))`, "out"))
	d.graph("Processor", "percentunit", "Redis executes commands in one thread: near 100 % it is full.", 6, q(`sum(rate(redis_cpu_user_seconds_total[$__rate_interval])) + sum(rate(redis_cpu_sys_seconds_total[$__rate_interval]))`, "busy"))
	d.graph("Up since", "s", "Time since Redis' start. A restart empties it; L1 and Postgres carry on.", 6, q(`max(redis_uptime_in_seconds)`, "uptime"))
	return d
}
