package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"time"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
)

// condemn does what a stale answer of a stamped cache calls for. All entries that it may have come from go, their classes are read from the database until the next
// epoch, because what hid one change may hide others, and the log says what was missed.
func (s *Server) condemn(ctx context.Context, x sample, epoch freshness.Epoch, truth freshness.Snapshot, body []byte) {
	age := x.missed(body)
	s.audit.ages[x.strategy].Observe(age.Seconds())
	var entries []any
	for _, c := range cache.CondemnReads(ctx, epoch) {
		stamp := "none in this process"
		if c.Stamp.Known() {
			stamp = c.Stamp.Snapshot.String()
		}
		entries = append(entries, slog.Group(c.Level.String()+"_"+c.Class, slog.String("key", c.Key), slog.String("stamp", stamp), slog.Any("tags", c.Stamp.Tags)))
	}
	s.tel.Log.LogAttrs(ctx, slog.LevelError, "audit found a stale answer",
		slog.String("path", string(x.request.URI().Path())), slog.String("query", string(x.request.URI().QueryString())), slog.String("as_of", x.asOf.Text),
		slog.String("missed", firstDifference(x.seen.Body, body)), slog.Duration("missed_for", age), slog.String("truth", truth.String()),
		slog.Group("condemned", entries...))
}

var updatedAt = regexp.MustCompile(`"updated_at":"([^"]+)"`)

// missed returns how long ago the oldest change was made that the answer missed, if the truth says when; else how long ago the answer was read, which
// is the most that it can be.
func (x sample) missed(truth []byte) time.Duration {
	oldest := x.taken
	for _, found := range updatedAt.FindAllSubmatch(truth, -1) {
		at, err := time.Parse(time.RFC3339Nano, string(found[1]))
		if err == nil && at.After(x.seen.Filled) && at.Before(oldest) {
			oldest = at
		}
	}
	if oldest.Equal(x.taken) && !x.seen.Filled.IsZero() {
		oldest = x.seen.Filled
	}
	return max(0, x.taken.Sub(oldest))
}

// firstDifference says where two answers differ first, and how: items.3.price_minor: 100, now 200.
func firstDifference(old, now []byte) string {
	var a, b any
	if json.Unmarshal(old, &a) != nil || json.Unmarshal(now, &b) != nil {
		return "the whole answer"
	}
	return difference("", a, b)
}

func difference(path string, a, b any) string {
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			return differenceOfObjects(path, a, b)
		}
	case []any:
		if b, ok := b.([]any); ok {
			for i := range min(len(a), len(b)) {
				if d := difference(fmt.Sprintf("%s.%d", path, i), a[i], b[i]); d != "" {
					return d
				}
			}
			if len(a) != len(b) {
				return fmt.Sprintf("%s: %d elements, now %d", path, len(a), len(b))
			}
			return ""
		}
	}
	if before, after := fmt.Sprint(a), fmt.Sprint(b); before != after {
		return fmt.Sprintf("%s: %.60s, now %.60s", path, before, after)
	}
	return ""
}

func differenceOfObjects(path string, a, b map[string]any) string {
	var names []string
	for name := range a {
		names = append(names, name)
	}
	for name := range b {
		if _, both := a[name]; !both {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		at := name
		if path != "" {
			at = path + "." + name
		}
		if d := difference(at, a[name], b[name]); d != "" {
			return d
		}
	}
	return ""
}
