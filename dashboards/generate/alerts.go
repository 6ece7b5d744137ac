package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// prometheusFiles is where rules and runbook are: below the project's root, from which this is run, or above, for its test.
func prometheusFiles(name string) []byte {
	for _, root := range []string{".", "../.."} {
		if text, err := os.ReadFile(filepath.Join(root, "deploy/prometheus", name)); err == nil {
			return text
		}
	}
	panic("run this in the project's root: there is no deploy/prometheus/" + name)
}

// runbook is the runbook as a board shows it.
func runbook() string { return string(prometheusFiles("RUNBOOK.md")) }

// firing counts the alerts that fire, each with the board that its rule names: Prometheus keeps annotations to itself.
func firing() string {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert       string
				Annotations struct{ Dashboard string }
			}
		}
	}
	if err := yaml.Unmarshal(prometheusFiles("rules/alerts.yml"), &rules); err != nil {
		panic(err) // Prometheus would not read it either
	}
	alerts := make(map[string][]string) // by board
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			alerts[r.Annotations.Dashboard] = append(alerts[r.Annotations.Dashboard], r.Alert)
		}
	}
	var all []string
	for _, board := range slices.Sorted(maps.Keys(alerts)) {
		all = append(all, fmt.Sprintf(`label_replace(count by (alertname, severity) (ALERTS{alertname=~"%s", alertstate="firing"}), "dashboard", %q, "", "")`, strings.Join(alerts[board], "|"), board))
	}
	return strings.Join(all, " or ")
}
