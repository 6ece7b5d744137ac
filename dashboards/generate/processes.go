package main

import "fmt"

// runtime is Go's view of the service's processes.
func runtime() *dashboard {
	d := newBoard("strata-go", "Go runtime", "Processor, memory, collector and scheduler of the service's processes.")
	d.noValue = noStack
	const s = `{job="strata"}`
	d.instance()
	d.strip(
		figure{"Processor", "percentunit", "Of the busiest replica over the time that is shown; 100 % is one core.", q(`max(rate(process_cpu_seconds_total`+s+`[$__range]))`, "busiest"), nil},
		figure{"Memory", "bytes", "Resident, of the largest replica, now.", q(`max(process_resident_memory_bytes`+s+`)`, "largest"), nil},
		figure{"Goroutines", "short", "Of the replica with most of them, now.", q(`max(go_goroutines`+s+`)`, "most"), nil},
		figure{"Allocated a second", "Bps", "Of all replicas, over the time that is shown.", q(`sum(rate(go_memstats_alloc_bytes_total`+s+`[$__range]))`, "allocated"), nil},
	)
	d.row("Processor and scheduler")
	d.graph("Processor", "percentunit", "Of each replica; 100 % is one core.", 8, q(`sum by (instance) (rate(process_cpu_seconds_total`+s+`[$__rate_interval]))`, "{{instance}}"))
	d.graph("Waiting to run, p99", "s", "How long a goroutine that could run waited for a processor: the runtime's own measure of saturation.", 8,
		q(`histogram_quantile(0.99, sum by (instance, le) (rate(go_sched_latencies_seconds_bucket`+s+`[$__rate_interval])))`, "{{instance}}")).logarithmic()
	d.graph("Waiting for locks", "s", "Time that goroutines waited for mutexes in each second, of all goroutines together.", 8, q(`sum by (instance) (rate(go_sync_mutex_wait_total_seconds_total`+s+`[$__rate_interval]))`, "{{instance}}"))
	d.graph("Goroutines", "short", "One that only grows is a leak.", 8, q(`max by (instance) (go_goroutines`+s+`)`, "{{instance}}"))
	d.graph("Processors that Go uses", "short", "GOMAXPROCS, which follows the container's limit.", 8, q(`max by (instance) (go_sched_gomaxprocs_threads`+s+`)`, "{{instance}}"))
	d.graph("Open files", "short", "Sockets, mostly, and how many there may be.", 8, q(`max by (instance) (process_open_fds`+s+`)`, "{{instance}}"), q(`min(process_max_fds`+s+`)`, "limit")).logarithmic()
	d.row("Memory and collector")
	d.graph("Memory (dotted: live on the heap)", "bytes", "Resident, and what was live on the heap after the last collection.", 8, q(`sum by (instance) (process_resident_memory_bytes`+s+`)`, "{{instance}} resident"), q(`sum by (instance) (go_gc_heap_live_bytes`+s+`)`, "{{instance}} live")).dotted("live")
	d.graph("Allocated a second", "Bps", "A view hit allocates nothing, so this follows the misses.", 8, q(`sum by (instance) (rate(go_memstats_alloc_bytes_total`+s+`[$__rate_interval]))`, "{{instance}}"))
	d.graph("Processor time spent collecting", "percentunit", "By the runtime's own account.", 8,
		q(`sum by (instance) (rate(go_cpu_classes_gc_total_cpu_seconds_total`+s+`[$__rate_interval])) / (sum by (instance) (rate(go_cpu_classes_total_cpu_seconds_total`+s+`[$__rate_interval])) > 0)`, "{{instance}}"))
	d.graph("Collections", "ops", "Cycles a second.", 8, q(`sum by (instance) (rate(go_gc_duration_seconds_count`+s+`[$__rate_interval]))`, "{{instance}}"))
	d.graph("Longest pause", "s", "Of the last collections: the time in which nothing ran.", 8, q(`max by (instance) (go_gc_duration_seconds{job="strata", quantile=~"1|1.0"})`, "{{instance}}"))
	d.graph("Objects on the heap", "short", "Live and not yet collected.", 8, q(`sum by (instance) (go_memstats_heap_objects`+s+`)`, "{{instance}}"))
	return d
}

// load is the load generator's view.
func load() *dashboard {
	d := newBoard("strata-load", "Load test", "What k6 sends and gets back: the visitors' view.")
	d.run()
	d.strip(
		figure{"Requests a second", "reqps", "What the chosen runs of k6 sent, over the time that is shown.", q(`sum(rate(k6_http_reqs_total{run=~"$run"}[$__range]))`, "requests"), nil},
		figure{"Not started", "short", "Arrivals for which no visitor was free, over the time that is shown. Any, and the latencies are flattered.", q(`sum(increase(k6_dropped_iterations_total{run=~"$run"}[$__range])) or 0 * sum(increase(k6_iterations_total{run=~"$run"}[$__range]))`, "dropped"), []any{"green", 0.5, "red"}},
		figure{"Right answers", "percentunit", "Of the answers that k6 checked, of the worst kind, now.", q(`min(k6_checks_rate{run=~"$run"})`, "right"), []any{"red", 0.999, "green"}},
		figure{"Visitors at work", "short", "Now.", q(`sum(k6_vus{run=~"$run"})`, "at work"), nil},
	)
	d.row("Arrivals")
	d.graph("Arrivals a second", "reqps", "Visitors come at their own rate, however slow the answers are.", 8, q(`sum by (strategy, scenario) (rate(k6_iterations_total{run=~"$run"}[$__rate_interval]))`, "{{scenario}} {{strategy}}"))
	d.graph("Arrivals that could not be started", "reqps", "No visitor was free. More than none, and the latencies below are flattered.", 8,
		q(`sum by (strategy) (rate(k6_dropped_iterations_total{run=~"$run"}[$__rate_interval])) or 0 * sum by (strategy) (rate(k6_iterations_total{run=~"$run"}[$__rate_interval]))`, "{{strategy}}"))
	d.graph("Visitors", "short", "At work, and ready at most.", 8, q(`sum(k6_vus{run=~"$run"})`, "at work"), q(`sum(k6_vus_max{run=~"$run"})`, "ready"))
	d.graph("Requests a second by kind", "reqps", "A write is two requests: look first, then change.", 8, q(`sum by (name) (rate(k6_http_reqs_total{run=~"$run"}[$__rate_interval]))`, "{{name}}")).stacked()
	d.graph("Requests a second by status", "reqps", "0: no answer at all.", 8, q(`sum by (status) (rate(k6_http_reqs_total{run=~"$run"}[$__rate_interval]))`, "{{status}}")).stacked()
	d.graph("Answers that were what was asked for", "percentunit", "The right listing, the right city, the new price.", 8, q(`min by (name) (k6_checks_rate{run=~"$run"})`, "{{name}}")).full()
	d.row("Latency, as visitors saw it")
	for _, p := range [][3]string{{"p50", "0.5", "Half of the requests"}, {"p95", "0.95", "Ninety-five of a hundred requests"}, {"p99", "0.99", "Ninety-nine of a hundred requests"}} {
		d.graph("Latency by kind, "+p[0], "s", p[2]+" took no longer, as k6 measured. Compare with the service's own view: the difference is the way and the queue before the door.", 8,
			q(`histogram_quantile(`+p[1]+`, sum by (name) (rate(k6_http_req_duration_seconds{run=~"$run"}[$__rate_interval]))) or max by (name) (k6_http_req_duration_`+p[0]+`{run=~"$run"})`, "{{name}}")).logarithmic().links(board("As the service sees it", "strata-service"))
	}
	d.graph("Share of requests that failed", "percentunit", "By kind, as k6 judges: no answer, or 4xx and 5xx.", 12, q(`max by (name) (k6_http_req_failed_rate{run=~"$run"})`, "{{name}}"))
	d.graph("Bytes", "Bps", "Sent and received.", 12, q(`sum(rate(k6_data_sent_total{run=~"$run"}[$__rate_interval]))`, "sent"), q(`sum(rate(k6_data_received_total{run=~"$run"}[$__rate_interval]))`, "received"))
	return d
}

// telemetry watches what watches.
func telemetry() *dashboard {
	d := newBoard("strata-telemetry", "Telemetry pipeline", "Is what we see all there is? Scrapes, rules, spans and the collector's queues.")
	d.noValue = noStack
	d.strip(
		figure{"Targets away", "short", "Of all that are scraped, now.", q(`count(up == 0) or 0 * count(up)`, "away"), []any{"green", 0.5, "red"}},
		figure{"Series", "short", "That Prometheus holds in memory, now.", q(`sum(prometheus_tsdb_head_series)`, "series"), nil},
		figure{"Rules that failed", "short", "Evaluations over the time that is shown.", q(`sum(increase(prometheus_rule_evaluation_failures_total[$__range]))`, "failures"), []any{"green", 0.5, "red"}},
		figure{"Spans lost", "short", "By the service, over the time that is shown.", q(`sum(increase(strata_spans_total{result="lost"}[$__range]))`, "lost"), []any{"green", 0.5, "red"}},
	)
	d.row("Scrapes and rules")
	d.timeline("Targets", "Away: its boards have gaps.", 12, [2]string{"away", "red"}, [2]string{"answers", "green"}, q(`min by (job, instance) (up)`, "{{job}} {{instance}}"))
	d.graph("Duration of a scrape", "s", "Well below the interval of 5 s.", 8, q(`max by (job) (scrape_duration_seconds)`, "{{job}}")).logarithmic()
	d.graph("Samples of a scrape", "short", "A step upwards is a label with too many values.", 8, q(`max by (job) (scrape_samples_post_metric_relabeling)`, "{{job}}"))
	d.graph("Series in memory", "short", "Of Prometheus itself.", 8, q(`sum by (instance) (prometheus_tsdb_head_series)`, "{{instance}}"))
	d.graph("Rules: failures", "ops", "Anything but 0: boards that read recorded series have gaps, and alerts stay silent.", 8, q(`sum(rate(prometheus_rule_evaluation_failures_total[$__rate_interval]))`, "failures"))
	d.graph("Rules: time of an evaluation", "s", "Of the slowest group; it must stay below the interval.", 8, q(`max(prometheus_rule_group_last_duration_seconds)`, "slowest group"))
	d.row("Spans: from the service to Tempo")
	d.graph("Spans that the service handed over", "ops", "lost: the queue was full, or nobody answered.", 8, q(`sum by (result) (rate(strata_spans_total[$__rate_interval]))`, "{{result}}"))
	d.graph("Collector: spans taken, refused", "ops", "Refused: the memory limiter held the door shut.", 8,
		q(`sum(rate(otelcol_receiver_accepted_spans_total[$__rate_interval]))`, "taken"), q(`sum(rate(otelcol_receiver_refused_spans_total[$__rate_interval]))`, "refused"))
	// The collector has no series of failures before the first: nothing failed as long as something is sent.
	d.graph("Collector: spans sent, lost", "ops", "Lost: the exporter gave up, or its queue was full.", 8,
		q(`sum(rate(otelcol_exporter_sent_spans_total[$__rate_interval]))`, "sent"),
		q(`sum(rate(otelcol_exporter_send_failed_spans_total[$__rate_interval])) or 0 * sum(rate(otelcol_exporter_sent_spans_total[$__rate_interval]))`, "failed"))
	d.graph("Collector: queue", "short", "Batches that wait for Tempo, and how many may.", 8, q(`sum by (exporter) (otelcol_exporter_queue_size)`, "{{exporter}}"), q(`sum by (exporter) (otelcol_exporter_queue_capacity)`, "{{exporter}} limit"))
	d.graph("Collector: memory", "bytes", "Resident. The memory limiter refuses before this reaches the container's limit.", 8, q(`sum by (instance) (otelcol_process_memory_rss_bytes)`, "{{instance}}"))
	d.graph("Memory of what watches", "bytes", "Resident memory of everything beside the service that has a metric for it.", 8, q(`sum by (job) (process_resident_memory_bytes{job!="strata"} or otelcol_process_memory_rss_bytes)`, "{{job}}")).stacked()
	d.row("Alerts")
	d.timeline("Faults", "When which of the alerts fired that shade the other boards.", 24, [2]string{"quiet", "green"}, [2]string{"fires", "red"},
		q(`max by (alertname) (ALERTS{alertname=~"`+faults+`", alertstate="firing"})`, "{{alertname}}")).needs("No alert fires")
	alerts := d.table("Alerts that fire", "short", "alertname severity dashboard", "Each has a heading in the runbook below: what it means, what to look at, what to do. A click on a line leads to its board.", 24,
		q(firing(), "Firing")).needs("No alert fires")
	alerts.links(dataLink{Title: "Its board", URL: "/d/${__data.fields.dashboard}?${__url_time_range}"}, dataLink{Title: "The runbook", URL: "/d/strata-telemetry?viewPanel=" + fmt.Sprint(alerts.ID+2)})
	d.closed("Runbook: what each alert means, and what to do")
	d.text(runbook(), 30)
	return d
}
