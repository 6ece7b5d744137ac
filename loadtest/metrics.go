package main

import (
	"context"
	"fmt"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// The service's metrics that the report draws on. The laboratory knows them as any operator does, by name.
const (
	metricAnswers  = "strata_answers_total"
	metricCache    = "strata_cache_requests_total"
	metricRequests = "http_server_request_duration_seconds"
)

// scrape is what the service said at its metrics port.
type scrape map[string]*dto.MetricFamily

func scrapeMetrics(ctx context.Context, url string) (scrape, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("scraping metrics: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scraping metrics: %s", answer.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("scraping metrics: %w", err)
	}
	return families, nil
}

// sum adds up the samples of a metric that have all the labels, given as name, value, name, value. Of a histogram it adds up the counts.
func (s scrape) sum(metric string, labels ...string) float64 {
	var total float64
	for _, m := range s[metric].GetMetric() {
		if !has(m, labels) {
			continue
		}
		switch {
		case m.Counter != nil:
			total += m.GetCounter().GetValue()
		case m.Histogram != nil:
			total += float64(m.GetHistogram().GetSampleCount())
		case m.Gauge != nil:
			total += m.GetGauge().GetValue()
		default:
			total += m.GetUntyped().GetValue()
		}
	}
	return total
}

func has(m *dto.Metric, labels []string) bool {
	values := make(map[string]string, len(m.GetLabel()))
	for _, pair := range m.GetLabel() {
		values[pair.GetName()] = pair.GetValue()
	}
	for i := 0; i+1 < len(labels); i += 2 {
		if values[labels[i]] != labels[i+1] {
			return false
		}
	}
	return true
}

// answered is where the service's answers came from between two scrapes.
type answered struct {
	requests int64            // of every method
	answers  map[string]int64 // reads by source
	hitRatio float64          // share of reads answered without the database
	layers   map[string]float64
}

// between compares two scrapes of one process.
func between(before, after scrape) answered {
	delta := func(metric string, labels ...string) float64 {
		return after.sum(metric, labels...) - before.sum(metric, labels...)
	}
	a := answered{answers: make(map[string]int64), layers: make(map[string]float64)}
	a.requests = int64(delta(metricRequests))
	var reads float64
	for _, source := range []string{"view_l1", "view_l2", "data_l1", "data_l2", "postgres", "stale", "error"} {
		n := delta(metricAnswers, "source", source)
		if source == "postgres" {
			n -= delta(metricRequests, "http_request_method", http.MethodPatch, "http_response_status_code", "200") // so counts a write too
		}
		a.answers[source] = int64(max(n, 0))
		reads += max(n, 0)
	}
	if reads > 0 {
		a.hitRatio = 1 - float64(a.answers["postgres"])/reads
	}
	for _, level := range []string{"view", "data"} {
		for _, layer := range []string{"l1", "l2"} {
			outcome := func(name string) float64 {
				return delta(metricCache, "level", level, "layer", layer, "outcome", name)
			}
			hits := outcome("hit")
			// bypass and error are no verdict on what the layer holds
			asked := hits + outcome("miss") + outcome("expired") + outcome("invalidated") + outcome("stale")
			if asked > 0 {
				a.layers[level+"_"+layer] = hits / asked
			}
		}
	}
	return a
}
