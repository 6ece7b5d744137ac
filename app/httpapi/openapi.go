package httpapi

import (
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// describe returns the description of the API without its operations, which huma adds.
func describe(version string) *huma.OpenAPI {
	return &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "Strata", Version: version,
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
		if name != "Draft" {
			schema.AdditionalProperties = nil // answers may grow, and a client must not call that an error
		}
	}
	for _, path := range api.Paths {
		for _, op := range operationsOf(path) {
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
	ok.Headers["ETag"] = field("Strong; for If-None-Match", `"1-3"`)
	ok.Headers["Cache-Status"] = field("What each cache did (RFC 9211), the one nearest the database first", "view-l1; hit; ttl=583")
	ok.Headers["Age"] = field("Seconds since the answer was last known to be true", "0")
	ok.Headers["Strata-As-Of"] = field("Every change that was committed before this moment is in the answer. Left out where the strategy cannot promise that", "2026-01-02T15:04:05.000000Z")
	ok.Headers["Server-Timing"] = field("Where the answer came from, and how long the database took if it was asked", "source;desc=view_l1")
	op.Responses["304"] = &huma.Response{Description: "The ETag is one of those in If-None-Match"}
	op.Parameters = append(op.Parameters, headerParam("If-None-Match", "ETags that the client has the answers of", `"1-3"`))
}
