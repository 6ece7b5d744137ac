package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/valyala/fasthttp"
	"pgregory.net/rapid"

	"example.com/strata/app/listing"
)

func TestSearchesThatMeanTheSameHaveOneKey(t *testing.T) {
	for want, same := range map[string][]string{
		"":                                       {"", "&", "sort=newest", "limit=20", "sort=NEWEST&limit=020", "city=&type=&offer=&price_min=&price_max=&bedrooms_min=&sort=&limit=&cursor=", "price_min=0&bedrooms_min=0"},
		"city=lisbon&type=apartment":             {"city=lisbon&type=apartment", "type=apartment&city=lisbon", "type=Apartment&city=LISBON", "city=lisbon&type=apartment&limit=20", "ci%74y=lis%62on&type=apartment"},
		"bedrooms_min=2&price_max=9&price_min=9": {"price_min=9&price_max=9&bedrooms_min=2", "price_min=009&price_max=9&bedrooms_min=2"},
		"cursor=AbC_-1&sort=price_asc":           {"sort=price_asc&cursor=AbC_-1", "sort=Price_Asc&cursor=AbC_-1"},
		"region=bavaria&status=sold":             {"region=Bavaria&status=SOLD", "status=sold&region=bavaria"},
		"country=PT":                             {"country=pt", "country=PT&status=active", "country=Pt&status=&q="},
		"amenities=balcony,pool":                 {"amenities=pool,balcony", "amenities=Balcony,POOL,pool", "amenities=balcony%2Cpool"},
		"area_max=80&area_min=71.5":              {"area_min=71.5&area_max=80", "area_min=0071.50&area_max=80.0", "area_max=80.00&area_min=71.500000"},
		"bedrooms_max=0":                         {"bedrooms_max=0", "bedrooms_max=00&bedrooms_min=0"},
		"bathrooms_min=2&bedrooms_max=3":         {"bedrooms_max=3&bathrooms_min=02"},
		"bbox=-9.2,38.7,-9,38.8":                 {"bbox=-9.2,38.7,-9,38.8", "bbox=-9.20,38.70000000,-9.0,038.8", "bbox=-9.2%2C38.7%2C-9%2C38.8"},
		"bbox=0,-1,1,0":                          {"bbox=-0,-1,1,0", "bbox=0.0,-1,1,-0.000"},
		"q=river -garden&sort=relevance":         {"q=River+-garden&sort=relevance", "q=%20river%20%20-GARDEN&sort=Relevance", "sort=relevance&q=river%09-garden"},
		"q=a%26b%3Dc":                            {"q=a%26b%3dc"},
		"facets=type,city":                       {"facets=city,type", "facets=Type,city,type&limit=20"},
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
		"region=x_":                          {"query.region"},
		"country=P1":                         {"query.country"},
		"country=PTX":                        {"query.country"},
		"status=gone":                        {"query.status"},
		"bedrooms_max=-1":                    {"query.bedrooms_max"},
		"bedrooms_max=1&bedrooms_min=2":      {"query.bedrooms_max"},
		"bathrooms_min=101":                  {"query.bathrooms_min"},
		"area_min=.5":                        {"query.area_min"},
		"area_min=5.":                        {"query.area_min"},
		"area_min=1.001":                     {"query.area_min"},
		"area_min=1000000.01":                {"query.area_min"},
		"area_max=0":                         {"query.area_max"},
		"area_max=0.001":                     {"query.area_max"},
		"area_max=1&area_min=2":              {"query.area_max"},
		"amenities=helipad":                  {"query.amenities"},
		"amenities=pool,":                    {"query.amenities"},
		"amenities=,":                        {"query.amenities"},
		"amenities=pool,,garden":             {"query.amenities"},
		"facets=type%20":                     {"query.facets"},
		"bbox=1,2,3,4,5":                     {"query.bbox"},
		"bbox=1,2,3,":                        {"query.bbox"},
		"bbox=1,2,1,4":                       {"query.bbox"},
		"bbox=-181,0,0,1":                    {"query.bbox"},
		"bbox=0,0,1,90.000001":               {"query.bbox"},
		"bbox=--1,0,1,1":                     {"query.bbox"},
		"bbox=0.1234567,0,1,1":               {"query.bbox"},
		"q=-a":                               {"query.q"},
		"q=%20":                              {"query.q"},
		"q=!!":                               {"query.q"},
		"q=%1b":                              {"query.q"},
		"sort=relevance":                     {"query.sort"},
		"sort=relevance&q=":                  {"query.sort"},
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
		if err := json.Unmarshal([]byte(r.body), &body); err != nil {
			t.Errorf("%q: %v in %s", query, err, r.body)
		}
	} else if r.status != http.StatusUnprocessableEntity {
		t.Errorf("%q: status %d", query, r.status)
	}
	if key := r.header.Get("Key"); key != body.Key {
		t.Errorf("%q: the view cache's key is %q, the handler's %q", query, key, body.Key)
	}
}

func TestViewsAndHandlersReadAnyQueryAlike(t *testing.T) {
	s := echo()
	names := rapid.SampledFrom([]string{"city", "type", "offer", "price_min", "price_max", "bedrooms_min", "sort", "limit", "cursor", "CITY", "bogus", "", "c%69ty", "city[]",
		"region", "country", "status", "bedrooms_max", "bathrooms_min", "area_min", "area_max", "amenities", "bbox", "q", "facets"})
	values := rapid.SampledFrom([]string{"", "lisbon", "Lisbon", "apartment", "LOFT", "sale", "rent", "0", "1", "20", "007", "-1", "newest", "price_desc", "a-b", "%00", "%zz", "+", "a;b", "%26", "é", "999999999999999999999",
		"pt", "sold", "71.50", "pool,Balcony", "-9.2,38.69,-9,38.8", "type,city", "relevance", "River -garden", "%C3%8Ele", "area_asc"})
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
	for _, query := range []string{"", "city=lisbon&type=loft", "limit=5&limit=5", "sort=%6eewest&&=", "price_min=1&price_max=0", "cursor=a%2bb",
		"bbox=-9.2,38.69,-9.09,38.8&q=river+-garden&sort=relevance", "amenities=pool,Balcony&facets=type,city&country=pt&status=sold",
		"area_min=71.50&area_max=0080&bedrooms_max=0&bathrooms_min=1&region=Bavaria", "q=%C4%B0%CF%83&q=a%26b", `q=a"b%22-c`} {
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
			City:          rapid.SampledFrom([]string{"", "lisbon", "new-york"}).Draw(t, "city"),
			Type:          rapid.SampledFrom(append(listing.PropertyTypes(), "")).Draw(t, "type"),
			Offer:         rapid.SampledFrom(append(listing.Offers(), "")).Draw(t, "offer"),
			PriceMin:      rapid.Int64Range(0, 1000).Draw(t, "price_min"),
			PriceMax:      rapid.SampledFrom([]int64{0, 1000, listing.MaxPriceMinor}).Draw(t, "price_max"),
			BedroomsMin:   rapid.IntRange(0, listing.MaxRooms).Draw(t, "bedrooms_min"),
			Sort:          rapid.SampledFrom(append(listing.Sorts()[:5], "")).Draw(t, "sort"),
			Region:        rapid.SampledFrom([]string{"", "bavaria", "lisbon-district"}).Draw(t, "region"),
			Country:       rapid.SampledFrom([]string{"", "PT"}).Draw(t, "country"),
			Status:        rapid.SampledFrom(append(listing.Statuses(), "")).Draw(t, "status"),
			BedroomsBelow: rapid.SampledFrom([]int{0, listing.MaxRooms + 1}).Draw(t, "bedrooms_max"),
			BathroomsMin:  rapid.IntRange(0, listing.MaxRooms).Draw(t, "bathrooms_min"),
			AreaMin:       rapid.Int64Range(0, 9999).Draw(t, "area_min"),
			AreaMax:       rapid.SampledFrom([]int64{0, 10000, maxArea}).Draw(t, "area_max"),
			Amenities:     listing.AmenitySet(rapid.Uint32Range(0, 1<<len(listing.Amenities())-1).Draw(t, "amenities")),
			Box:           rapid.SampledFrom([]listing.Box{{}, {MinLon: -9_200_000, MinLat: 38_690_001, MaxLon: 1, MaxLat: 90_000_000}}).Draw(t, "bbox"),
			Text:          rapid.SampledFrom([]string{"", "river", `"a & b" -c=d%`, "été"}).Draw(t, "q"),
			Facets:        listing.FacetSet(rapid.Uint8Range(0, 1<<len(listing.Facets())-1).Draw(t, "facets")),
			Limit:         rapid.IntRange(0, listing.MaxLimit).Draw(t, "limit"),
			Cursor:        rapid.StringMatching(`[A-Za-z0-9_-]{0,28}`).Draw(t, "cursor"),
		}
		upper := rapid.Bool().Draw(t, "capitals")
		if q.Text != "" && rapid.Bool().Draw(t, "best first") {
			q.Sort = listing.Best
		}
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
	values["region"], values["country"], values["status"] = cased(q.Region), cased(q.Country), cased(string(q.Status))
	values["bathrooms_min"], values["q"] = strconv.Itoa(q.BathroomsMin), cased(q.Text)
	values["amenities"], values["facets"] = cased(q.Amenities.String()), cased(q.Facets.String())
	values["area_min"] = fmt.Sprintf("%.2f", float64(q.AreaMin)/100)
	if q.AreaMax != 0 {
		values["area_max"] = fmt.Sprintf("%.2f", float64(q.AreaMax)/100)
	}
	if q.BedroomsBelow != 0 {
		values["bedrooms_max"] = strconv.Itoa(q.BedroomsBelow - 1)
	}
	if b := q.Box; b != (listing.Box{}) {
		values["bbox"] = fmt.Sprintf("%.6f,%.6f,%.6f,%.6f", float64(b.MinLon)/1e6, float64(b.MinLat)/1e6, float64(b.MaxLon)/1e6, float64(b.MaxLat)/1e6)
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
	for _, name := range append(slices.Clone(names), "query", "page", "offset") {
		_, wrong := parse(name + "=")
		if known := slices.Contains(names, name); known != (wrong == nil) {
			t.Errorf("parameter %q: documented %v, read %v", name, known, wrong == nil)
		}
	}
	q := listing.Query{City: "x", Region: "y", Country: "ZZ", Type: listing.Loft, Offer: listing.Rent, Status: listing.Sold, PriceMin: 1, PriceMax: 2, BedroomsMin: 1, BedroomsBelow: 2,
		BathroomsMin: 1, AreaMin: 1, AreaMax: 2, Amenities: 1, Box: listing.Box{MaxLon: 1}, Text: "t", Sort: listing.Cheapest, Limit: 5, Cursor: "c", Facets: 1}
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

// FuzzKey reads any query, and reads its key back: the key is a query that means the same, and has itself as its key.
func FuzzKey(f *testing.F) {
	for _, query := range []string{
		"", "city=Lisbon&type=LOFT&sort=price_asc", "limit=005&offer=rent", "bbox=-9.20,38.69,-9.0,38.8&area_min=1.50&area_max=2", "amenities=pool,balcony&facets=offer,type",
		"q=%26+a%3Db+%25+-c&sort=relevance", "country=pt&region=NORTE&status=sold&bedrooms_max=0", "cursor=AbC_-1&price_min=1&price_max=2&bedrooms_min=1&bathrooms_min=2", "q=%C4%B0%CF%83%E2%84%AA",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, text string) {
		q, wrong := parse(text)
		if wrong != nil {
			return
		}
		key := q.Key()
		words := ""
		if q.Text != "" { // not for URLs: a key is only to tell queries apart
			q.Text, words = "", q.Text
			if q.Sort == listing.Best {
				q.Sort = listing.Newest
			}
			if normal, ok := listing.NormalText(words); !ok || normal != words {
				t.Errorf("%q: the words %q become %q when read again", text, words, normal)
			}
		}
		again, wrong := parse(q.Key())
		if wrong != nil {
			t.Fatalf("%q: the key %q is refused: %v", text, q.Key(), wrong[0])
		}
		if again != q || again.Key() != q.Key() {
			t.Errorf("%q: the key %q means %+v, want %+v", text, q.Key(), again, q)
		}
		if words != "" && strings.Count(key, "&q=")+strings.Count(key, "?q=") > 1 {
			t.Errorf("%q: the words read like parameters in %q", text, key)
		}
	})
}
