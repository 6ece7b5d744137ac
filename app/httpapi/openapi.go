package httpapi

import (
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// apiVersion is the description's. What the service was built from is nobody's business on the public port; the admin port and the command line tell.
const apiVersion = "1.0.0"

// describe returns the description of the API without its operations, which huma adds.
func describe() *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Strata", Version: apiVersion,
			Description: "Property listings, served through cache layers that can be seen: every answer to a read says where it came from and how fresh it is.",
		},
		Tags: []*huma.Tag{
			{Name: "listings", Description: "Search, read and write"},
			{Name: "cities", Description: "Where listings are, and what they cost there"},
		},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
			SecuritySchemes: map[string]*huma.SecurityScheme{
				"bearer": {Type: "http", Scheme: "bearer", Description: "A token that the service was configured with"},
			},
		},
	}
}

// schemaName names the schema of a type as clients know it: listingWire is Listing.
func schemaName(t reflect.Type, hint string) string {
	switch name := huma.DefaultSchemaNamer(t, hint); name {
	case "ErrorModel":
		return "Problem"
	case "ErrorDetail":
		return "ProblemDetail"
	default:
		return strings.TrimSuffix(name, "Wire")
	}
}

// complete adds what huma cannot see: the header fields of the view cache, that our lists are never null, and what may change.
func complete(api *huma.OpenAPI) {
	for name, schema := range api.Components.Schemas.Map() {
		neverNull(schema)
		if name == "Problem" {
			completeProblem(schema)
		}
		if name != "Draft" {
			schema.AdditionalProperties = nil // answers may grow, and a client must not call that an error
		}
	}
	for _, path := range api.Paths {
		for _, op := range operationsOf(path) {
			completeLimits(op)
			if op.RequestBody != nil {
				for _, media := range op.RequestBody.Content {
					neverNull(media.Schema)
				}
			}
		}
		if path.Get != nil {
			completeRead(path.Get)
		}
	}
}

// completeLimits adds the header fields that say how often a client may ask, where it may not ask as often as it likes.
func completeLimits(op *huma.Operation) {
	for _, status := range []string{"200", "201", "204", "429"} {
		response := op.Responses[status]
		if response == nil {
			continue
		}
		if response.Headers == nil {
			response.Headers = make(map[string]*huma.Header)
		}
		text := &huma.Schema{Type: "string"}
		response.Headers["RateLimit-Policy"] = &huma.Header{Description: "How often a client may ask; only where there is a limit", Schema: text, Example: `"reads";q=1000;w=10`}
		response.Headers["RateLimit"] = &huma.Header{Description: "How often it may still ask now, and when more is allowed", Schema: text, Example: `"reads";r=0;t=1`}
		if status == "429" {
			response.Headers["Retry-After"] = &huma.Header{Description: "Seconds to wait", Schema: text, Example: "1"}
		}
	}
}

// completeProblem says what our problems are: their types are relative to the service, and are always there.
func completeProblem(schema *huma.Schema) {
	const reference = "uri-reference"
	kind := schema.Properties["type"]
	kind.Format, kind.Default, kind.Examples = reference, nil, []any{problemPath + "not-found"}
	kind.Description = "What sort of problem it is. The URI leads to a page about it"
	schema.Properties["instance"].Format = reference
	schema.Required = []string{"detail", "status", "title", "type"}
}

// neverNull says that the properties of a schema that are lists are lists: Go's nil ones are never written here, and huma cannot know it.
func neverNull(schema *huma.Schema) {
	for _, property := range schema.Properties {
		if values, ok := property.AdditionalProperties.(*huma.Schema); ok {
			values.Nullable = false // of a map of lists
		}
		if property.Type == huma.TypeArray {
			property.Nullable = false
		}
	}
}

func completeRead(op *huma.Operation) {
	field := func(about, example string) *huma.Header {
		return &huma.Header{Description: about, Schema: &huma.Schema{Type: "string"}, Example: example}
	}
	ok := op.Responses["200"]
	if ok.Headers == nil {
		ok.Headers = make(map[string]*huma.Header)
	}
	ok.Headers["ETag"] = field("Strong, and another for each content coding; for If-None-Match, and that of a listing for If-Match", `"1-3"`)
	ok.Headers["Vary"] = field("The request's fields that an answer depends on", "Accept-Encoding, Strata-Seen")
	ok.Headers["Cache-Control"] = field("Browsers ask each time; shared caches may answer for some moments in the service's place", "max-age=0, s-maxage=1, stale-while-revalidate=1, stale-if-error=300")
	ok.Headers["Content-Encoding"] = field("gzip, br or zstd, as Accept-Encoding allows; left out for identity, which is all that there is of small answers", "br")
	ok.Headers["Cache-Status"] = field("What each cache did (RFC 9211), the one nearest the database first", "view-l1; hit; ttl=583")
	ok.Headers["Surrogate-Key"] = field("What the answer depends on, by which a CDN may drop it; only for requests with CDN-Loop or Surrogate-Capability", "city:lisbon")
	ok.Headers["Age"] = field("Seconds since the answer was last known to be true", "0")
	ok.Headers["Strata-As-Of"] = field("Every change that was committed before this moment is in the answer. Left out where the strategy cannot promise that", "2026-01-02T15:04:05.000000Z")
	ok.Headers["Server-Timing"] = field("Where the answer came from, and how long the database took if it was asked", "source;desc=view_l1")
	op.Responses["304"] = &huma.Response{Description: "The client has the answer: its ETag is one of those in If-None-Match, or it has not changed since If-Modified-Since"}
	op.Parameters = append(op.Parameters,
		headerParam("Accept-Encoding", "Of gzip, br, zstd and identity, with weights", "gzip, deflate, br, zstd"),
		headerParam("If-None-Match", "ETags that the client has the answers of", `"1-3"`),
		headerParam("If-Modified-Since", "When what the client has was changed last. Not looked at beside If-None-Match", "Fri, 02 Jan 2026 15:04:05 GMT"),
		headerParam("Cache-Control", "no-cache and max-age=0 ask for an answer past the caches. Only so many a second are heeded", "no-cache"),
	)
}
