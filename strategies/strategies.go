// Package strategies says of each caching strategy what it is called, what it does and which colour it has. The report, the
// boards, the pictures and the command line of the laboratory read it here, the Tiltfile reads strategies.json itself; so a
// strategy of the service is one entry of that file.
package strategies

import (
	"bytes"
	_ "embed" // the file travels in the program
	"encoding/json"
	"fmt"
)

// Strategy is one entry of strategies.json. Light and Dark are its colour on either ground, as #rrggbb. Their hues follow Okabe
// and Ito, moved until they can be read as text on that ground.
type Strategy struct {
	Name      string `json:"name"`      // as STRATA_STRATEGY and the label strategy have it
	Short     string `json:"short"`     // what happens to an answer, without a subject
	Sentence  string `json:"sentence"`  // the same for a reader who has time
	Elsewhere string `json:"elsewhere"` // what others call it
	Light     string `json:"light"`
	Dark      string `json:"dark"`
}

// Baseline is the strategy that all others are compared with. It comes first.
const Baseline = "none"

//go:embed strategies.json
var file []byte

// All returns the strategies in the order of every table, board and run: the baseline first, the one that proves its answers last.
func All() []Strategy {
	var all []Strategy
	decoder := json.NewDecoder(bytes.NewReader(file))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&all); err != nil {
		panic(fmt.Errorf("strategies.json: %w", err)) // it is compiled in, and a test reads it
	}
	return all
}

// Names returns the names, in the order of All.
func Names() []string {
	var names []string
	for _, s := range All() {
		names = append(names, s.Name)
	}
	return names
}

// Find returns the strategy with that name, and whether there is one.
func Find(name string) (Strategy, bool) {
	for _, s := range All() {
		if s.Name == name {
			return s, true
		}
	}
	return Strategy{}, false
}
