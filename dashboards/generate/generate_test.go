package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the boards anew")

func TestBoardsAreWhatThisProgramWrites(t *testing.T) {
	all := files()
	for name, want := range all {
		path := filepath.Join("..", name)
		if *update {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(got), string(want)); diff != "" {
			t.Errorf("%s, file -, program + (go run ./dashboards/generate writes it):\n%s", name, diff)
		}
	}
	kept, err := filepath.Glob("../*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(kept) != len(all) {
		t.Errorf("%d boards are there, and %d are written: %v", len(kept), len(all), kept)
	}
}
