package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
)

//go:embed head.html
var pageHead string

// registerPages adds what describes the API: for programs, and for people, the latter without a script or anything from elsewhere.
func (s *Server) registerPages(api *huma.OpenAPI) {
	document, err := encode(api)
	if err != nil {
		panic(fmt.Sprintf("describing the API: %v", err)) // the description is a constant of the program
	}
	description := newPage(typeJSON, document)
	s.page("/openapi.json", func(*fiber.Ctx) *page { return description })
	docs := newPage(fiber.MIMETextHTMLCharsetUTF8, docsPage(api))
	s.page("/docs", func(*fiber.Ctx) *page { return docs })
	problems := make(map[string]*page)
	for _, k := range kinds() {
		problems[k.slug] = newPage(fiber.MIMETextHTMLCharsetUTF8, problemPage(k))
	}
	s.page(problemPath+":slug", func(c *fiber.Ctx) *page { return problems[c.Params("slug")] })
}

// page is one that was made beforehand.
type page struct {
	contentType, etag string
	body              []byte
}

func newPage(contentType string, body []byte) *page {
	sum := sha256.Sum256(body)
	return &page{contentType, fmt.Sprintf("%q", hex.EncodeToString(sum[:8])), body}
}

// page adds a page. Nil is one that there is not. A client may keep it, and asks each time whether it has changed, as it may with a release.
func (s *Server) page(path string, find func(*fiber.Ctx) *page) {
	s.metrics.addRoute(path)
	s.app.Get(path, func(c *fiber.Ctx) error {
		p := find(c)
		if p == nil {
			return fiber.ErrNotFound
		}
		c.Set(fiber.HeaderETag, p.etag)
		c.Set(fiber.HeaderCacheControl, "no-cache")
		c.Set(fiber.HeaderContentSecurityPolicy, "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		if names(joined(c, fiber.HeaderIfNoneMatch), p.etag) {
			c.Status(fiber.StatusNotModified)
			return nil
		}
		c.Set(fiber.HeaderContentType, p.contentType)
		c.Response().SetBodyRaw(p.body)
		return nil
	})
}

// names reports whether the list of If-None-Match holds the ETag, by the weak comparison (RFC 9110, section 13.1.2). What cannot be read names nothing.
func names(list, etag string) bool {
	for rest := list; ; {
		tag, more, ok := cutTag(strings.TrimLeft(rest, " \t,"))
		if !ok {
			return false
		}
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
		rest = more
	}
}

// markup is a page while it is written. html/template would be the better tool for pages that are less plain than these, but calls
// methods by names that the linker cannot know: for its sake the binary would keep every method of every type, which is 11 MB.
type markup struct{ bytes.Buffer }

// add writes markup, with each of the texts escaped for an element or a quoted attribute.
func (m *markup) add(format string, texts ...any) {
	for i, text := range texts {
		texts[i] = html.EscapeString(fmt.Sprint(text))
	}
	_, _ = fmt.Fprintf(m, format+"\n", texts...)
}

func (m *markup) begin(title string) {
	m.WriteString(pageHead)
	m.add("<title>%s</title>\n</head>\n<body>", title)
}

func (m *markup) end() []byte {
	m.add("</body>\n</html>")
	return m.Bytes()
}

func problemPage(k kind) []byte {
	var m markup
	m.begin(k.title)
	m.add("<h1>%s</h1>\n<p>Status %s. %s</p>", k.title, k.status, k.about)
	m.add(`<p><a href="/docs">The API</a></p>`)
	return m.end()
}

// docsPage tells people what the API's description tells programs.
func docsPage(api *huma.OpenAPI) []byte {
	var m markup
	m.begin(api.Info.Title + " API")
	m.add("<h1>%s</h1>", api.Info.Title)
	m.add(`<p>Version %s. %s For programs: <a href="/openapi.json">openapi.json</a>.</p>`, api.Info.Version, api.Info.Description)
	m.add("<h2>Operations</h2>")
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		for _, operation := range operationsOf(api.Paths[path]) {
			m.operation(operation)
		}
	}
	m.add("<h2>Values</h2>")
	schemas := api.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		m.schema(name, schemas[name])
	}
	m.add("<h2>Problems</h2>\n<p>Every error is an <code>application/problem+json</code> (RFC 9457).</p>")
	m.add("<table><tr><th>Status</th><th>Type</th><th></th></tr>")
	for _, k := range kinds() {
		m.add(`<tr><td>%s</td><td><a href="/problems/%s"><code>/problems/%s</code></a></td><td>%s. %s</td></tr>`, k.status, k.slug, k.slug, k.title, k.about)
	}
	m.add("</table>")
	return m.end()
}

func (m *markup) operation(op *huma.Operation) {
	m.add(`<details id="%s">`, op.OperationID)
	m.add("<summary><b>%s</b> <code>%s</code> &ensp;%s</summary>", op.Method, op.Path, op.Summary)
	m.add("<p>%s", op.Description)
	if len(op.Security) > 0 {
		m.add("Needs a bearer token.")
	}
	m.add("</p>")
	if len(op.Parameters) > 0 {
		m.add("<table><tr><th>Parameter</th><th>In</th><th>Value</th><th></th></tr>")
		for _, p := range op.Parameters {
			m.add("<tr><td><code>%s</code></td><td>%s</td><td>%s</td><td>%s</td></tr>", p.Name, p.In, typeText(p.Schema), p.Description)
		}
		m.add("</table>")
	}
	if op.RequestBody != nil {
		m.add("<p>Body: %s</p>", strings.Join(slices.Sorted(maps.Keys(op.RequestBody.Content)), ", "))
	}
	m.add("<table><tr><th>Status</th><th>Answer</th></tr>")
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		m.add("<tr><td>%s</td><td>%s</td></tr>", status, op.Responses[status].Description)
	}
	m.add("</table>\n</details>")
}

func (m *markup) schema(name string, schema *huma.Schema) {
	m.add(`<details id="%s">`, name)
	m.add("<summary><code>%s</code></summary>", name)
	m.add("<table><tr><th>Field</th><th>Value</th><th></th></tr>")
	for _, field := range slices.Sorted(maps.Keys(schema.Properties)) {
		property := schema.Properties[field]
		m.add("<tr><td><code>%s</code></td><td>%s</td><td>%s</td></tr>", field, typeText(property), property.Description)
	}
	m.add("</table>\n</details>")
}

// typeText says in a few words what values a schema allows.
func typeText(s *huma.Schema) string {
	if s.Ref != "" {
		return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
	}
	text := s.Type
	switch {
	case s.Type == huma.TypeArray && s.Items != nil:
		text = "list of " + typeText(s.Items)
	case len(s.Enum) > 0:
		values := make([]string, len(s.Enum))
		for i, v := range s.Enum {
			values[i] = fmt.Sprint(v)
		}
		text = strings.Join(values, ", ")
	case s.Format != "" && s.Type == huma.TypeString:
		text = s.Format
	}
	for _, bound := range []struct {
		name  string
		value *float64
	}{{"from", s.Minimum}, {"above", s.ExclusiveMinimum}, {"to", s.Maximum}} {
		if bound.value != nil {
			text += fmt.Sprintf(" %s %.0f", bound.name, *bound.value)
		}
	}
	if s.MaxLength != nil {
		text += fmt.Sprintf(", at most %d characters", *s.MaxLength)
	}
	return text
}
