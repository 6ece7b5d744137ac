package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Escape sequences of the terminal.
const (
	bold   = "\x1b[1m"
	dim    = "\x1b[2m"
	green  = "\x1b[1;32m"
	yellow = "\x1b[33m"
	plain  = "\x1b[0m"
)

// narrowest is the width that findings are wrapped to where the table itself is narrower.
const narrowest = 80

// terminal writes lines and remembers whether colours are wanted.
type terminal struct {
	b     strings.Builder
	color bool
}

func (t *terminal) paint(code, text string) string {
	if !t.color || text == "" {
		return text
	}
	return code + text + plain
}

func (t *terminal) line(format string, values ...any) {
	t.b.WriteString(strings.TrimRight(fmt.Sprintf(format, values...), " "))
	t.b.WriteByte('\n')
}

// WriteTable writes the report for a terminal: measures down, strategies across, the best value of a row marked with a
// star, then the findings. With color it uses ANSI escapes. The lines are 80 to 110 columns wide for up to five strategies.
func WriteTable(w io.Writer, r *Report, color bool) error {
	t := &terminal{color: color}
	width := t.table(r)
	t.findings(r, max(width, narrowest))
	if _, err := io.WriteString(w, t.b.String()); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	return nil
}

// table writes the figures and returns how wide they are.
func (t *terminal) table(r *Report) int {
	if len(r.Strategies) == 0 {
		t.line("Nothing was measured: the report holds no strategy.")
		return 0
	}
	const label = 30
	sections := r.sections(true)
	column := 12
	for i := range r.Strategies {
		column = max(column, utf8.RuneCountInString(r.header(i))+3)
		for _, s := range sections {
			for _, row := range s.Rows {
				column = max(column, utf8.RuneCountInString(row.Cells[i].Text)+4)
			}
		}
	}
	width := max(label+column*len(r.Strategies), narrowest)
	rule := strings.Repeat("─", width)

	if summary := r.summary(); summary != "" {
		for _, line := range wrap(summary, width) {
			t.line("%s", t.paint(dim, line))
		}
	}
	header := strings.Repeat(" ", label)
	for i := range r.Strategies {
		header += pad(r.header(i), column-2) + "  "
	}
	t.line("%s", t.paint(bold, strings.TrimRight(header, " ")))
	for _, s := range sections {
		t.line("%s", t.paint(dim, rule))
		t.line("%s", t.paint(bold, s.Name))
		for _, row := range s.Rows {
			t.row(row, label, column)
		}
	}
	t.line("%s", t.paint(dim, rule))
	t.line("%s", t.paint(dim, strings.Join(r.legend("*"), "   ")))
	return width
}

func (t *terminal) row(row row, label, column int) {
	line := "  " + row.Name + strings.Repeat(" ", max(0, label-2-utf8.RuneCountInString(row.Name)))
	for _, c := range row.Cells {
		text := pad(c.Text, column-2)
		if c.Best {
			line += t.paint(green, text+" *")
			continue
		}
		line += text + "  "
	}
	t.line("%s", line)
}

func (t *terminal) findings(r *Report, width int) {
	if len(r.Findings) == 0 {
		return
	}
	t.line("")
	t.line("%s", t.paint(bold, "What the figures say"))
	for _, f := range r.Findings {
		mark, code := "+", green
		if !f.Good {
			mark, code = "-", yellow
		}
		for i, line := range wrap(glue(f.Text), width-4) {
			lead := "  "
			if i == 0 {
				lead = t.paint(code, mark) + " "
			}
			t.line("  %s%s", lead, strings.ReplaceAll(line, "\u00a0", " "))
		}
	}
}

// header names a strategy; an exclamation mark says that its run at the equal rate was spoilt.
func (r *Report) header(i int) string {
	s := &r.Strategies[i]
	if !r.sound(s) {
		return s.Name + " !"
	}
	return s.Name
}

// legend explains the marks that the tables of this report use, the one of the best value included.
func (r *Report) legend(best string) []string {
	marks := []string{best + " best of the row", absent + " not measured"}
	var bounded, spoilt bool
	for i := range r.Strategies {
		s := &r.Strategies[i]
		bounded = bounded || s.bounded() && s.CapacityRPS > 0
		spoilt = spoilt || !r.sound(s)
	}
	if bounded {
		marks = append(marks, "≥ the service may do more")
	}
	if spoilt {
		marks = append(marks, "! not comparable at the equal rate")
	}
	return marks
}

// summary says in one line what was done.
func (r *Report) summary() string {
	c := r.Conditions
	var parts []string
	if c.RateRPS > 0 {
		parts = append(parts, count(c.RateRPS)+" requests/s")
	}
	if c.DurationSeconds > 0 {
		parts = append(parts, duration(c.DurationSeconds)+" each")
	}
	if c.Listings > 0 {
		parts = append(parts, noun(int64(c.Listings), "listing"))
	}
	if c.Cores > 0 {
		parts = append(parts, noun(int64(c.Cores), "core"))
	}
	return strings.Join(parts, " · ")
}

// pad sets text to the right of a column, counted in characters.
func pad(text string, width int) string {
	return strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text))) + text
}

// wrap breaks text into lines of at most width characters, at spaces only.
func wrap(text string, width int) []string {
	var lines []string
	var line string
	for _, word := range strings.Split(text, " ") {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}
