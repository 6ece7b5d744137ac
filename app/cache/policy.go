package cache

import (
	"fmt"
	"strings"
)

// policy is what a strategy does with entries at a level. The table below is the whole difference between the strategies.
type policy struct {
	l1, l2    bool // the layers that keep entries
	judged    bool // by stamp at each read; else by age alone
	coalesced bool // many reads of a key are one load
	detached  bool // the load outlives its request: soft timeout, early refresh, marks for the fleet
	forgets   bool // the code that writes deletes entries
}

var policies = [strategies][levels]policy{
	TTL: {Data: {l1: true, l2: true}, Views: {l1: true, l2: true}},
	// What people deploy with these two does not coalesce.
	Aside: {Data: {l2: true, forgets: true}},
	Stamped: {
		Data:  {l1: true, l2: true, judged: true, coalesced: true, detached: true},
		Views: {l1: true, l2: true, judged: true, coalesced: true}, // only a request can make a view, so it does that itself
	},
}

func (p policy) keeps() bool { return p.l1 || p.l2 }

// Judges reports whether a strategy judges entries by their stamps, so that it needs a ledger that is told of changes.
func (s Strategy) Judges() bool { return policies[s][Data].judged }

// Places is a set of the places where entries are kept: a layer of a level each. The zero value is empty.
type Places uint8

// Has reports whether a place is in the set.
func (p Places) Has(level Level, layer Layer) bool { return p&place(level, layer) != 0 }

func place(level Level, layer Layer) Places { return 1 << (uint8(level)*layers + uint8(layer)) }

// placeNames are the places as a user writes them.
var placeNames = []struct {
	name  string
	level Level
	layer Layer
}{
	{"views-l1", Views, L1}, {"views-l2", Views, L2}, {"data-l1", Data, L1}, {"data-l2", Data, L2},
}

// AllPlaces holds every place.
const AllPlaces Places = 1<<(levels*layers) - 1

// ParsePlaces reads names separated by commas, as in "views-l1,data-l2". It returns an error that lists the names for another one.
func ParsePlaces(text string) (Places, error) {
	var set Places
	for name := range strings.SplitSeq(text, ",") {
		one, ok := placeNamed(strings.TrimSpace(name))
		if !ok {
			return 0, fmt.Errorf("%q is not one of %s", name, AllPlaces)
		}
		set |= one
	}
	return set, nil
}

func placeNamed(name string) (Places, bool) {
	for _, p := range placeNames {
		if p.name == name {
			return place(p.level, p.layer), true
		}
	}
	return 0, name == "none"
}

// String is the set as ParsePlaces reads it.
func (p Places) String() string {
	var names []string
	for _, n := range placeNames {
		if p.Has(n.level, n.layer) {
			names = append(names, n.name)
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ",")
}
