package k8s

import (
	"bytes"
	stdcmp "cmp"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// composed is what docker-compose.yml says of a service.
type composed struct {
	Image       string         `json:"image"`
	Command     any            `json:"command"`
	Environment map[string]any `json:"environment"`
	Volumes     []string       `json:"volumes"`
}

func compose(t *testing.T) map[string]composed {
	t.Helper()
	text, err := os.ReadFile("../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]composed `json:"services"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Services
}

// mainContainer returns the first container of the Pods with this name.
func mainContainer(t *testing.T, objects []object, name string) (pod, corev1.Container) {
	t.Helper()
	for _, p := range pods(t, objects) {
		if p.name() == name {
			return p, p.Spec.Containers[0]
		}
	}
	t.Fatalf("no Pod is called %s", name)
	return pod{}, corev1.Container{}
}

// both are the names that Compose and the kind overlay have in common; all but Compose's own.
func both(t *testing.T, objects []object) []string {
	t.Helper()
	// A Service does what the proxy does, probes ask by HTTP, visitors come by button, and logs stay where kubectl reads them.
	only := []string{"proxy", "probe", "visitors", "loki", "log-reader"}
	names := make(map[string]bool)
	for _, p := range pods(t, objects) {
		names[p.name()] = true
	}
	var common []string
	for name := range compose(t) {
		if !slices.Contains(only, name) {
			common = append(common, name)
		}
	}
	slices.Sort(common)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(names)), common); diff != "" {
		t.Errorf("names (-kind +Compose):\n%s", diff)
	}
	return common
}

func TestImagesAreThoseOfCompose(t *testing.T) {
	objects := build(t, "kind")
	services := compose(t)
	for _, name := range both(t, objects) {
		_, c := mainContainer(t, objects, name)
		want := services[name].Image
		if want == "strata:local" {
			want = "localhost:5005/strata:dev" // the same Dockerfile, by way of the cluster's registry
		}
		if c.Image != want {
			t.Errorf("%s: image is %s, Compose has %s", name, c.Image, want)
		}
	}
}

// TestFilesThatComposeMountsAreMountedInTheSamePlace compares contents: what a container of Compose finds below a path, the Pod finds there, too.
func TestFilesThatComposeMountsAreMountedInTheSamePlace(t *testing.T) {
	objects := build(t, "kind")
	services := compose(t)
	compared := 0
	for _, name := range both(t, objects) {
		p, c := mainContainer(t, objects, name)
		mounted := mountedFiles(t, objects, p, c)
		for _, volume := range services[name].Volumes {
			source, rest, _ := strings.Cut(volume, ":")
			target, _, _ := strings.Cut(rest, ":")
			if !strings.HasPrefix(source, "./") {
				continue
			}
			for path, content := range filesBelow(t, filepath.Join("..", source), target) {
				path = strings.Replace(path, "/loadtest/", "/scripts/", 1) // of k6
				got, ok := mounted[path]
				if ours(path) && !ok {
					t.Errorf("%s: %s is in Compose's container only", name, path)
				}
				if ok && !bytes.Equal([]byte(got), content) {
					t.Errorf("%s: %s differs from what Compose mounts", name, path)
				}
				if ok {
					compared++
				}
			}
		}
	}
	if compared < 10 {
		t.Errorf("compared %d files only", compared)
	}
}

// ours leaves out what lies in a mounted folder for others: tests of rules, the runbook, the profile logs, pictures, Go.
func ours(path string) bool {
	for _, others := range []string{"kustomization.yaml", "/tests/", ".md", ".go", "logs.yaml", "/testdata/", ".svg"} {
		if strings.Contains(path, others) {
			return false
		}
	}
	return true
}

func filesBelow(t *testing.T, source, target string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	err := filepath.WalkDir(source, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		files[filepath.Join(target, relative)] = content
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func mountedFiles(t *testing.T, objects []object, p pod, c corev1.Container) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, mount := range c.VolumeMounts {
		i := slices.IndexFunc(p.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
		if i < 0 {
			t.Fatalf("%s: there is no volume %s", p.owner, mount.Name)
		}
		v := p.Spec.Volumes[i]
		paths := make(map[string]string) // of those keys that are not called as they are
		if v.ConfigMap != nil {
			for _, item := range v.ConfigMap.Items {
				paths[item.Key] = item.Path
			}
		}
		for _, name := range configMaps(v) {
			for key, text := range into[corev1.ConfigMap](t, named(t, objects, "ConfigMap", name)).Data {
				path := stdcmp.Or(paths[key], key)
				switch {
				case len(paths) > 0 && paths[key] == "":
				case mount.SubPath == "":
					files[filepath.Join(mount.MountPath, path)] = text
				case mount.SubPath == path:
					files[mount.MountPath] = text
				}
			}
		}
	}
	// Compose gives these files a name of ours in a folder of Grafana's, to whom the names do not matter.
	for _, kind := range []string{"datasources", "dashboards"} {
		folder := "/etc/grafana/provisioning/" + kind + "/"
		if text, ok := files[folder+kind+".yaml"]; ok {
			files[folder+"strata.yaml"] = text
		}
	}
	return files
}

// settings returns the variables that somebody sets for a program of ours, without those of the runtime and of Kubernetes.
func settings(p pod, objects []object, t *testing.T) map[string]bool {
	keys := make(map[string]bool)
	for _, c := range p.containers() {
		for _, e := range c.Env {
			keys[e.Name] = true
		}
		for _, e := range c.EnvFrom {
			if e.ConfigMapRef != nil {
				for key := range into[corev1.ConfigMap](t, named(t, objects, "ConfigMap", e.ConfigMapRef.Name)).Data {
					keys[key] = true
				}
			}
			if e.SecretRef != nil {
				for key := range into[corev1.Secret](t, named(t, objects, "Secret", e.SecretRef.Name)).Data {
					keys[key] = true
				}
			}
		}
	}
	maps.DeleteFunc(keys, func(key string, _ bool) bool {
		return strings.HasPrefix(key, "OTEL_") || strings.HasPrefix(key, "GO") || key == "POD_NAME" || key == "NODE_NAME"
	})
	return keys
}

func TestTheServiceKnowsEverySettingThatItIsGiven(t *testing.T) {
	known := make(map[string]bool)
	for _, file := range []string{"../app/config.go", "../app/main.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`\.add\("[a-z0-9-]+", "([A-Z0-9_]+)"`).FindAllStringSubmatch(string(text), -1) {
			known[match[1]] = true
		}
	}
	objects := build(t, "kind")
	services := compose(t)
	for _, name := range []string{"strata", "migrate", "seed"} {
		p, _ := mainContainer(t, objects, name)
		given := settings(p, objects, t)
		for key := range services[name].Environment {
			if !strings.HasPrefix(key, "OTEL_") && !strings.HasPrefix(key, "GO") {
				given[key] = true
			}
		}
		if len(given) == 0 {
			t.Errorf("%s is given nothing", name)
		}
		for key := range given {
			if !known[key] {
				t.Errorf("%s is given %s, which the service does not know", name, key)
			}
		}
	}
}

func TestWhatComposeSetsIsSetHereToo(t *testing.T) {
	objects := build(t, "kind")
	services := compose(t)
	sizes := []string{"VIEWS_L1_BYTES", "DATA_L1_BYTES"} // Compose's containers are smaller
	for _, name := range []string{"strata", "migrate", "seed", "postgres", "postgres-exporter", "redis-exporter"} {
		p, _ := mainContainer(t, objects, name)
		given := settings(p, objects, t)
		for key := range services[name].Environment {
			if !given[key] && !slices.Contains(sizes, key) && !strings.HasPrefix(key, "OTEL_") && !strings.HasPrefix(key, "GO") {
				t.Errorf("%s: Compose sets %s, the kind overlay does not", name, key)
			}
		}
	}
}

func TestPortsAreTheDockerfilesAndComposes(t *testing.T) {
	dockerfile, err := os.ReadFile("../app/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, c := mainContainer(t, build(t, "kind"), "strata")
	var exposed []string
	for _, port := range c.Ports {
		exposed = append(exposed, strconv.Itoa(int(port.ContainerPort)))
	}
	if line := "EXPOSE " + strings.Join(exposed, " ") + "\n"; !strings.Contains(string(dockerfile), line) {
		t.Errorf("the Dockerfile has no line %q", line)
	}
	config := into[corev1.ConfigMap](t, named(t, build(t, "kind"), "ConfigMap", "strata")).Data
	environment := compose(t)["strata"].Environment
	for i, key := range []string{"HTTP_ADDR", "ADMIN_ADDR"} {
		if got, want := config[key], ":"+exposed[i]; got != want || environment[key] != want {
			t.Errorf("%s is %q, in Compose %q, the container's port is %s", key, got, environment[key], exposed[i])
		}
	}
}

func TestAllReplicasFitIntoPostgres(t *testing.T) {
	objects := build(t, "kind")
	conf := into[corev1.ConfigMap](t, named(t, objects, "ConfigMap", "postgres")).Data["postgresql.conf"]
	match := regexp.MustCompile(`(?m)^max_connections = (\d+)`).FindStringSubmatch(conf)
	if match == nil {
		t.Fatal("postgresql.conf says no max_connections")
	}
	most, _ := strconv.Atoi(match[1])
	pool, err := strconv.Atoi(into[corev1.ConfigMap](t, named(t, objects, "ConfigMap", "strata")).Data["DATABASE_POOL_SIZE"])
	if err != nil {
		t.Fatal(err)
	}
	replicas := int(into[autoscalingv2.HorizontalPodAutoscaler](t, named(t, objects, "HorizontalPodAutoscaler", "strata")).Spec.MaxReplicas) + 1 // one more during a rollout
	const others = 5                                                                                                                             // the exporter, a migration, people; and Postgres keeps three for superusers
	if used := replicas*(pool+1) + others; used > most {
		t.Errorf("%d replicas of %d connections and a feed use %d of %d connections", replicas, pool, used, most)
	}
}

func TestLoadScriptsAreMountedWhole(t *testing.T) {
	p, c := mainContainer(t, build(t, "kind"), "k6")
	mounted := mountedFiles(t, build(t, "kind"), p, c)
	imports := regexp.MustCompile(`from '(\.[^']+)'`)
	found := 0
	for path, text := range mounted {
		for _, match := range imports.FindAllStringSubmatch(text, -1) {
			found++
			if _, ok := mounted[filepath.Join(filepath.Dir(path), match[1])]; !ok {
				t.Errorf("%s imports %s, which is not mounted", path, match[1])
			}
		}
	}
	if found == 0 {
		t.Error("no script imports anything: this test looks at the wrong thing")
	}
}
