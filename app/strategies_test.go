package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/strata/app/cache"
	"example.com/strata/strategies"
)

// The laboratory and the boards know the service from outside. Here both sides of the list are at hand.
func TestEveryStrategyOfTheServiceIsDescribed(t *testing.T) {
	var names []string
	for _, s := range cache.Strategies() {
		names = append(names, s.String())
	}
	if diff := cmp.Diff(strategies.Names(), names); diff != "" {
		t.Errorf("strategies/strategies.json (-) and the service (+) differ:\n%s", diff)
	}
}
