package telemetry

import "go.opentelemetry.io/otel/attribute"

// The metrics of HTTP, in the words of OpenTelemetry's semantic conventions.
const (
	MetricHTTPDuration = "http_server_request_duration_seconds" // histogram of whole requests: method, route, status, strategy
	MetricHTTPActive   = "http_server_active_requests"          // gauge of requests being served: method
)

// The metrics of limits: what was not done, and why.
const (
	MetricRefused            = "strata_refused_total"             // counter of refusals to protect the service: reason
	MetricRateLimitChecks    = "strata_rate_limit_checks_total"   // counter of requests counted against their client's rate: store, result
	MetricIdempotentRequests = "strata_idempotent_requests_total" // counter of requests with an Idempotency-Key: result
)

// The metrics of answers: what the reader got.
const (
	MetricAnswers         = "strata_answers_total"            // counter of answers: source, strategy; each answer once
	MetricServedStaleness = "strata_served_staleness_seconds" // histogram of how old an answer was allowed to be when it left: strategy
	MetricStrategyInfo    = "strata_strategy_info"            // gauge, 1 for the strategy that this replica was configured with: strategy
	MetricAudit           = "strata_audit_total"              // counter of answers out of a cache that were made again and compared: result, strategy
	MetricAuditStaleAge   = "strata_audit_stale_age_seconds"  // histogram of how long ago the change was that an answer missed: strategy
)

// The metrics of the caches.
const (
	MetricCacheRequests          = "strata_cache_requests_total"             // counter of look-ups: level, layer, class, outcome, strategy
	MetricCacheOperationDuration = "strata_cache_operation_duration_seconds" // histogram of one operation of a layer: layer, operation
	MetricCacheLoads             = "strata_cache_loads_total"                // counter of reads of the origin by a cache: class, result
	MetricCacheLoadDuration      = "strata_cache_load_duration_seconds"      // histogram of the same reads: class
	MetricCacheLoadsInFlight     = "strata_cache_loads_in_flight"            // gauge of loads under way: class = all, or one with a limit of its own
	MetricCacheLoadsLimit        = "strata_cache_loads_limit"                // gauge of loads that may be under way: class as above
	MetricCacheCoalesced         = "strata_cache_coalesced_total"            // counter of misses that joined a load under way: class, scope
	MetricCacheEntries           = "strata_cache_entries"                    // gauge of entries in L1: level
	MetricCacheSize              = "strata_cache_size_bytes"                 // gauge of bytes that L1's entries weigh: level
	MetricCacheCapacity          = "strata_cache_capacity_bytes"             // gauge of bytes that L1 may hold: level
	MetricCacheEvictions         = "strata_cache_evictions_total"            // counter of entries that L1 let go: level, reason
	MetricCacheEntryAge          = "strata_cache_entry_age_seconds"          // histogram of the age of entries when they were served: level
	MetricRedisBreakerState      = "strata_redis_breaker_open"               // gauge, 1 while L2 is passed over because Redis failed
)

// The metrics of freshness: the feed that reads the change log, and the ledger that it fills.
const (
	MetricFeedAge       = "strata_feed_age_seconds"         // gauge of the time since the ledger's as-of time
	MetricFeedLag       = "strata_feed_lag_seconds"         // histogram of the time from a change to its being in the ledger
	MetricFeedPolls     = "strata_feed_polls_total"         // counter of looks at the change log: result
	MetricFeedChanges   = "strata_feed_changes_total"       // counter of changes read: origin
	MetricLedgerTags    = "strata_ledger_tags"              // gauge of tags with a known change
	MetricEpochResets   = "strata_epoch_resets_total"       // counter of the times that the ledger forgot everything: reason
	MetricWatchProblems = "strata_watch_problems"           // gauge of what keeps changes from being logged
	MetricFeedHears     = "strata_feed_hears_notifications" // gauge, 1 if commits wake the feed
)

// The metrics of the database and of connection pools. Those that begin with db_client are OpenTelemetry's.
const (
	MetricDBDuration      = "db_client_operation_duration_seconds" // histogram of our queries, by our name for them: system, operation, strategy
	MetricPoolConnections = "db_client_connection_count"           // gauge of open connections: pool, state
	MetricPoolMax         = "db_client_connection_max"             // gauge of the most connections that a pool may open: pool
	MetricPoolTimeouts    = "db_client_connection_timeouts_total"  // counter of requests for a connection that gave up: pool
	MetricPoolRequests    = "strata_pool_requests_total"           // counter of requests for a connection: pool, result = hit (one was idle), miss
	MetricPoolWaits       = "strata_pool_waits_total"              // counter of those that had to wait: pool
	MetricPoolWaitSeconds = "strata_pool_wait_seconds_total"       // counter of the time that they waited: pool
	MetricPoolStale       = "strata_pool_stale_total"              // counter of connections that were closed because they were old or broken: pool

	MetricStandbyReads        = "strata_standby_reads_total"  // counter of reads that a standby could answer: result = served, refused, skipped, failed, open
	MetricStandbyBreakerState = "strata_standby_breaker_open" // gauge, 1 while the standby is passed over because it failed
)

// The metrics of the process itself, beside those of Go's runtime and of the operating system.
const (
	MetricBuildInfo = "strata_build_info"  // gauge, 1: version, revision, go_version
	MetricSpans     = "strata_spans_total" // counter of finished spans: result = sent, lost (the collector did not take them), dropped (the queue was full)
)

// The labels of the metrics. Every one has a closed set of values.
const (
	LabelMethod      = "http_request_method"            // GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS, _OTHER
	LabelRoute       = "http_route"                     // the route's pattern, never the path; empty where none matched
	LabelStatus      = "http_response_status_code"      // the status in decimal
	LabelStrategy    = "strategy"                       // none, ttl, aside, stamped; of queries also audit
	LabelSource      = "source"                         // a Source
	LabelLevel       = "level"                          // view, data
	LabelLayer       = "layer"                          // l1, l2
	LabelClass       = "class"                          // listing, page, cities, stats
	LabelOutcome     = "outcome"                        // hit, miss, expired, invalidated, stale, bypass, error
	LabelOperation   = "operation"                      // get, set, delete
	LabelResult      = "result"                         // what became of it; each counter documents its own
	LabelScope       = "scope"                          // replica, fleet
	LabelReason      = "reason"                         // why; each counter documents its own
	LabelStore       = "store"                          // redis, memory
	LabelOrigin      = "origin"                         // api, other
	LabelDBSystem    = "db_system_name"                 // postgresql
	LabelDBOperation = "db_operation_name"              // our query's name
	LabelPool        = "db_client_connection_pool_name" // postgres, postgres_read, redis
	LabelPoolState   = "db_client_connection_state"     // idle, used
)

// The names of spans. A server span is named by its method and route, as in "GET /v1/listings/{id}", and a query's span by
// the query's name.
const (
	SpanCacheL2Get    = "cache.l2.get"    // waiting for Redis
	SpanCacheL2Set    = "cache.l2.set"    // waiting for Redis to keep a value
	SpanCacheL2Delete = "cache.l2.delete" // waiting for Redis to drop values after a write, strategy aside
	SpanCacheLoad     = "cache.load"      // waiting for the origin on behalf of a cache
	SpanCacheAwait    = "cache.await"     // waiting for another replica's load of the same key
	SpanFeedAwait     = "feed.await"      // waiting for the ledger to cover a write that the reader has seen
)

// The attributes of spans that OpenTelemetry's semantic conventions name. Not among them is what tells of a person: the client's address
// and its user agent are left to those who have a reason to keep them.
const (
	AttrHTTPMethod      = attribute.Key("http.request.method")       // GET and so on; _OTHER for what HTTP does not know
	AttrHTTPRoute       = attribute.Key("http.route")                // the route's pattern
	AttrHTTPStatus      = attribute.Key("http.response.status_code") // an integer
	AttrURLPath         = attribute.Key("url.path")                  // without the query
	AttrURLQuery        = attribute.Key("url.query")                 // only of answers below 400: then each parameter is one that we know
	AttrURLScheme       = attribute.Key("url.scheme")                // http, https
	AttrProtocolVersion = attribute.Key("network.protocol.version")  // 1.1
	AttrErrorType       = attribute.Key("error.type")                // the status or the kind of a failure; absent on success
	AttrDBSystem        = attribute.Key("db.system.name")            // postgresql, redis
	AttrDBOperation     = attribute.Key("db.operation.name")         // our query's name, or the command
	AttrDBSummary       = attribute.Key("db.query.summary")          // our query's name
	AttrDBNamespace     = attribute.Key("db.namespace")              // the database
	AttrDBStatus        = attribute.Key("db.response.status_code")   // SQLSTATE of a failure
	AttrServerAddress   = attribute.Key("server.address")            // the host: our own of a server span, else the database's
	AttrServerPort      = attribute.Key("server.port")               // likewise; an integer
)

// The attributes of spans that are our own: no conventions exist for caches. A hit of L1 is an attribute of the server span, since nobody
// waits for it.
const (
	AttrSource        = attribute.Key("strata.source")                // a Source: where the answer came from
	AttrStrategy      = attribute.Key("strata.strategy")              // the strategy that judged the entry
	AttrClass         = attribute.Key("strata.cache.class")           // listing, page, cities, stats
	AttrLevel         = attribute.Key("strata.cache.level")           // view, data
	AttrViewL1Outcome = attribute.Key("strata.cache.view.l1.outcome") // what the layer said: hit, miss, expired, invalidated, stale, bypass, error
	AttrViewL2Outcome = attribute.Key("strata.cache.view.l2.outcome") // absent where the layer was not asked
	AttrDataL1Outcome = attribute.Key("strata.cache.data.l1.outcome") // of the last value that was asked for
	AttrDataL2Outcome = attribute.Key("strata.cache.data.l2.outcome") // likewise
	AttrCoalesced     = attribute.Key("strata.cache.coalesced")       // true where the answer is another request's load
	AttrAge           = attribute.Key("strata.age_ms")                // how old the answer may have been when it left; a float
)
