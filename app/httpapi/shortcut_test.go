package httpapi

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"example.com/strata/app/viewcache"
)

func TestShortcutLeadsWhereTheSameBytesLedBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newShortcuts()
		led := make(map[string]string)
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			url := "/" + rapid.StringMatching(`[a-c]{1,3}`).Draw(t, "url")
			if to := s.find(url); to != nil && to.key.Text != led[url] {
				t.Fatalf("%s leads to %q, want %q", url, to.key.Text, led[url])
			}
			led[url] = strings.ToUpper(url)
			s.place(url).Store(&shortcut{url: url, key: viewcache.Key{Text: led[url]}})
			if to := s.find(url); to == nil || to.key.Text != led[url] {
				t.Fatalf("%s is forgotten at once", url)
			}
		}
	})
}
