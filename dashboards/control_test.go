package dashboards

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestEachKindOfFaultIsFound is the negative control: a sound panel is spoilt in one way, and exactly that kind is found.
func TestEachKindOfFaultIsFound(t *testing.T) {
	sound := `{"id": 1, "type": "timeseries", "title": "Answers", "gridPos": {"w": 12, "h": 8}, "fieldConfig": {"defaults": {"unit": "ops", "custom": {"lineWidth": 2}}, "overrides": []},
		"options": {}, "targets": [{"refId": "A", "range": true, "expr": "sum by (strategy) (rate(strata_answers_total[$__rate_interval]))", "legendFormat": "{{strategy}}"}]}`
	replace := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(sound) }
	expr := func(e string) string {
		return replace("sum by (strategy) (rate(strata_answers_total[$__rate_interval]))", e)
	}
	coloured := `"overrides": [{"matcher": {"id": "byRegexp", "options": "/^none\\b.*/"}, "properties": []}]`
	spoilt := map[string]string{
		faults[0].kind:  replace(`"overrides": []`, `"overrides": [{"matcher": {"id": "byName", "options": "faster than ${baseline}"}, "properties": []}]`),
		faults[1].kind:  replace(`timeseries`, `heatmap`),
		faults[2].kind:  replace(`timeseries`, `table`, `by (strategy)`, `by (queryid)`),
		faults[3].kind:  replace(`"lineWidth": 2`, `"lineWidth": 1, "stacking": {"mode": "normal"}`),
		faults[4].kind:  replace(`"ops"`, `"percentunit"`),
		faults[5].kind:  replace(`"ops"`, `"ops", "thresholds": {"steps": [{"value": null}, {"value": 14}]}`, `"lineWidth": 2`, `"thresholdsStyle": {"mode": "dashed"}`),
		faults[6].kind:  expr(`rate(process_cpu_seconds_total[1m]) / (rate(http_server_request_duration_seconds_count[1m]) > 0)`),
		faults[7].kind:  expr(`sum by (strategy) (process_resident_memory_bytes)`),
		faults[8].kind:  expr(`histogram_quantile(0.99, rate(strata_cache_entry_age_seconds_bucket[1m]))`),
		faults[9].kind:  replace(`"overrides": []`, coloured, `{{strategy}}`, `{{strategy}} {{result}}`),
		faults[10].kind: expr(`topk(3, sum by (strategy) (rate(strata_answers_total[1m])))`),
		faults[11].kind: replace(`Answers`, strings.Repeat("Answers ", 9)),
		faults[12].kind: replace(`"options": {}`, `"options": {"legend": {"displayMode": "table", "placement": "bottom"}}`),
		faults[13].kind: replace(`timeseries`, `graph`),
	}
	for kind, text := range spoilt {
		var p panel
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		for _, f := range faults {
			if found := f.find(p); len(found) > 0 != (f.kind == kind) {
				t.Errorf("a panel with %s: the check for %s finds %v", kind, f.kind, found)
			}
		}
	}
	for text, want := range map[string]bool{`k6_vus`: false, `sum by (strategy) (k6_vus)`: false, `count by (run) (k6_vus)`: true, `ALERTS == 1`: true, `ALERTS == 0`: false, `k6_vus > 0 unless k6_vus offset 10s`: true} {
		e, err := parse(text)
		if err != nil || positive(e) != want {
			t.Errorf("%s is above 0: %v, want %v (%v)", text, positive(e), want, err)
		}
	}
}
