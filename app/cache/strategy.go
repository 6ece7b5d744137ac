package cache

import (
	"fmt"
	"strings"
)

// Strategy is how entries are kept and judged.
type Strategy uint8

// The strategies are what people deploy, and what this project proposes.
const (
	// None keeps nothing: every read goes to the origin. The baseline.
	None Strategy = iota
	// TTL keeps views and data in both layers for a fixed time, and nothing invalidates them: Django's cache_page, nginx's proxy_cache.
	TTL
	// Aside keeps data in L2 until the code that writes deletes it after its commit, or the TTL ends: cache-aside, Django's low-level cache.
	Aside
	// Stamped keeps views and data in both layers and judges each entry at each read by its stamp.
	Stamped

	strategies = iota
)

var strategyNames = [strategies]string{"none", "ttl", "aside", "stamped"}

// Strategies returns all strategies, the baseline first.
func Strategies() []Strategy { return []Strategy{None, TTL, Aside, Stamped} }

// ParseStrategy returns the strategy with that name, or an error that lists the names.
func ParseStrategy(name string) (Strategy, error) {
	for i, n := range strategyNames {
		if n == name {
			return Strategy(i), nil
		}
	}
	return None, fmt.Errorf("strategy %q is not one of %s", name, strings.Join(strategyNames[:], ", "))
}

// String is the strategy's name, as ParseStrategy reads it.
func (s Strategy) String() string { return strategyNames[s] }

// Level says what is kept.
type Level uint8

const (
	// Data are decoded values: a listing, a page of listings.
	Data Level = iota
	// Views are whole HTTP responses.
	Views

	levels = iota
)

// Levels returns both levels.
func Levels() []Level { return []Level{Data, Views} }

// String is the level's label value.
func (l Level) String() string { return [levels]string{"data", "view"}[l] }
