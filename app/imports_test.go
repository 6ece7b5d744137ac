package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mayImport is who may import whom, of the packages of the service.
var mayImport = map[string][]string{
	"app/telemetry":       {},
	"app/freshness":       {},
	"app/cache":           {"app/freshness"},
	"app/remote":          {},
	"app/changelog":       {"app/freshness"},
	"app/instruments":     {"app/cache", "app/remote", "app/changelog", "app/freshness", "app/telemetry"}, // alone knows both what happens and what it is called outside
	"app/listing":         {"app/cache", "app/freshness", "app/telemetry"},
	"app/postgres":        {"app/listing", "app/changelog", "app/freshness", "app/telemetry"},
	"app/ratelimit":       {"app/remote", "app/telemetry"},
	"app/viewcache":       {"app/cache", "app/freshness", "app/telemetry"},
	"app/httpapi":         {"app/listing", "app/viewcache", "app/ratelimit", "app/cache", "app/freshness", "app/telemetry"}, // the last but two for what a request asks of the caches
	"app/examples/prices": {"app/cache", "app/remote", "app/changelog", "app/freshness"},                                    // the library alone, as anybody has it
	"app": {
		"app/telemetry", "app/freshness", "app/changelog", "app/cache", "app/listing", "app/postgres", "app/viewcache", "app/ratelimit", "app/httpapi",
		"app/remote", "app/instruments",
	},
}

// keepTo is which libraries are known to few packages of the service, so that each can be replaced in one place.
var keepTo = map[string][]string{
	"go.opentelemetry.io/otel/sdk":                            {"app/telemetry"},
	"go.opentelemetry.io/otel/exporters":                      {"app/telemetry"},
	"go.opentelemetry.io/contrib":                             {"app/telemetry"},
	"github.com/prometheus/client_golang/prometheus/promhttp": {"app/telemetry"},
	"github.com/redis/go-redis":                               {"app/remote"},
	"github.com/maypok86/otter":                               {"app/cache"},
	"github.com/jackc/pgx":                                    {"app/postgres", "app/changelog", "app/examples/prices"},
	"github.com/pressly/goose":                                {"app/postgres"},
	"github.com/gofiber/fiber":                                {"app/viewcache", "app/httpapi"},
	"github.com/valyala/fasthttp":                             {"app/viewcache", "app/httpapi"},
	"github.com/danielgtaylor/huma":                           {"app/httpapi"},
	"github.com/go-json-experiment/json":                      {"app/httpapi"},
	"github.com/spf13":                                        {"app"},
}

// outside are the folders that know the service by its ports, its metrics and its database only.
var outside = []string{"loadtest", "deploy", "dashboards", "k8s"}

func TestPackagesImportOnlyWhatTheTableAllows(t *testing.T) {
	imports := readImports(t, "..")
	if len(imports["app"]) == 0 || len(imports["app/telemetry"]) == 0 {
		t.Fatalf("found no imports of the service: %v", imports)
	}
	for _, sentence := range violations(imports) {
		t.Error(sentence)
	}
}

// TestTheLibraryBringsFewOthersAlong: who takes a package home takes all that it needs.
func TestTheLibraryBringsFewOthersAlong(t *testing.T) {
	for pkg, most := range map[string]int{"./cache": 15, "./freshness": 0} {
		out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", pkg).Output()
		if err != nil {
			t.Fatal(err)
		}
		var others []string
		for _, path := range strings.Fields(string(out)) {
			if !strings.HasPrefix(path, "example.com/strata/") {
				others = append(others, path)
			}
		}
		if len(others) > most {
			t.Errorf("%s needs %d packages of others, at most %d are allowed: %v", pkg, len(others), most, others)
		}
	}
}

func TestTheTableWouldNoticeEachKindOfBreach(t *testing.T) {
	for name, tt := range map[string]struct {
		pkg, file, imported string
		want                string
	}{
		"allowed":              {"app/cache", "layered.go", "example.com/strata/app/freshness", ""},
		"allowed library":      {"app/remote", "redis.go", "github.com/redis/go-redis/v9", ""},
		"OpenTelemetry's API":  {"app/instruments", "redis.go", "go.opentelemetry.io/otel/trace", ""},
		"test may import more": {"app/cache", "layered_test.go", "example.com/strata/deploy/local", ""},
		"test may look below":  {"app/cache", "layered_test.go", "github.com/jackc/pgx/v5", ""},
		"a program of its own": {"loadtest", "main.go", "github.com/spf13/cobra", ""},
		"upwards":              {"app/freshness", "ledger.go", "example.com/strata/app/cache", "app/freshness must not import app/cache (in ledger.go): it may import nothing of ours"},
		"sideways":             {"app/viewcache", "key.go", "example.com/strata/app/listing", "app/viewcache must not import app/listing (in key.go): it may import app/cache, app/freshness, app/telemetry of ours"},
		"the test environment": {"app/cache", "redis.go", "example.com/strata/deploy/local", "app/cache must not import deploy/local (in redis.go): it may import app/freshness of ours"},
		"library":              {"app/listing", "service.go", "github.com/jackc/pgx/v5/pgxpool", "app/listing must not import github.com/jackc/pgx/v5/pgxpool (in service.go): only app/postgres, app/changelog, app/examples/prices know github.com/jackc/pgx"},
		"library of two":       {"app/cache", "caches.go", "github.com/gofiber/fiber/v2", "app/cache must not import github.com/gofiber/fiber/v2 (in caches.go): only app/viewcache, app/httpapi know github.com/gofiber/fiber"},
		"from outside":         {"loadtest/witness", "main.go", "example.com/strata/app/listing", "loadtest/witness must not import app/listing (in main.go): loadtest knows the service from outside only"},
		"from outside's test":  {"dashboards", "contract_test.go", "example.com/strata/app/telemetry", "dashboards must not import app/telemetry (in contract_test.go): dashboards knows the service from outside only"},
		"new package":          {"app/utils", "strings.go", "strings", "app/utils is not in the table (in strings.go): decide what it may import, and say why it exists"},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			if tt.want != "" {
				want = []string{tt.want}
			}
			got := violations(map[string][]fileImport{tt.pkg: {{tt.file, tt.imported}}})
			if diff := cmp.Diff(got, want); diff != "" {
				t.Errorf("sentences (-got +want):\n%s", diff)
			}
		})
	}
}

type fileImport struct{ file, path string }

// violations returns a sentence for each import that the tables forbid. Keys are folders below the module's root.
func violations(imports map[string][]fileImport) []string {
	var sentences []string
	for pkg, list := range imports {
		for _, i := range list {
			if why := objection(pkg, i); why != "" {
				sentences = append(sentences, why)
			}
		}
	}
	slices.Sort(sentences)
	return slices.Compact(sentences)
}

func objection(pkg string, i fileImport) string {
	ours, isOurs := strings.CutPrefix(i.path, "example.com/strata/")
	breach := fmt.Sprintf("%s must not import %s (in %s)", pkg, strings.TrimPrefix(i.path, "example.com/strata/"), i.file)
	if top, _, _ := strings.Cut(pkg, "/"); slices.Contains(outside, top) {
		if isOurs && below(ours, "app") {
			return breach + ": " + top + " knows the service from outside only"
		}
		return ""
	}
	if !below(pkg, "app") || strings.HasSuffix(i.file, "_test.go") {
		return ""
	}
	allowed, known := mayImport[pkg]
	switch {
	case !known:
		return fmt.Sprintf("%s is not in the table (in %s): decide what it may import, and say why it exists", pkg, i.file)
	case isOurs && len(allowed) == 0:
		return breach + ": it may import nothing of ours"
	case isOurs && !slices.Contains(allowed, ours):
		return breach + ": it may import " + strings.Join(allowed, ", ") + " of ours"
	}
	for library, owners := range keepTo {
		if below(i.path, library) && !slices.Contains(owners, pkg) {
			verb := "knows"
			if len(owners) > 1 {
				verb = "know"
			}
			return fmt.Sprintf("%s: only %s %s %s", breach, strings.Join(owners, ", "), verb, library)
		}
	}
	return ""
}

func below(name, folder string) bool { return name == folder || strings.HasPrefix(name, folder+"/") }

// readImports returns what each Go file below root imports, by folder. It reads the files rather than ask the go command,
// so that build tags hide nothing.
func readImports(t *testing.T, root string) map[string][]fileImport {
	t.Helper()
	imports := make(map[string][]fileImport)
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "results") {
			return filepath.SkipDir
		}
		if d.IsDir() || path.Ext(name) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(name))
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			folder := filepath.ToSlash(folder)
			imports[folder] = append(imports[folder], fileImport{d.Name(), imported})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}
