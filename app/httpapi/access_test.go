package httpapi

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"example.com/strata/app/cache"
)

// accessLine is what the log says of a request.
type accessLine struct {
	Level, Msg, Method, Route, Source, Strategy, Took string
	Status                                            int
	LeftOut                                           int64 `json:"left_out"`
}

// accessLines returns the lines of the access log, and their text.
func (s *service) accessLines(t *testing.T) (lines []accessLine, text string) {
	t.Helper()
	for row := range strings.Lines(s.log.String()) {
		var line accessLine
		if err := json.Unmarshal([]byte(row), &line); err != nil {
			t.Fatalf("%q: %v", row, err)
		}
		if line.Msg == "slow request" || line.Msg == "request answered with an error" {
			lines, text = append(lines, line), text+row
		}
	}
	return lines, text
}

func TestAccessLogNotesWhatFailedOrWasSlowAndNotWhoAsked(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped}, func(c *Config) { c.SlowRequest = time.Hour })
	s.app.Get("/panic", func(*fiber.Ctx) error { panic("boom") })
	s.get(t, "/v1/listings/1") // the controls: what is neither slow nor our fault
	s.get(t, "/v1/listings/999999")
	if lines, _ := s.accessLines(t); len(lines) != 0 {
		t.Errorf("noted: %+v", lines)
	}
	s.get(t, "/panic?name=ann", "User-Agent", "ann's", "X-Forwarded-For", "192.0.2.7", "Authorization", "Bearer "+testToken)
	lines, text := s.accessLines(t)
	if len(lines) != 1 || lines[0].Msg != "request answered with an error" || lines[0].Level != "WARN" || lines[0].Method != "GET" ||
		lines[0].Status != 500 || lines[0].Source != "error" || lines[0].Strategy != "stamped" {
		t.Errorf("after a panic: %+v", lines)
	}
	for _, secret := range []string{"ann", "192.0.2.7", testToken} {
		if strings.Contains(text, secret) {
			t.Errorf("the line tells %s: %s", secret, text)
		}
	}
}

func TestAccessLogOfASlowServiceIsASample(t *testing.T) {
	s := newService(t, cache.Config{Strategy: cache.Stamped}, func(c *Config) { c.SlowRequest = time.Nanosecond })
	asked := int64(0)
	var last accessLine
	soon(t, "a line says how many were left out", func() bool {
		asked++
		s.get(t, "/v1/listings/999999") // never a view, which has a shorter way
		lines, _ := s.accessLines(t)
		last = lines[len(lines)-1]
		return last.LeftOut > 0
	})
	if last.Msg != "slow request" || last.Route != "/v1/listings/{id}" || last.Status != 404 || last.Took == "" {
		t.Errorf("%+v", last)
	}
	lines, _ := s.accessLines(t)
	told := int64(len(lines))
	for _, line := range lines {
		told += line.LeftOut
	}
	if told != asked || int64(len(lines)) == asked {
		t.Errorf("%d lines tell of %d requests, want all of %d in fewer lines", len(lines), told, asked)
	}
}
