package httpapi

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"context"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"

	"strata/app/listing"
)

func TestSearchesThatMeanTheSameHaveOneKey(t *testing.T) {
	for want, same := range map[string][]string{
		"":                                       {"", "&", "sort=newest", "limit=20", "sort=NEWEST&limit=020", "city=&type=&offer=&price_min=&price_max=&bedrooms_min=&sort=&limit=&cursor=", "price_min=0&bedrooms_min=0"},
		"city=lisbon&type=apartment":             {"city=lisbon&type=apartment", "type=apartment&city=lisbon", "type=Apartment&city=LISBON", "city=lisbon&type=apartment&limit=20", "ci%74y=lis%62on&type=apartment"},
		"bedrooms_min=2&price_max=9&price_min=9": {"price_min=9&price_max=9&bedrooms_min=2", "price_min=009&price_max=9&bedrooms_min=2"},
		"cursor=AbC_-1&sort=price_asc":           {"sort=price_asc&cursor=AbC_-1", "sort=Price_Asc&cursor=AbC_-1"},
		"limit=100&offer=rent":                   {"offer=rent&limit=100", "limit=100&offer=RENT"},
	} {
		for _, text := range same {
			q, wrong := parse(text)
			if wrong != nil {
				t.Errorf("%q is refused: %v", text, wrong[0])
			} else if got := q.Key(); got != want {
				t.Errorf("%q has key %q, want %q", text, got, want)
			}
		}
	}
}

func TestEveryFaultOfASearchIsNamed(t *testing.T) {
	for text, want := range map[string][]string{
		"colour=red":                         {"query.colour"},
		"=":                                  nil, // no name and no value is nothing
		"=red":                               {"query."},
		"city=a&city=a":                      {"query.city"},
		"city=&city=":                        {"query.city"},
		"city=new--york":                     {"query.city"},
		"city=lisbon%00":                     {"query.city"},
		"city=lisbon'%20OR%201=1":            {"query.city"},
		"city=" + strings.Repeat("a", 65):    {"query.city"},
		"type=castle":                        {"query.type"},
		"offer=lease":                        {"query.offer"},
		"sort=random":                        {"query.sort"},
		"limit=0":                            {"query.limit"},
		"limit=101":                          {"query.limit"},
		"limit=-1":                           {"query.limit"},
		"limit=+5":                           {"query.limit"},
		"limit=1e1":                          {"query.limit"},
		"limit=5.0":                          {"query.limit"},
		"limit=99999999999999999999999":      {"query.limit"},
		"price_min=-1":                       {"query.price_min"},
		"price_min=1000000000001":            {"query.price_min"},
		"price_max=0":                        {"query.price_max"},
		"price_min=2&price_max=1":            {"query.price_max"},
		"bedrooms_min=101":                   {"query.bedrooms_min"},
		"cursor=a.b":                         {"query.cursor"},
		"cursor=" + strings.Repeat("a", 129): {"query.cursor"},
		"limit=x&city=X_&bogus=1&sort=best&limit=5": {"query.limit", "query.city", "query.bogus", "query.sort", "query.limit"},
	} {
		_, wrong := parse(text)
		var got []string
		for _, w := range wrong {
			got = append(got, w.Location)
		}
		if diff := cmp.Diff(got, want); diff != "" {
			t.Errorf("%q, got before want:\n%s", text, diff)
		}
	}
}

func TestAnIDHasOneSpelling(t *testing.T) {
	for text, want := range map[string]int64{
		"1": 1, "42": 42, "9223372036854775807": 1<<63 - 1,
		"": 0, "0": 0, "-1": 0, "+1": 0, "01": 0, "1.0": 0, "1e3": 0, " 1": 0, "1 ": 0, "9223372036854775808": 0, "abc": 0, "1_000": 0, "٣": 0,
	} {
		if got, ok := parseID(text); ok != (want != 0) || ok && got != want {
			t.Errorf("parseID(%q) is %d, %v; want %d", text, got, ok, want)
		}
	}
}

// parse reads a query as it stands in a URL.
func parse(text string) (listing.Query, []*huma.ErrorDetail) {
	var args fasthttp.Args
	args.Parse(text)
	return parseQuery(&args)
}

// echo is a search that answers with the key that its handler comes to, and with the view cache's in a header field.
func echo() *Server {
	type output struct{ Body struct{ Key string } }
	s := &Server{app: fiber.New()}
	s.app.Use(func(c *fiber.Ctx) error {
		if key, ok := searchKey(c); ok {
			c.Set("Key", "key:"+key.Text)
		}
		return c.Next()
	})
	api := humafiber.New(s.app, huma.Config{OpenAPI: describe(), Formats: formats(), DefaultFormat: typeJSON})
	op := huma.Operation{Method: http.MethodGet, Path: "/v1/listings", Parameters: searchParams()}
	add(s, api, op, func(_ context.Context, c *fiber.Ctx) (*output, error) {
		q, err := queryOf(c)
		out := new(output)
		out.Body.Key = "key:" + q.Key()
		return out, err
	})
	return s
}

// agree checks that the view cache and the handler come to the same key, or that the handler refuses what the view cache passes by.
func (r reply) agree(t interface{ Errorf(string, ...any) }, query string) {
	var body struct{ Key string }
	if r.status == http.StatusOK {
		body.Key = strings.TrimSuffix(strings.TrimPrefix(r.body, `{"Key":"`), "\"}\n")
	} else if r.status != http.StatusUnprocessableEntity {
		t.Errorf("%q: status %d", query, r.status)
	}
	if key := r.header.Get("Key"); key != body.Key {
		t.Errorf("%q: the view cache's key is %q, the handler's %q", query, key, body.Key)
	}
}

func TestViewsAndHandlersReadAnyQueryAlike(t *testing.T) {
	s := echo()
	names := rapid.SampledFrom([]string{"city", "type", "offer", "price_min", "price_max", "bedrooms_min", "sort", "limit", "cursor", "CITY", "bogus", "", "c%69ty", "city[]"})
	values := rapid.SampledFrom([]string{"", "lisbon", "Lisbon", "apartment", "LOFT", "sale", "rent", "0", "1", "20", "007", "-1", "newest", "price_desc", "a-b", "%00", "%zz", "+", "a;b", "%26", "é", "999999999999999999999"})
	rapid.Check(t, func(t *rapid.T) {
		var parts []string
		for range rapid.IntRange(0, 5).Draw(t, "parameters") {
			part := names.Draw(t, "name")
			if rapid.Bool().Draw(t, "has value") {
				part += "=" + values.Draw(t, "value")
			}
			parts = append(parts, part)
		}
		query := strings.Join(parts, "&")
		s.raw(t, query).agree(t, query)
	})
}

func FuzzViewsAndHandlersReadAnyQueryAlike(f *testing.F) {
	for _, query := range []string{"", "city=lisbon&type=loft", "limit=5&limit=5", "sort=%6eewest&&=", "price_min=1&price_max=0", "cursor=a%2bb"} {
		f.Add(query)
	}
	s := echo()
	f.Fuzz(func(t *testing.T, query string) {
		if strings.ContainsFunc(query, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '#' }) {
			t.Skip("not a query that a request line can hold")
		}
		s.raw(t, query).agree(t, query)
	})
}

// raw asks with a query that net/http would not accept.
func (s *Server) raw(t interface{ Fatalf(string, ...any) }, query string) reply {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.SetMethod(http.MethodGet)
	ctx.Request.SetRequestURI("/v1/listings?" + query)
	s.app.Handler()(&ctx)
	return reply{ctx.Response.StatusCode(), http.Header{"Key": {string(ctx.Response.Header.Peek("Key"))}}, string(ctx.Response.Body())}
}

func TestEverySearchIsReadBackFromEverySpelling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := listing.Query{
			City:        rapid.SampledFrom([]string{"", "lisbon", "new-york"}).Draw(t, "city"),
			Type:        rapid.SampledFrom(append(listing.PropertyTypes(), "")).Draw(t, "type"),
			Offer:       rapid.SampledFrom(append(listing.Offers(), "")).Draw(t, "offer"),
			PriceMin:    rapid.Int64Range(0, 1000).Draw(t, "price_min"),
			PriceMax:    rapid.SampledFrom([]int64{0, 1000, listing.MaxPriceMinor}).Draw(t, "price_max"),
			BedroomsMin: rapid.IntRange(0, listing.MaxRooms).Draw(t, "bedrooms_min"),
			Sort:        rapid.SampledFrom(append(listing.Sorts(), "")).Draw(t, "sort"),
			Limit:       rapid.IntRange(0, listing.MaxLimit).Draw(t, "limit"),
			Cursor:      rapid.StringMatching(`[A-Za-z0-9_-]{0,28}`).Draw(t, "cursor"),
		}
		upper := rapid.Bool().Draw(t, "capitals")
		text := spell(q, upper, rapid.Permutation(searchParams()).Draw(t, "order"))
		got, wrong := parse(text)
		if wrong != nil {
			t.Fatalf("%q is refused: %v", text, wrong[0])
		}
		if diff := cmp.Diff(got, q.Normal()); diff != "" {
			t.Fatalf("%q, got before want:\n%s", text, diff)
		}
	})
}

// spell writes a query as a client may.
func spell(q listing.Query, upper bool, order []*huma.Param) string {
	cased := func(text string) string {
		if upper {
			return strings.ToUpper(text)
		}
		return text
	}
	values := map[string]string{
		"city": cased(q.City), "type": cased(string(q.Type)), "offer": cased(string(q.Offer)), "sort": cased(string(q.Sort)), "cursor": q.Cursor,
		"price_min": strconv.FormatInt(q.PriceMin, 10), "bedrooms_min": strconv.Itoa(q.BedroomsMin),
	}
	if q.PriceMax != 0 {
		values["price_max"] = strconv.FormatInt(q.PriceMax, 10)
	}
	if q.Limit != 0 {
		values["limit"] = strconv.Itoa(q.Limit)
	}
	var parts []string
	for _, p := range order {
		if value, ok := values[p.Name]; ok {
			parts = append(parts, p.Name+"="+url.QueryEscape(value))
		}
	}
	return strings.Join(parts, "&")
}

func TestEveryDocumentedParameterIsReadAndNoOther(t *testing.T) {
	var names []string
	for _, p := range searchParams() {
		names = append(names, p.Name)
	}
	for _, name := range append(slices.Clone(names), "q", "page", "offset") {
		_, wrong := parse(name + "=")
		if known := slices.Contains(names, name); known != (wrong == nil) {
			t.Errorf("parameter %q: documented %v, read %v", name, known, wrong == nil)
		}
	}
	q := listing.Query{City: "x", Type: listing.Loft, Offer: listing.Rent, PriceMin: 1, PriceMax: 2, BedroomsMin: 1, Sort: listing.Cheapest, Limit: 5, Cursor: "c"}
	if got := strings.Count(q.Key(), "="); got != len(names) {
		t.Errorf("a search has %d parts, %d are documented", got, len(names))
	}
}

func TestKeyBuildersAllocateOnlyTheKey(t *testing.T) {
	app := fiber.New()
	var ctx fasthttp.RequestCtx
	ctx.Request.SetRequestURI("/v1/listings?city=Lisbon&type=apartment&offer=sale&price_max=50000000&sort=price_asc&limit=10")
	c := app.AcquireCtx(&ctx)
	defer app.ReleaseCtx(c)
	if got := testing.AllocsPerRun(100, func() {
		if _, ok := searchKey(c); !ok {
			t.Fatal("no key")
		}
	}); got > 1 {
		t.Errorf("the key of a search costs %v allocations, want 1", got)
	}
}
