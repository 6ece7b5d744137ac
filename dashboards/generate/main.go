// Command generate writes the dashboards, as JSON that Grafana loads without a change, from their description in Go: one file a board.
// What all panels share (data source, legend, the sentence for no data, the grid) stands in one place, and a change of a query is one line
// in review instead of a page of JSON. Run it as: go run ./dashboards/generate
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("dir", "dashboards", "where the files go")
	flag.Parse()
	for name, text := range files() {
		if err := os.WriteFile(filepath.Join(*dir, name), text, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, "generate:", err)
			os.Exit(1)
		}
	}
}

// files returns the boards as JSON, by name of file.
func files() map[string][]byte {
	all := make(map[string][]byte)
	for name, b := range map[string]*dashboard{
		"caching": caching(), "cache": cache(), "freshness": freshness(), "service": service(), "postgres": postgres(), "redis": redis(),
		"go": runtime(), "load": load(), "telemetry": telemetry(),
	} {
		all[name+".json"] = b.json()
	}
	return all
}
