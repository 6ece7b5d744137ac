// Package k8s holds nothing but tests of the manifests beside it, and of the Tiltfile. It is a module of its own, so that what kustomize and
// Kubernetes bring along stays out of the service's.
package k8s

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the generated files anew")

// variants are the overlays, and the production overlay with each component that it only offers, taken.
var variants = map[string][]string{ // components
	"kind":                          nil,
	"tilt":                          nil,
	"production":                    nil,
	"production-requests-in-flight": {"requests-in-flight"},
	"production-cloudnative-pg":     {"cloudnative-pg"},
	"production-redis-cluster":      {"redis-cluster"},
	"production-k6-operator":        {"k6-operator"},
	"production-ingress":            {"ingress"},
	"production-httproute":          {"httproute"},
	"production-everything":         {"ingress", "httproute", "requests-in-flight", "cloudnative-pg", "redis-cluster", "k6-operator"},
}

// object is one manifest as the cluster gets it.
type object struct {
	apiVersion, kind, name, namespace string
	content                           map[string]any
	text                              []byte // YAML
}

func (o object) String() string { return o.kind + "/" + o.name }

// tree is a copy of what the overlays are made of, with made-up Secrets, so that tests need none of the developer's and leave none.
var tree = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "strata-manifests")
	if err != nil {
		return "", err
	}
	for _, folder := range []string{"k8s", "dashboards", "deploy", "loadtest"} {
		if err := copyFiles(filepath.Join(dir, folder), filepath.Join("..", folder)); err != nil {
			return dir, err
		}
	}
	for name, components := range variants {
		if len(components) == 0 {
			continue
		}
		overlay := filepath.Join(dir, "k8s/overlays", name)
		if err := copyFiles(overlay, "overlays/production"); err != nil {
			return dir, err
		}
		file := filepath.Join(overlay, "kustomization.yaml")
		text, err := os.ReadFile(file)
		if err != nil {
			return dir, err
		}
		for _, c := range components {
			chosen := bytes.Replace(text, []byte("  # - ../../components/"+c+"\n"), []byte("  - ../../components/"+c+"\n"), 1)
			if bytes.Equal(chosen, text) {
				return dir, fmt.Errorf("the production overlay does not offer %s", c)
			}
			text = chosen
		}
		if err := os.WriteFile(file, text, 0o644); err != nil {
			return dir, err
		}
	}
	out, err := exec.CommandContext(context.Background(), filepath.Join(dir, "k8s/overlays/kind/secrets.sh")).CombinedOutput()
	if err != nil {
		return dir, fmt.Errorf("secrets.sh: %w: %s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := tree(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

// copyFiles copies the files that kustomize reads: no Go, no results, no Secrets.
func copyFiles(to, from string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{"secrets", "results", "testdata", "local"}, d.Name()) {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, relative), 0o755)
		}
		if strings.HasSuffix(path, ".go") {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, relative), content, info.Mode().Perm())
	})
}

var (
	builds   = make(map[string][]object)
	building sync.Mutex
)

// build returns what an overlay comes to. Nobody may change it.
func build(t *testing.T, variant string) []object {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	if built, ok := builds[variant]; ok {
		return built
	}
	dir, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(dir, "k8s/overlays", variant))
	if err != nil {
		t.Fatalf("%s does not build: %v", variant, err)
	}
	var objects []object
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		content, err := r.Map()
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object{r.GetApiVersion(), r.GetKind(), r.GetName(), r.GetNamespace(), content, text})
	}
	builds[variant] = objects
	return objects
}

// eachVariant runs a test for every overlay.
func eachVariant(t *testing.T, test func(t *testing.T, objects []object)) {
	for _, variant := range slices.Sorted(maps.Keys(variants)) {
		t.Run(variant, func(t *testing.T) { test(t, build(t, variant)) })
	}
}

// into decodes an object, and fails where it has a field that its type does not know.
func into[T any](t *testing.T, o object) T {
	t.Helper()
	var v T
	if err := yaml.UnmarshalStrict(o.text, &v); err != nil {
		t.Fatalf("%s: %v", o, err)
	}
	return v
}

// ofKind decodes all objects of a kind.
func ofKind[T any](t *testing.T, objects []object, kind string) []T {
	t.Helper()
	var all []T
	for _, o := range objects {
		if o.kind == kind {
			all = append(all, into[T](t, o))
		}
	}
	return all
}

// named returns the object of this kind and name, where the name may have a hash behind it.
func named(t *testing.T, objects []object, kind, name string) object {
	t.Helper()
	for _, o := range objects {
		if o.kind == kind && (o.name == name || withoutHash(o.name) == name) {
			return o
		}
	}
	t.Fatalf("there is no %s %s", kind, name)
	return object{}
}

// withoutHash is the name that a generated object has in its kustomization.
func withoutHash(name string) string {
	if i := strings.LastIndexByte(name, '-'); i >= 0 && len(name)-i-1 == 10 {
		return name[:i]
	}
	return name
}

// pod is a Pod's template, and whose it is.
type pod struct {
	owner string // such as Deployment/strata
	corev1.PodTemplateSpec
}

// pods returns the templates of all Pods that the objects make.
func pods(t *testing.T, objects []object) []pod {
	t.Helper()
	var all []pod
	for _, o := range objects {
		switch o.kind {
		case "Deployment":
			all = append(all, pod{o.String(), into[appsv1.Deployment](t, o).Spec.Template})
		case "StatefulSet":
			all = append(all, pod{o.String(), into[appsv1.StatefulSet](t, o).Spec.Template})
		case "Job":
			all = append(all, pod{o.String(), into[batchv1.Job](t, o).Spec.Template})
		case "CronJob":
			all = append(all, pod{o.String(), into[batchv1.CronJob](t, o).Spec.JobTemplate.Spec.Template})
		case "DaemonSet", "Pod", "ReplicaSet":
			t.Fatalf("%s: the tests do not look into these", o)
		}
	}
	if len(all) == 0 {
		t.Fatal("there are no Pods")
	}
	return all
}

func (p pod) containers() []corev1.Container {
	return slices.Concat(p.Spec.InitContainers, p.Spec.Containers)
}

// configMaps returns the names of those that a volume is made of.
func configMaps(v corev1.Volume) []string {
	if v.ConfigMap != nil {
		return []string{v.ConfigMap.Name}
	}
	if v.Projected == nil {
		return nil
	}
	var names []string
	for _, source := range v.Projected.Sources {
		if source.ConfigMap != nil {
			names = append(names, source.ConfigMap.Name)
		}
	}
	return names
}

func TestEveryManifestDecodesStrictly(t *testing.T) {
	eachVariant(t, func(t *testing.T, objects []object) {
		pods(t, objects)
		ofKind[corev1.Service](t, objects, "Service")
		ofKind[corev1.ConfigMap](t, objects, "ConfigMap")
		ofKind[corev1.Secret](t, objects, "Secret")
		ofKind[corev1.Namespace](t, objects, "Namespace")
		ofKind[corev1.ServiceAccount](t, objects, "ServiceAccount")
		ofKind[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy")
		ofKind[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget")
		ofKind[autoscalingv2.HorizontalPodAutoscaler](t, objects, "HorizontalPodAutoscaler")
	})
}

// run runs a program and returns what it says.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	if strings.Contains(name, "/") {
		cmd.Path = filepath.Join(dir, name)
	}
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// waitFor returns when something has become so.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
