package report

import (
	"encoding/json"
	"fmt"
	"io"
)

// WriteJSON writes the report as indented JSON, the content of report.json. Empty lists are written as [], never as null,
// so that a reader can range over them without asking.
func WriteJSON(w io.Writer, r *Report) error {
	whole := *r
	if whole.Strategies == nil {
		whole.Strategies = []Strategy{}
	}
	if whole.Findings == nil {
		whole.Findings = []Finding{}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(whole); err != nil {
		return fmt.Errorf("writing report as JSON: %w", err)
	}
	return nil
}

// ReadJSON reads a report that WriteJSON wrote. Fields it does not know are ignored: an older program reads a newer report.
func ReadJSON(r io.Reader) (*Report, error) {
	var read Report
	if err := json.NewDecoder(r).Decode(&read); err != nil {
		return nil, fmt.Errorf("reading report as JSON: %w", err)
	}
	return &read, nil
}
