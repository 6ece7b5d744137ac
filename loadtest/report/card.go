package report

import (
	"fmt"
	"html/template"
)

// card is one of the big figures that head the page.
type card struct {
	Question string
	Figure   string
	Says     string
	Bars     []bar
}

// bar is one strategy's share of the largest value of a card.
type bar struct {
	Name, Text string
	Color      template.CSS
	Width      float64 // percent
	Missing    bool
	Strong     bool
}

// cards returns the figures that say most in a minute: speed, load, truth. Each is left out where nothing is known of it.
func (r *Report) cards() []card {
	star := r.highlight()
	base := r.find(baselineName)
	if !r.sound(base) {
		base = nil
	}
	var cards []card
	for _, build := range []func(base, star *Strategy) (card, bool){r.speedCard, r.loadCard, r.truthCard} {
		if c, ok := build(base, star); ok {
			c.Figure, c.Says = glue(c.Figure), glue(c.Says)
			cards = append(cards, c)
		}
	}
	return cards
}

func (r *Report) speedCard(base, star *Strategy) (card, bool) {
	c := card{
		Question: "Slowest 1 % of requests (p99)",
		Bars:     r.bars(star, r.sound, duration, p99),
	}
	switch {
	case star != nil && base != nil && star.P99Seconds > 0 && base.P99Seconds > 0:
		c.Figure = change(base.P99Seconds, star.P99Seconds, "faster", "slower")
		c.Says = fmt.Sprintf("%s or more without a cache, %s or more with %s", duration(base.P99Seconds), duration(star.P99Seconds), star.Name)
	default:
		return r.only(c, star, base, duration, p99)
	}
	return c, true
}

func (r *Report) loadCard(base, star *Strategy) (card, bool) {
	queries := func(s *Strategy) (float64, bool) { return s.DBQueriesPerRequest, s.ran() && r.countedQueries() }
	c := card{
		Question: "Database queries a request",
		Bars:     r.bars(star, r.sound, figure, queries),
	}
	switch {
	case star != nil && base != nil && r.countedQueries() && base.DBQueriesPerRequest > 0:
		from, to := base.DBQueriesPerRequest, star.DBQueriesPerRequest
		c.Figure = change(from, to, "fewer", "more")
		if to < from/alike {
			c.Figure = percent(1-to/from) + " fewer"
		}
		c.Says = fmt.Sprintf("%s without a cache, %s with %s", figure(from), figure(to), star.Name)
	default:
		return r.only(c, star, base, figure, queries)
	}
	return c, true
}

// truthCard shows how wrong answers can be. Its figure belongs to the highlighted strategy, its bars to all.
func (r *Report) truthCard(_, star *Strategy) (card, bool) {
	worst := func(s *Strategy) (float64, bool) { return s.StalenessWorstSeconds, s.WitnessReads > 0 }
	always := func(*Strategy) bool { return true } // the witness judges answers, not how fast they came
	c := card{
		Question: "The stalest answer was behind by",
		Bars:     r.bars(star, always, duration, worst),
	}
	if star == nil || star.WitnessReads == 0 {
		return c, false
	}
	c.Figure = duration(star.StalenessWorstSeconds)
	c.Says = fmt.Sprintf("with %s, where %s of the witness's %s were stale", star.Name, percent(star.StaleShare), noun(star.WitnessReads, "read"))
	if star.StaleReads == 0 {
		c.Figure = "never stale"
		c.Says = fmt.Sprintf("with %s, in %s of the witness", star.Name, noun(star.WitnessReads, "read"))
	}
	return c, true
}

// only fills a card that has nothing to compare with: the plain figure of the one strategy that is known.
func (r *Report) only(c card, star, base *Strategy, format func(float64) string, value func(*Strategy) (float64, bool)) (card, bool) {
	for _, s := range []*Strategy{star, base} {
		if s == nil {
			continue
		}
		if v, known := value(s); known {
			c.Figure, c.Says = format(v), "with "+s.Name
			if s == base {
				c.Says = "without a cache"
			}
			return c, true
		}
	}
	return c, false
}

// change says how many times better or worse, and does not call a difference one that a second run might not repeat.
func change(from, to float64, better, worse string) string {
	switch {
	case to <= 0:
		return "100 % " + better
	case from >= to*alike:
		return factor(from/to) + " " + better
	case to >= from*alike:
		return factor(to/from) + " " + worse
	}
	return "about the same"
}

// bars compares all strategies in one measure. Those that are not fit to be compared have a figure and no bar.
func (r *Report) bars(star *Strategy, fit func(*Strategy) bool, format func(float64) string, value func(*Strategy) (float64, bool)) []bar {
	var most float64
	for i := range r.Strategies {
		if v, known := value(&r.Strategies[i]); known && fit(&r.Strategies[i]) {
			most = max(most, v)
		}
	}
	var bars []bar
	for i := range r.Strategies {
		s := &r.Strategies[i]
		b := bar{Name: s.Name, Color: template.CSS(variables.strategy(s.Name)), Strong: s == star, Text: absent, Missing: true}
		if v, known := value(s); known {
			b.Text = format(v)
			if fit(s) {
				b.Missing = v <= 0 || most <= 0
				if !b.Missing {
					b.Width = 100 * v / most
				}
			}
		}
		bars = append(bars, b)
	}
	return bars
}
