package report

import (
	"fmt"
	"strings"

	"example.com/strata/strategies"
)

// shade is one colour on light and on dark ground.
type shade struct{ light, dark string }

// inks are the colours of text and lines, sources those of places; a strategy's is in package strategies. The lines carry labels
// as well, so that nobody depends on hue.
var (
	inks = map[string]shade{
		"ground": {"#ffffff", "#15171b"},
		"panel":  {"#f6f6f3", "#1d2025"},
		"text":   {"#1b1e23", "#e9e7e3"},
		"muted":  {"#5b626b", "#a1a7b0"},
		"line":   {"#dcdcd6", "#353a42"},
		"good":   {"#00755a", "#37c79b"},
		"bad":    {"#a8480b", "#f0954a"},
	}
	other = shade{"#7a4ea3", "#c39be8"} // a strategy that only a report from elsewhere knows
	// The nearer to the client a cache is, the stronger its blue; Postgres is sand, trouble is orange and red.
	sources = []source{
		{"view_l1", "View, in process", shade{"#25357a", "#8c9df0"}, shade{"#ffffff", "#10131f"}},
		{"view_l2", "View, Redis", shade{"#5468b8", "#6577cf"}, shade{"#ffffff", "#ffffff"}},
		{"data_l1", "Data, in process", shade{"#8a9bdb", "#4a5aa8"}, shade{"#10131f", "#ffffff"}},
		{"data_l2", "Data, Redis", shade{"#bcc7ef", "#333f7a"}, shade{"#10131f", "#ffffff"}},
		{"postgres", "Postgres", shade{"#dfcfa6", "#8a7747"}, shade{"#2a2413", "#ffffff"}},
		{"stale", "Stale, said so", shade{"#e0772c", "#d9762f"}, shade{"#10131f", "#10131f"}},
		{"error", "Error", shade{"#a11d1d", "#e05a5a"}, shade{"#ffffff", "#10131f"}},
	}
)

// source is a place that answers come from.
type source struct {
	key, name string
	fill, on  shade
}

// theme says how colours are written: by CSS variable in the page, which knows light and dark, or as they are in a picture.
type theme bool

const (
	variables theme = true
	literal   theme = false
)

func (t theme) ink(name string) string {
	if t == variables {
		return "var(--" + name + ")"
	}
	return inks[name].light
}

func (t theme) strategy(name string) string {
	s, known := strategies.Find(name)
	if !known {
		s = strategies.Strategy{Name: "other", Light: other.light}
	}
	if t == variables {
		return "var(--s-" + s.Name + ")"
	}
	return s.Light
}

func (t theme) source(s source) (fill, on string) {
	if t == variables {
		return "var(--a-" + s.key + ")", "var(--o-" + s.key + ")"
	}
	return s.fill.light, s.on.light
}

// properties declares every colour as a CSS variable, for light ground or for dark.
func properties(dark bool) string {
	var b strings.Builder
	declare := func(name string, s shade) {
		value := s.light
		if dark {
			value = s.dark
		}
		fmt.Fprintf(&b, "--%s:%s;", name, value)
	}
	for _, name := range []string{"ground", "panel", "text", "muted", "line", "good", "bad"} {
		declare(name, inks[name])
	}
	for _, s := range strategies.All() {
		declare("s-"+s.Name, shade{s.Light, s.Dark})
	}
	declare("s-other", other)
	for _, s := range sources {
		declare("a-"+s.key, s.fill)
		declare("o-"+s.key, s.on)
	}
	return b.String()
}
