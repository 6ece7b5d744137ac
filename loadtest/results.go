package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"example.com/strata/loadtest/report"
)

// newFolder makes the folder of a run, named by when it began, in UTC.
func newFolder(out string, began time.Time) (string, error) {
	dir := filepath.Join(out, began.UTC().Format("2006-01-02T150405Z"))
	if err := os.MkdirAll(out, 0o755); err != nil {
		return "", fmt.Errorf("making the folder for results: %w", err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the folder for results: %w", err)
	}
	return dir, nil
}

// save writes the report in its forms and points "latest" beside the folder to it.
func save(r *report.Report, dir string) error {
	for name, write := range map[string]func(io.Writer, *report.Report) error{"report.json": report.WriteJSON, "report.html": report.WriteHTML, "chart.svg": report.WriteSVG} {
		file, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		if err := write(file, r); err != nil {
			_ = file.Close()
			return fmt.Errorf("writing %s: %w", name, err)
		}
		if err := file.Close(); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	link := filepath.Join(filepath.Dir(dir), "latest")
	temporary := link + ".new" // and renamed, so that there is always one
	_ = os.Remove(temporary)   // of a run that was interrupted just here
	if err := os.Symlink(filepath.Base(dir), temporary); err != nil {
		return fmt.Errorf("pointing latest to the report: %w", err)
	}
	if err := os.Rename(temporary, link); err != nil {
		return fmt.Errorf("pointing latest to the report: %w", err)
	}
	return nil
}
