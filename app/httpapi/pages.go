package httpapi

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/gofiber/fiber/v2"
)

//go:embed docs.html
var docsTemplate string

// registerPages adds what describes the API: for programs, and for people, the latter without a script or anything from elsewhere.
func (s *Server) registerPages(api *huma.OpenAPI) {
	document, err := encode(api)
	if err != nil {
		panic(fmt.Sprintf("describing the API: %v", err)) // the description is a constant of the program
	}
	description := newPage(typeJSON, document)
	s.page("/openapi.json", func(*fiber.Ctx) *page { return description })
	docs := newPage(fiber.MIMETextHTMLCharsetUTF8, render("docs", docsOf(api)))
	s.page("/docs", func(*fiber.Ctx) *page { return docs })
	problems := make(map[string]*page)
	for _, k := range kinds() {
		problems[k.slug] = newPage(fiber.MIMETextHTMLCharsetUTF8, render("problem", map[string]any{"Status": k.status, "Title": k.title, "About": k.about}))
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

// documented is one operation on the page of the API.
type documented struct {
	*huma.Operation
	Bodies  []string // content types of the body
	Answers []answer
}

type answer struct{ Status, About string }

func docsOf(api *huma.OpenAPI) map[string]any {
	var operations []documented
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		for _, registered := range operationsOf(api.Paths[path]) {
			op := documented{Operation: registered}
			if op.RequestBody != nil {
				op.Bodies = slices.Sorted(maps.Keys(op.RequestBody.Content))
			}
			for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
				op.Answers = append(op.Answers, answer{status, op.Responses[status].Description})
			}
			operations = append(operations, op)
		}
	}
	schemas := api.Components.Schemas.Map()
	return map[string]any{"Info": api.Info, "Operations": operations, "Schemas": schemas, "Kinds": docKinds()}
}

// docKind is a type of problem on the page of the API.
type docKind struct {
	Status             int
	Slug, Title, About string
}

func docKinds() []docKind {
	var all []docKind
	for _, k := range kinds() {
		all = append(all, docKind{k.status, k.slug, k.title, k.about})
	}
	return all
}

func render(name string, data any) []byte {
	functions := template.FuncMap{"type": typeText, "join": strings.Join}
	var b bytes.Buffer
	if err := template.Must(template.New("docs").Funcs(functions).Parse(docsTemplate)).ExecuteTemplate(&b, name, data); err != nil {
		panic(fmt.Sprintf("rendering the page %s: %v", name, err)) // template and data are constants of the program
	}
	return b.Bytes()
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
