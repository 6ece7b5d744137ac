package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"example.com/strata/strategies"
)

//go:embed page.html
var pageSource string

// chart is one picture of the page, drawn for a wide window and for a narrow one.
type chart struct {
	Title, Caption string
	Wide, Narrow   template.HTML
	Table          grid // the same figures, for those who do not see the picture
}

// grid is a plain table.
type grid struct {
	Head []string
	Rows [][]string
}

// fact is one line of the conditions.
type fact struct{ Name, Text string }

// page is everything that the template shows.
type page struct {
	Light, Dark template.CSS
	Fonts       template.CSS
	Lede        string
	Cards       []card
	Alarms      []template.HTML // what must be known before any figure is believed
	Names       []heading
	Brief, Full []section
	For         []template.HTML
	Against     []template.HTML
	Charts      []chart
	Classes     grid
	Facts       []fact
	Notes       []string
	Glossary    []term
	Legend      string
	When        string
}

// heading is the name of a strategy above a column.
type heading struct {
	Name  string
	Color template.CSS
	Sound bool
}

// term explains one strategy.
type term struct {
	Name, Text, Elsewhere string
	Color                 template.CSS
}

// WriteHTML writes the report as one self-contained page: no script, no file beside it, light or dark as the reader's system
// is. It shows the findings that the report holds; Find puts them there.
func WriteHTML(w io.Writer, r *Report) error {
	parsed, err := template.New("page").Parse(pageSource)
	if err != nil {
		return fmt.Errorf("parsing page: %w", err)
	}
	if err := parsed.Execute(w, newPage(r)); err != nil {
		return fmt.Errorf("writing page: %w", err)
	}
	return nil
}

func newPage(r *Report) *page {
	p := &page{
		Light:    template.CSS(properties(false)),
		Dark:     template.CSS(properties(true)),
		Fonts:    template.CSS(fonts),
		Lede:     r.lede(),
		Cards:    r.cards(),
		Brief:    r.sections(true),
		Full:     r.sections(false),
		Charts:   r.charts(),
		Classes:  r.classGrid(),
		Facts:    r.facts(),
		Notes:    r.Conditions.Notes,
		Glossary: r.glossary(),
		Legend:   strings.Join(r.legend("★"), " · "),
	}
	if !r.Started.IsZero() {
		p.When = r.Started.UTC().Format("2 January 2006, 15:04 UTC")
	}
	for i := range r.Strategies {
		s := &r.Strategies[i]
		p.Names = append(p.Names, heading{s.Name, template.CSS(variables.strategy(s.Name)), r.sound(s)})
	}
	alarms := map[string]bool{}
	for _, f := range slices.Concat(baselineMissing(r), runsSpoilt(r), machineCrowded(r)) {
		alarms[f.Text] = true
		p.Alarms = append(p.Alarms, r.marked(f.Text))
	}
	for _, f := range r.Findings {
		switch {
		case alarms[f.Text]: // stands above everything already
		case f.Good:
			p.For = append(p.For, r.marked(f.Text))
		default:
			p.Against = append(p.Against, r.marked(f.Text))
		}
	}
	return p
}

// marked escapes a sentence and sets the names of caching strategies in their colour.
func (r *Report) marked(text string) template.HTML {
	escaped := template.HTMLEscapeString(glue(text))
	for _, s := range r.caching() {
		if s.Name == "" {
			continue
		}
		name := template.HTMLEscapeString(s.Name)
		word := regexp.MustCompile(`\b` + regexp.QuoteMeta(name) + `\b`)
		escaped = word.ReplaceAllString(escaped, `<b style="color:`+variables.strategy(s.Name)+`">${0}</b>`)
	}
	return template.HTML(escaped)
}

// lede says in one or two sentences what was done.
func (r *Report) lede() string {
	if len(r.Strategies) == 0 {
		return "Nothing was measured: the report holds no strategy."
	}
	traffic := "The same traffic"
	if r.Conditions.RateRPS > 0 {
		traffic = fmt.Sprintf("The same traffic, %s requests a second,", count(r.Conditions.RateRPS))
	}
	var data string
	if r.Conditions.Listings > 0 {
		data = fmt.Sprintf(" of %s property listings", count(float64(r.Conditions.Listings)))
	}
	var how string
	switch caching := len(r.caching()); {
	case caching == 0:
		how = "without a cache only: there is nothing to compare it with"
	case r.find(baselineName) == nil && caching == 1:
		how = "through one caching strategy only: there is nothing to compare it with"
	case r.find(baselineName) == nil:
		how = fmt.Sprintf("through %s caching strategies", numeral(caching))
	case caching == 1:
		how = "without a cache, then with one"
	default:
		how = fmt.Sprintf("without a cache, then through %s caching strategies", numeral(caching))
	}
	return fmt.Sprintf("%s was sent to one service%s: %s. Postgres counted the queries; a witness outside the service compared the answers with the truth.", traffic, data, how)
}

func numeral(n int) string {
	words := []string{"no", "one", "two", "three", "four", "five", "six"}
	if n < len(words) {
		return words[n]
	}
	return count(float64(n))
}

// charts draws every picture that the report has figures for.
func (r *Report) charts() []chart {
	kinds := []struct {
		name, title, caption string
		wide, narrow         float64
		draw                 func(*Report, *canvas) bool
		table                func() grid
	}{
		{"latency", "How long requests took", "Each line reads: this share of the requests was answered within this time. Both axes are logarithmic, since what matters is at the right: the slow ones.", 400, 320, latencyChart, r.latencyGrid},
		{"queries", "What the database was asked", "Queries a second that Postgres counted during the run. A cache that works keeps its line low.", 340, 280, queriesChart, r.queriesGrid},
		{"answers", "Where answers came from", "Every read has one source. The stronger the blue, the nearer to the client; sand is the database.", 300, 300, answersChart, r.answersGrid},
		{"staleness", "How old stale answers were", "A witness changes listings by plain SQL and reads them through the service all the while. An answer is stale if it misses a change that was already committed. Logarithmic axis.", 300, 300, stalenessChart, r.stalenessGrid},
		{"capacity", "How much the service can take", r.capacityCaption(), 300, 300, capacityChart, r.capacityGrid},
	}
	var charts []chart
	for _, k := range kinds {
		draw := func(width, height float64, name string) (template.HTML, bool) {
			c := &canvas{theme: variables, width: width, height: height}
			ok := k.draw(r, c)
			return template.HTML(c.picture(name, k.title, describe(k.table()))), ok
		}
		wide, ok := draw(960, k.wide, k.name)
		if !ok {
			continue
		}
		narrow, _ := draw(358, k.narrow, k.name+"-n")
		charts = append(charts, chart{k.title, k.caption, wide, narrow, k.table()})
	}
	return charts
}

func (r *Report) capacityCaption() string {
	limit := r.Conditions.CapacityLimit
	if limit == "" {
		limit = "the highest rate that the service holds"
	}
	return strings.ToUpper(limit[:1]) + strings.TrimSuffix(limit[1:], ".") + ". Where the search ended before the service did, the bar has an open end."
}

// describe puts a grid into words, for a screen reader.
func describe(g grid) string {
	var lines []string
	for _, row := range g.Rows {
		var parts []string
		for i, text := range row[1:] {
			parts = append(parts, g.Head[i+1]+" "+text)
		}
		lines = append(lines, row[0]+": "+strings.Join(parts, ", "))
	}
	return strings.Join(lines, "; ")
}

// facts lists the conditions of the run that are known.
func (r *Report) facts() []fact {
	c := r.Conditions
	var facts []fact
	add := func(name, text string) {
		if text != "" {
			facts = append(facts, fact{name, text})
		}
	}
	positive := func(v float64, text string) string {
		if v <= 0 {
			return ""
		}
		return text
	}
	add("Traffic", c.Mix)
	add("Rate", joined(", ", positive(c.RateRPS, count(c.RateRPS)+" requests/s"), c.RateFrom))
	add("Each strategy", joined(", ", positive(c.WarmSeconds, duration(c.WarmSeconds)+" of warming"), positive(c.DurationSeconds, duration(c.DurationSeconds)+" measured")))
	add("Capacity", c.CapacityLimit)
	add("Entries expire", positive(c.TTLSeconds, "after "+duration(c.TTLSeconds)+", in the strategies that expire"))
	add("Data", joined(", ", positive(float64(c.Listings), noun(int64(c.Listings), "listing")), fmt.Sprintf("seed %d", c.Seed)))
	add("Machine", joined(", ", c.CPU, positive(float64(c.Cores), noun(int64(c.Cores), "core")), positive(float64(c.MemoryBytes), size(float64(c.MemoryBytes))+" of memory")))
	var names []string
	for name := range c.Versions {
		names = append(names, name)
	}
	sort.Strings(names)
	for i, name := range names {
		names[i] = versionOf(name, c.Versions[name])
	}
	add("Versions", strings.Join(names, ", "))
	add("Commit", c.Commit)
	if !r.Started.IsZero() && r.Finished.After(r.Started) {
		add("Whole run", r.Finished.Sub(r.Started).Round(time.Second).String())
	}
	return facts
}

// joined joins what is not empty.
func joined(between string, parts ...string) string {
	var present []string
	for _, part := range parts {
		if part != "" {
			present = append(present, part)
		}
	}
	return strings.Join(present, between)
}

// glossary explains those strategies of the report that are known.
func (r *Report) glossary() []term {
	var terms []term
	for i := range r.Strategies {
		name := r.Strategies[i].Name
		if known, ok := strategies.Find(name); ok {
			terms = append(terms, term{Name: name, Text: known.Sentence, Elsewhere: known.Elsewhere, Color: template.CSS(variables.strategy(name))})
		}
	}
	return terms
}
