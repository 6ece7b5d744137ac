package k8s

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// Where the schemas are from. `go test ./... -update` fetches both modules and writes schemasFile anew.
const (
	schemasFile      = "testdata/schemas.json"
	kubernetes       = "k8s.io/kubernetes@v1.37.2"
	gatewaySource    = "sigs.k8s.io/gateway-api@v1.4.0"
	prometheusSource = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
)

// specifications are Kubernetes' own OpenAPI documents that describe what we use.
var specifications = []string{
	"api__v1", "apis__apps__v1", "apis__batch__v1", "apis__networking.k8s.io__v1", "apis__autoscaling__v2", "apis__policy__v1",
}

// described are the kinds that we use and have a schema of, by apiVersion and kind.
var described = map[string]string{
	"v1 Namespace":                            "io.k8s.api.core.v1.Namespace",
	"v1 Service":                              "io.k8s.api.core.v1.Service",
	"v1 ServiceAccount":                       "io.k8s.api.core.v1.ServiceAccount",
	"v1 ConfigMap":                            "io.k8s.api.core.v1.ConfigMap",
	"v1 Secret":                               "io.k8s.api.core.v1.Secret",
	"apps/v1 Deployment":                      "io.k8s.api.apps.v1.Deployment",
	"apps/v1 StatefulSet":                     "io.k8s.api.apps.v1.StatefulSet",
	"batch/v1 Job":                            "io.k8s.api.batch.v1.Job",
	"batch/v1 CronJob":                        "io.k8s.api.batch.v1.CronJob",
	"networking.k8s.io/v1 NetworkPolicy":      "io.k8s.api.networking.v1.NetworkPolicy",
	"networking.k8s.io/v1 Ingress":            "io.k8s.api.networking.v1.Ingress",
	"gateway.networking.k8s.io/v1 HTTPRoute":  "gateway.networking.k8s.io.v1.HTTPRoute",
	"policy/v1 PodDisruptionBudget":           "io.k8s.api.policy.v1.PodDisruptionBudget",
	"autoscaling/v2 HorizontalPodAutoscaler":  "io.k8s.api.autoscaling.v2.HorizontalPodAutoscaler",
	"monitoring.coreos.com/v1 ServiceMonitor": "monitoring.coreos.com.v1.ServiceMonitor",
	"monitoring.coreos.com/v1 PrometheusRule": "monitoring.coreos.com.v1.PrometheusRule",
}

// undescribed are kinds whose definitions no Go module brings. What their fields are called is theirs to say.
var undescribed = []string{"postgresql.cnpg.io/v1 Cluster", "k6.io/v1alpha1 TestRun"}

func TestEveryManifestFitsTheSchemaOfItsKind(t *testing.T) {
	if *update {
		writeSchemas(t)
	}
	validate := validator(t)
	eachVariant(t, func(t *testing.T, objects []object) {
		for _, o := range objects {
			if slices.Contains(undescribed, o.apiVersion+" "+o.kind) {
				continue
			}
			if err := validate(o.content); err != nil {
				t.Errorf("%s: %v", o, err)
			}
		}
	})
}

func TestTheSchemasFindMistakes(t *testing.T) {
	validate := validator(t)
	deployment := named(t, build(t, "kind"), "Deployment", "strata")
	for mistake, spoil := range map[string]func(spec map[string]any){
		"unknown field": func(spec map[string]any) { spec["replica"] = 3 },
		"wrong type":    func(spec map[string]any) { spec["minReadySeconds"] = "five" },
		"missing field": func(spec map[string]any) { delete(spec, "selector") },
		"unknown nested": func(spec map[string]any) {
			spec["template"].(map[string]any)["spec"].(map[string]any)["container"] = []any{}
		},
	} {
		t.Run(mistake, func(t *testing.T) {
			var content map[string]any
			if err := yaml.Unmarshal(deployment.text, &content); err != nil {
				t.Fatal(err)
			}
			spoil(content["spec"].(map[string]any))
			if validate(content) == nil {
				t.Error("nothing is wrong, it says")
			}
		})
	}
}

// validator returns a function that checks an object against the schema of its kind.
func validator(t *testing.T) func(content map[string]any) error {
	t.Helper()
	file, err := os.Open(schemasFile)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	document, err := jsonschema.UnmarshalJSON(file)
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schemas.json", document); err != nil {
		t.Fatal(err)
	}
	compiled := make(map[string]*jsonschema.Schema)
	return func(content map[string]any) error {
		kind := fmt.Sprint(content["apiVersion"], " ", content["kind"])
		schema, ok := compiled[kind]
		if !ok {
			name, ok := described[kind]
			if !ok {
				return fmt.Errorf("there is no schema for %s", kind)
			}
			var err error
			if schema, err = compiler.Compile("schemas.json#/components/schemas/" + name); err != nil {
				return err
			}
			compiled[kind] = schema
		}
		// By way of JSON, since the validator knows only the types that this has.
		text, err := json.Marshal(content)
		if err != nil {
			return err
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return err
		}
		return schema.Validate(value)
	}
}

// writeSchemas makes one document of what our kinds reach, without the prose, and closed: what is not described is a mistake.
func writeSchemas(t *testing.T) {
	t.Helper()
	all := make(map[string]any)
	for _, name := range specifications {
		var document struct {
			Components struct {
				Schemas map[string]any `json:"schemas"`
			} `json:"components"`
		}
		text, err := os.ReadFile(filepath.Join(module(t, kubernetes), "api/openapi-spec/v3", name+"_openapi.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &document); err != nil {
			t.Fatal(err)
		}
		maps.Copy(all, document.Components.Schemas)
	}
	const operator = "example/prometheus-operator-crd/monitoring.coreos.com_"
	for name, source := range map[string][2]string{
		"monitoring.coreos.com.v1.ServiceMonitor": {prometheusSource, operator + "servicemonitors.yaml"},
		"monitoring.coreos.com.v1.PrometheusRule": {prometheusSource, operator + "prometheusrules.yaml"},
		"gateway.networking.k8s.io.v1.HTTPRoute":  {gatewaySource, "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"},
	} {
		text, err := os.ReadFile(filepath.Join(module(t, source[0]), source[1]))
		if err != nil {
			t.Fatal(err)
		}
		var definition struct {
			Spec struct {
				Versions []struct {
					Name   string
					Schema struct {
						OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(text, &definition); err != nil {
			t.Fatal(err)
		}
		schema := definition.Spec.Versions[0].Schema.OpenAPIV3Schema
		schema["properties"].(map[string]any)["metadata"] = map[string]any{"$ref": "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
		all[name] = schema
	}
	reached := make(map[string]any)
	var reach func(name string)
	var walk func(value any)
	walk = func(value any) {
		switch v := value.(type) {
		case []any:
			for _, element := range v {
				walk(element)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				reach(strings.TrimPrefix(ref, "#/components/schemas/"))
			}
			if _, isText := v["description"].(string); isText {
				delete(v, "description")
			}
			if _, isDefault := v["default"]; isDefault && v["properties"] == nil {
				delete(v, "default")
			}
			for key := range v {
				if strings.HasPrefix(key, "x-kubernetes-") {
					delete(v, key)
				}
			}
			if v["properties"] != nil && v["additionalProperties"] == nil {
				v["additionalProperties"] = false
			}
			for _, element := range v {
				walk(element)
			}
		}
	}
	reach = func(name string) {
		if _, done := reached[name]; done {
			return
		}
		if all[name] == nil {
			t.Fatalf("there is no schema %s", name)
		}
		reached[name] = all[name]
		walk(all[name])
	}
	for _, name := range described {
		reach(name)
	}
	text, err := json.Marshal(map[string]any{
		"$comment":   "Of " + kubernetes + ", " + gatewaySource + " and " + prometheusSource + " (all Apache 2.0), by go test -update: the kinds that we use, closed, without descriptions.",
		"components": map[string]any{"schemas": reached},
	})
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.ReplaceAll(text, []byte(`},"io.k8s.`), []byte("},\n\"io.k8s.")) // a schema a line, for those who compare
	if err := os.WriteFile(schemasFile, append(lines, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// module returns the folder of a module's files, after fetching them if they are not here.
func module(t *testing.T, version string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", version)
	cmd.Dir = t.TempDir() // outside of our module, which does not need it
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", version, err)
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(text, &downloaded); err != nil {
		t.Fatal(err)
	}
	return downloaded.Dir
}
