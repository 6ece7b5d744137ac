package main

import (
	"fmt"
	"strings"

	"example.com/strata/strategies"
)

// What the first screen asks of each strategy, over the time that is shown.
const (
	chosen     = `strategy=~"$strategy"`
	reads      = chosen + `, http_request_method=~"GET|HEAD"`
	ofPostgres = `{db_system_name="postgresql", ` + chosen + `}`
)

// over is the increase of a counter by strategy over the time that is shown.
func over(series string) string { return `sum by (strategy) (increase(` + series + `[$__range]))` }

// shares and means of a strategy. What is divided by a number of requests needs some: a handful says nothing.
var (
	requests        = `(` + over(`http_server_request_duration_seconds_count{`+chosen+`}`) + ` > 10)`
	meanOfReads     = over(`http_server_request_duration_seconds_sum{`+reads+`}`) + ` / (` + over(`http_server_request_duration_seconds_count{`+reads+`}`) + ` > 10)`
	databaseTime    = over(`db_client_operation_duration_seconds_sum`+ofPostgres) + ` / ` + requests
	databaseQueries = over(`db_client_operation_duration_seconds_count`+ofPostgres) + ` / ` + requests
	withoutDatabase = `1 - ` + over(`strata_answers_total{`+chosen+`, source="postgres"}`) + ` / (` + over(`strata_answers_total{`+chosen+`}`) + ` > 10)`
	lies            = over(`strata_audit_total{`+chosen+`, result="stale"}`) + ` / (` + over(`strata_audit_total{`+chosen+`, result=~"same|stale|changed"}`) + ` > 0)`
	ageOfLies       = `histogram_quantile(0.99, sum by (strategy, le) (increase(strata_audit_stale_age_seconds_bucket{` + chosen + `}[$__range])))`
	ageOfAnswers    = `histogram_quantile(0.99, sum by (strategy, le) (increase(strata_served_staleness_seconds_bucket{` + chosen + `}[$__range])))`
	processorTime   = `sum_over_time(strategy:process_cpu_seconds:rate1m{` + chosen + `}[$__range]) / (sum_over_time(strategy:process_requests:rate1m{` + chosen + `}[$__range]) > 1)`
	memoryOfReplica = `max by (strategy) (max_over_time(strategy:process_resident_memory_bytes:avg{` + chosen + `}[$__range]))`
)

func readsWithin(p string) string {
	return `histogram_quantile(` + p + `, sum by (strategy, le) (increase(http_server_request_duration_seconds_bucket{` + reads + `}[$__range])))`
}

// inOrder has the strategies that answered anything in the time that is shown, each with its place in the order of strategies.json.
func inOrder() string {
	var all []string
	for i, name := range strategies.Names() {
		all = append(all, fmt.Sprintf(`(0 * (sum by (strategy) (increase(strata_answers_total{strategy=%q}[$__range])) > 0) + %d)`, name, i+1))
	}
	return strings.Join(all, " or ")
}

// caching is the home page: the project's question, and its answer, for somebody who knows nothing of either.
func caching() *dashboard {
	d := newBoard("strata-caching", "What did caching change?",
		"The same traffic with each caching strategy: speed, load on the database, price, and whether the answers were true.")
	d.chooseInOrder("strategy", "Strategies", `query_result(sort(`+inOrder()+`))`, `/strategy="([^"]+)"/`)
	d.add(variable{
		"name": "baseline", "label": "Compared with", "type": "custom", "query": strings.Join(strategies.Names(), ","), "hide": 0, "includeAll": false, "multi": false,
		"current": object{"selected": true, "text": strategies.Baseline, "value": strategies.Baseline}, "options": baselines(),
	})
	d.run()
	var known []string
	for _, s := range strategies.All() {
		known = append(known, "**"+s.Name+"**: "+s.Short)
	}
	d.text("**The same visitors, each way to cache.** "+strings.Join(known, " · ")+".\n\n"+
		"Is a strategy missing below? `make compare` plays each of them in turn, for a minute, and all stay on this page for 15 minutes. `make demo` measures them without Docker.", 3)
	d.verdict()
	d.latency()
	d.origins()
	d.database()
	d.price()
	d.truth()
	d.fairness()
	return d
}

// verdict is the first screen: four questions, each answered by a name and a figure, and one table with all figures of all strategies.
func (d *dashboard) verdict() {
	name := func(title, unit, description string, queries ...query) *panel {
		p := d.stat(title, unit, description, 6, queries...).height(4).decimals(2)
		p.Options["text"] = object{"titleSize": 16, "valueSize": 30}
		return p
	}
	name("Who answers fastest?", "s", "The strategy with the shortest mean of all reads over the time that is shown, and that mean. A p99 cannot show a cache that is hit less often than 99 times of a hundred; the mean does.",
		q(`bottomk(1, `+meanOfReads+`)`, "{{strategy}}")).thresholds("green").links(board("By route", "strata-service"))
	name("Who asks the database least?", "s", "The strategy that spends the least time in Postgres for one request, as the service measures it, and that time.",
		q(`bottomk(1, `+databaseTime+`)`, "{{strategy}}")).thresholds("green").links(board("Postgres", "strata-postgres"))
	name("Who lied, and for how long?", "percentunit", "Of the answers that the audit compared with the database, the share that missed a change which was committed before they were asked for, and how long ago that change was, for ninety-nine of a hundred of them. All who lied are named; with nobody to name, one who was audited and did not.",
		q(lies+` > 0 or topk(1, 0 * (`+lies+`)) unless on () (`+lies+` > 0)`, "{{strategy}}"), q(ageOfLies+` > 0`, "{{strategy}}, for")).
		override("byFrameRefID", "B", object{"id": "unit", "value": "s"}, object{"id": "decimals", "value": 1}).thresholds("green", 0.0001, "red").links(board("How fresh, and why", "strata-freshness"))
	name("What does it cost?", "s", "The strategy with the most processor time of the service for one request, and that time. A cache costs some to look up, and saves some: fewer queries to send, fewer rows to decode.",
		q(`topk(1, `+processorTime+`)`, "{{strategy}}")).thresholds("orange").links(board("Go runtime", "strata-go"))

	rows := len(strategies.All()) + 1
	t := d.table("All of them, side by side: speed, database, truth, price", "short", "strategy", "Over the time that is shown, in all replicas of a strategy together; memory is of one replica. Stale for: how long ago the change was that a stale answer missed, p99. Age p99: ninety-nine of a hundred answers were at most so old when they left, true or not.", 24,
		q(inOrder(), orderColumn),
		q(readsWithin("0.5"), "p50"), q(meanOfReads, "mean"), q(readsWithin("0.99"), "p99"), q(databaseQueries, "queries / request"), q(databaseTime, "DB time / request"),
		q(withoutDatabase, "without DB"), q(lies, "stale (audit)"), q(ageOfLies, "stale for"), q(ageOfAnswers, "age p99"), q(processorTime, "CPU / request"), q(memoryOfReplica, "RAM / replica"),
	).height(2+rows).inOrder().coloured().
		named("p50", "s", 2).named("mean", "s", 2).named("p99", "s", 1).named("queries / request", "none", 2).named("DB time / request", "s", 2).
		named("without DB", "percentunit", 0, gauge()...).named("stale (audit)", "percentunit", 2, cells("green", 0.0001, "red")...).
		named("stale for", "s", 1).named("age p99", "s", 1, cells("green", 0.3, "orange", 1, "red")...).named("CPU / request", "s", 2).named("RAM / replica", "bytes", 0)
	t.links(board("How fresh, and why", "strata-freshness"), board("Inside the caches", "strata-cache"))
}

// baselines are the strategies to choose one from.
func baselines() []object {
	var all []object
	for _, name := range strategies.Names() {
		all = append(all, object{"selected": name == strategies.Baseline, "text": name, "value": name})
	}
	return all
}
