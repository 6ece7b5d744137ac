package httpapi

import (
	"context"
	"net/http"
	"reflect"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"

	"example.com/strata/app/cache"
)

// register adds all routes to the app.
func (s *Server) register() {
	api := humafiber.NewWithGroup(s.app, router{s.app, s}, huma.Config{
		OpenAPI:       describe(),
		Formats:       formats(),
		DefaultFormat: typeJSON,
		Transformers:  []huma.Transformer{describeErrors},
	})
	s.registerReads(api)
	s.registerWrites(api)
	complete(api.OpenAPI())
	s.registerPages(api.OpenAPI())
}

// formats are what huma can write. "json" is what it looks up for application/problem+json.
func formats() map[string]huma.Format {
	return map[string]huma.Format{typeJSON: huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat}
}

// router is what huma registers its operations with. It puts in front of each what it needs of ours.
type router struct {
	fiber.Router
	server *Server
}

// Add implements fiber.Router.
func (r router) Add(method, path string, handlers ...fiber.Handler) fiber.Router {
	s := r.server
	s.metrics.addRoute(path)
	s.metrics.expect(method, path, slices.DeleteFunc(cache.Strategies(), func(other cache.Strategy) bool { return !s.layers.Uses(other) }))
	if method != http.MethodGet {
		return r.Router.Add(method, path, append([]fiber.Handler{s.logged, s.authorize(scopeOf(method)), s.limited(s.writeRate), s.bounded}, handlers...)...)
	}
	view := s.views.Handler(s.remembering(path, keyOf(path)))
	return r.Router.Get(path, append([]fiber.Handler{s.revalidate, view, s.limited(s.readRate), s.bounded}, handlers...)...) // HEAD too
}

// scopeOf returns what a token must allow for a write.
func scopeOf(method string) Scope {
	if method == http.MethodDelete {
		return ScopeDelete
	}
	return ScopeWrite
}

// request gives the operations Fiber's own view of a request: what they read of it they share with the view cache's keys.
type request struct{ c *fiber.Ctx }

// Resolve implements huma.Resolver.
func (r *request) Resolve(ctx huma.Context) []error {
	r.c = humafiber.Unwrap(ctx)
	// There is one form of each answer. Huma would let Accept choose the spelling of its type, and the view cache would keep what the first client chose.
	r.c.Request().Header.Del(fiber.HeaderAccept)
	return nil
}

// add registers an operation. The body is kept from huma until then, since it would read and check it: differently for each method, and decompressed without a limit.
func add[O any](s *Server, api huma.API, op huma.Operation, handle func(context.Context, *fiber.Ctx) (*O, error)) {
	body := op.RequestBody
	op.RequestBody = nil
	op.Errors = append(op.Errors, 408, 414, 431) // which any request may earn before its operation is known
	huma.Register(api, op, func(ctx context.Context, in *request) (*O, error) {
		out, err := handle(ctx, in.c)
		if err != nil {
			return nil, s.humaError(ctx, in.c, err)
		}
		return out, nil
	})
	for _, registered := range operationsOf(api.OpenAPI().Paths[op.Path]) {
		if registered.Method == op.Method {
			registered.RequestBody = body
		}
	}
}

// operationsOf returns the operations of a path that this API has.
func operationsOf(path *huma.PathItem) []*huma.Operation {
	all := []*huma.Operation{path.Get, path.Post, path.Put, path.Patch, path.Delete}
	return slices.DeleteFunc(all, func(op *huma.Operation) bool { return op == nil })
}

func (s *Server) registerReads(api huma.API) {
	seen := headerParam(headerSeen, "A transaction that a write's answer named. The answer is sure to hold what it did", "123456")
	add(s, api, huma.Operation{
		OperationID: "search-listings", Method: http.MethodGet, Path: "/v1/listings", Tags: []string{"listings"},
		Summary:     "Search listings",
		Description: "One page, in the order asked for. Unknown and repeated parameters are errors; an empty one counts as left out.",
		Parameters:  append(searchParams(), seen), Errors: []int{400, 406, 412, 422, 429, 500, 503, 504},
	}, s.searchListings)
	add(s, api, huma.Operation{
		OperationID: "get-listing", Method: http.MethodGet, Path: "/v1/listings/{id}", Tags: []string{"listings"},
		Summary: "Get one listing", Description: "Of any status.",
		Parameters: []*huma.Param{idParam(), seen}, Errors: []int{400, 404, 406, 412, 422, 429, 500, 503, 504},
	}, s.getListing)
	add(s, api, huma.Operation{
		OperationID: "list-cities", Method: http.MethodGet, Path: "/v1/cities", Tags: []string{"cities"},
		Summary:    "List all cities and how many active listings each has",
		Parameters: []*huma.Param{seen}, Errors: []int{400, 406, 412, 422, 429, 500, 503, 504},
	}, s.getCities)
	add(s, api, huma.Operation{
		OperationID: "get-city-stats", Method: http.MethodGet, Path: "/v1/cities/{city}/stats", Tags: []string{"cities"},
		Summary: "What does a city cost?", Description: "Counts, and percentiles of the price and of the price per square metre, of active listings, by offer and type.",
		Parameters: []*huma.Param{cityParam(), seen}, Errors: []int{400, 404, 406, 412, 422, 429, 500, 503, 504},
	}, s.getStats)
}

func (s *Server) registerWrites(api huma.API) {
	bearer := []map[string][]string{{"bearer": {}}}
	ifMatch := headerParam("If-Match", "The listing's ETag. The write is refused with 412 if the listing has changed since", `"5d41402abc4b2a76b9719d91"`)
	required := *ifMatch
	required.Required = true
	key := headerParam(headerIdempotencyKey, "Makes the request one that is done once, however often it is sent: whoever did not get the answer sends it again, and gets the first one. Kept for a day, for each token. A key with another body is refused with 422", "f2f7a3c0-5f0b-4f6e-9d5e-0d6f2b1c7a11")
	key.Schema.MaxLength = new(maxIdempotencyKey)
	schemas := api.OpenAPI().Components.Schemas
	draft := schemas.Schema(reflect.TypeFor[draftWire](), true, "draftWire")
	patch := *schemas.SchemaFromRef(draft.Ref)
	patch.Required, patch.Title = nil, "A JSON merge patch (RFC 7396) of a listing"
	patch.Description = "null gives a field the value that it has when it is left out; for those that cannot be left out it is an error."
	add(s, api, huma.Operation{
		OperationID: "create-listing", Method: http.MethodPost, Path: "/v1/listings", Tags: []string{"listings"}, Security: bearer,
		Summary: "Create a listing", DefaultStatus: http.StatusCreated, RequestBody: jsonBody(draft, typeJSON),
		Parameters: []*huma.Param{key}, Errors: []int{400, 401, 403, 409, 413, 415, 422, 429, 500, 503, 504},
	}, s.createListing)
	add(s, api, huma.Operation{
		OperationID: "replace-listing", Method: http.MethodPut, Path: "/v1/listings/{id}", Tags: []string{"listings"}, Security: bearer,
		Summary: "Replace a listing", RequestBody: jsonBody(draft, typeJSON),
		Parameters: []*huma.Param{idParam(), &required}, Errors: []int{400, 401, 403, 404, 412, 413, 415, 422, 428, 429, 500, 503, 504},
	}, s.replaceListing)
	add(s, api, huma.Operation{
		OperationID: "patch-listing", Method: http.MethodPatch, Path: "/v1/listings/{id}", Tags: []string{"listings"}, Security: bearer,
		Summary: "Change some fields of a listing", RequestBody: jsonBody(&patch, typeMergePatch, typeJSON),
		Parameters: []*huma.Param{idParam(), ifMatch}, Errors: []int{400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 500, 503, 504},
	}, s.patchListing)
	add(s, api, huma.Operation{
		OperationID: "delete-listing", Method: http.MethodDelete, Path: "/v1/listings/{id}", Tags: []string{"listings"}, Security: bearer,
		Summary:    "Delete a listing",
		Parameters: []*huma.Param{idParam(), ifMatch}, Errors: []int{400, 401, 403, 404, 412, 422, 429, 500, 503, 504},
	}, s.deleteListing)
}

func jsonBody(schema *huma.Schema, types ...string) *huma.RequestBody {
	content := make(map[string]*huma.MediaType)
	for _, t := range types {
		content[t] = &huma.MediaType{Schema: schema}
	}
	return &huma.RequestBody{Required: true, Content: content}
}

func idParam() *huma.Param {
	return &huma.Param{Name: "id", In: "path", Required: true, Description: "The listing's id", Schema: integer(1, 0), Example: 4711}
}

func cityParam() *huma.Param {
	return &huma.Param{Name: "city", In: "path", Required: true, Description: "The city's slug, in any case", Schema: &huma.Schema{Type: "string"}, Example: "lisbon"}
}

func headerParam(name, about, example string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Description: about, Schema: &huma.Schema{Type: "string"}, Example: example}
}

// integer describes a whole number. A maximum of 0 means none.
func integer(least, most int64) *huma.Schema {
	low, high := float64(least), float64(most)
	schema := &huma.Schema{Type: "integer", Format: "int64", Minimum: &low}
	if most != 0 {
		schema.Maximum = &high
	}
	return schema
}

func number(least, most float64) *huma.Schema {
	return &huma.Schema{Type: "number", Minimum: &least, Maximum: &most}
}

func enum[S ~string](values []S) *huma.Schema {
	schema := &huma.Schema{Type: "string"}
	for _, v := range values {
		schema.Enum = append(schema.Enum, string(v))
	}
	return schema
}
