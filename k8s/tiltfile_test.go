package k8s

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	starlarkjson "go.starlark.net/lib/json"
	"go.starlark.net/starlark"
	"go.starlark.net/starlarkstruct"
	"go.starlark.net/syntax"
	"sigs.k8s.io/yaml"
)

// parameters are those of Tilt's built-in functions that we use, in order, as its API reference has them. A call with another one fails.
var parameters = map[string]string{
	"allow_k8s_contexts": "contexts",
	"k8s_context":        "",
	"version_settings":   "check_updates constraint",
	"ci_settings":        "k8s_grace_period timeout readiness_timeout",
	"update_settings":    "max_parallel_updates k8s_upsert_timeout_secs suppress_unused_image_warnings",
	"local":              "command quiet command_bat echo_off env dir stdin",
	"kustomize":          "pathToDir kustomize_bin flags",
	"k8s_yaml":           "yaml allow_duplicates",
	"watch_file":         "file_path",
	"read_json":          "path default",
	"local_resource":     "name cmd deps trigger_mode resource_deps ignore auto_init serve_cmd cmd_bat serve_cmd_bat allow_parallel links labels env serve_env readiness_probe dir serve_dir",
	"custom_build": "ref command deps tag disable_push skips_local_docker live_update match_in_env_vars ignore entrypoint command_bat_val outputs_image_ref_to " +
		"command_bat image_deps env dir",
	"fall_back_on":       "files",
	"sync":               "local_path remote_path",
	"run":                "cmd trigger echo_off",
	"port_forward":       "local_port container_port name link_path host",
	"link":               "url name",
	"decode_yaml_stream": "yaml",
	"k8s_resource": "workload new_name port_forwards extra_pod_selectors trigger_mode resource_deps objects auto_init pod_readiness links labels " +
		"discovery_strategy",
}

// call is one call of a built-in function: its arguments by name.
type call struct {
	function string
	args     map[string]starlark.Value
}

func (c call) text(name string) string {
	s, _ := starlark.AsString(c.args[name])
	return s
}

func (c call) texts(name string) []string {
	var all []string
	if list, ok := c.args[name].(*starlark.List); ok {
		for element := range list.Elements() {
			s, _ := starlark.AsString(element)
			all = append(all, s)
		}
	}
	return all
}

// calls returns the calls that stand in an argument, such as port_forward in port_forwards.
func (c call) calls(name string) []call {
	var all []call
	if list, ok := c.args[name].(*starlark.List); ok {
		for element := range list.Elements() {
			if inner, ok := element.(recorded); ok {
				all = append(all, inner.call)
			}
		}
	}
	return all
}

// name is a resource's.
func (c call) name() string {
	for _, parameter := range []string{"name", "new_name", "workload"} {
		if name := c.text(parameter); name != "" {
			return name
		}
	}
	return ""
}

// recorded is what a stub returns, so that it can be found again where it was handed on.
type recorded struct{ call }

func (r recorded) String() string        { return r.function }
func (r recorded) Type() string          { return r.function }
func (r recorded) Freeze()               {}
func (r recorded) Truth() starlark.Bool  { return true }
func (r recorded) Hash() (uint32, error) { return 0, fmt.Errorf("unhashable") }

const tiltfile = "../Tiltfile"

// dialect is Tilt's.
var dialect = &syntax.FileOptions{TopLevelControl: true, GlobalReassign: true, Set: true, While: true}

// execute runs the Tiltfile with stubs and returns what it called, by function.
func execute(t *testing.T, subcommand string) map[string][]call {
	t.Helper()
	text, err := os.ReadFile(tiltfile)
	if err != nil {
		t.Fatal(err)
	}
	made, err := evaluate(t, string(text), subcommand, "kind-strata")
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func evaluate(t *testing.T, text, subcommand, context string) (map[string][]call, error) {
	t.Helper()
	made := make(map[string][]call)
	env := starlark.StringDict{
		"fail": starlark.NewBuiltin("fail", func(_ *starlark.Thread, _ *starlark.Builtin, args starlark.Tuple, _ []starlark.Tuple) (starlark.Value, error) {
			return nil, fmt.Errorf("fail: %s", args)
		}),
		"config": starlarkstruct.FromStringDict(starlark.String("config"), starlark.StringDict{
			"tilt_subcommand": starlark.String(subcommand), "main_dir": starlark.String(".."),
		}),
		"TRIGGER_MODE_MANUAL": starlark.String("manual"), "TRIGGER_MODE_AUTO": starlark.String("auto"),
	}
	for function, names := range parameters {
		env[function] = starlark.NewBuiltin(function, func(thread *starlark.Thread, b *starlark.Builtin, args starlark.Tuple, kwargs []starlark.Tuple) (starlark.Value, error) {
			c := call{function, make(map[string]starlark.Value)}
			known := strings.Fields(names)
			for i, value := range args {
				if i >= len(known) {
					return nil, fmt.Errorf("%s: too many arguments", function)
				}
				c.args[known[i]] = value
			}
			for _, kwarg := range kwargs {
				name := string(kwarg[0].(starlark.String))
				if !slices.Contains(known, name) {
					return nil, fmt.Errorf("%s has no parameter %s", function, name)
				}
				c.args[name] = kwarg[1]
			}
			made[function] = append(made[function], c)
			switch function {
			case "k8s_context":
				return starlark.String(context), nil
			case "kustomize":
				return starlark.String(manifestsOf(t, c.text("pathToDir"))), nil
			case "read_json":
				text, err := os.ReadFile(filepath.Join("..", c.text("path")))
				if err != nil {
					return nil, err
				}
				return starlark.Call(thread, starlarkjson.Module.Members["decode"], starlark.Tuple{starlark.String(text)}, nil)
			case "decode_yaml_stream":
				return decodeStream(thread, c.text("yaml"))
			}
			return recorded{c}, nil
		})
	}
	thread := &starlark.Thread{Name: "Tiltfile", Load: func(_ *starlark.Thread, module string) (starlark.StringDict, error) {
		return nil, fmt.Errorf("loads %s, and should need nothing from elsewhere", module)
	}}
	_, err := starlark.ExecFileOptions(dialect, thread, "Tiltfile", text, env)
	return made, err
}

// manifestsOf is what kustomize makes of one of our overlays.
func manifestsOf(t *testing.T, path string) string {
	var texts []string
	for _, o := range build(t, filepath.Base(path)) {
		texts = append(texts, string(o.text))
	}
	return strings.Join(texts, "---\n")
}

func decodeStream(thread *starlark.Thread, text string) (starlark.Value, error) {
	var documents []json.RawMessage
	for document := range strings.SplitSeq(text, "\n---\n") {
		asJSON, err := yaml.YAMLToJSON([]byte(document))
		if err != nil {
			return nil, err
		}
		documents = append(documents, asJSON)
	}
	all, err := json.Marshal(documents)
	if err != nil {
		return nil, err
	}
	return starlark.Call(thread, starlarkjson.Module.Members["decode"], starlark.Tuple{starlark.String(all)}, nil)
}

// resources are all that Tilt would show, by name. Workloads that the Tiltfile does not mention are not among them.
func resources(made map[string][]call) map[string]call {
	all := make(map[string]call)
	for _, c := range slices.Concat(made["k8s_resource"], made["local_resource"]) {
		all[c.name()] = c
	}
	return all
}

func eachSubcommand(t *testing.T, test func(t *testing.T, made map[string][]call)) {
	for _, subcommand := range []string{"up", "ci"} {
		t.Run(subcommand, func(t *testing.T) { test(t, execute(t, subcommand)) })
	}
}

func TestTheTiltfileAllowsOneLiteralContext(t *testing.T) {
	file, err := dialect.Parse(tiltfile, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	kind, err := os.ReadFile("kind.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var cluster struct{ Name string }
	if err := yaml.Unmarshal(kind, &cluster); err != nil {
		t.Fatal(err)
	}
	found := 0
	syntax.Walk(file, func(n syntax.Node) bool {
		c, ok := n.(*syntax.CallExpr)
		if !ok {
			return true
		}
		function, ok := c.Fn.(*syntax.Ident)
		if !ok || function.Name != "allow_k8s_contexts" {
			return true
		}
		found++
		literal, ok := c.Args[0].(*syntax.Literal)
		if !ok || len(c.Args) != 1 || literal.Value != "kind-"+cluster.Name {
			t.Errorf("%s: the context is not the literal %q", c.Lparen, "kind-"+cluster.Name)
		}
		return true
	})
	if found != 1 {
		t.Errorf("allow_k8s_contexts is called %d times", found)
	}
	text, err := os.ReadFile(tiltfile)
	if err != nil {
		t.Fatal(err)
	}
	if made, err := evaluate(t, string(text), "up", "production"); err == nil || len(made["k8s_yaml"]) > 0 {
		t.Errorf("in another context it goes on: %v", err)
	}
}

func TestEveryWorkloadIsAResourceOfOneGroup(t *testing.T) {
	groups := []string{"app", "data", "observability", "load"}
	eachSubcommand(t, func(t *testing.T, made map[string][]call) {
		all := resources(made)
		for name, c := range all {
			if labels := c.texts("labels"); len(labels) != 1 || !slices.Contains(groups, labels[0]) {
				t.Errorf("%s has the labels %v", name, labels)
			}
		}
		workloads := make(map[string]bool)
		for _, p := range pods(t, build(t, "tilt")) {
			_, name, _ := strings.Cut(p.owner, "/")
			workloads[name] = true
			if _, ok := all[name]; !ok {
				t.Errorf("the Tiltfile says nothing of %s", p.owner)
			}
		}
		for _, c := range made["k8s_resource"] {
			if workload := c.text("workload"); workload != "" && !workloads[workload] {
				t.Errorf("there is no workload %s", workload)
			}
		}
	})
}

func TestEveryObjectBelongsToOneResource(t *testing.T) {
	eachSubcommand(t, func(t *testing.T, made map[string][]call) {
		claimed := make(map[string]int)
		for _, c := range made["k8s_resource"] {
			for _, selector := range c.texts("objects") {
				claimed[selector]++
			}
		}
		for _, o := range build(t, "tilt") {
			if slices.Contains([]string{"Deployment", "StatefulSet", "Job", "CronJob", "Service"}, o.kind) {
				continue // workloads, and what Tilt adds to them by their labels
			}
			selector := o.name + ":" + o.kind
			if claimed[selector] != 1 {
				t.Errorf("%s is claimed %d times", selector, claimed[selector])
			}
			delete(claimed, selector)
		}
		for selector := range claimed {
			t.Errorf("there is no %s", selector)
		}
	})
}

func TestDependenciesExistAndEnd(t *testing.T) {
	eachSubcommand(t, func(t *testing.T, made map[string][]call) {
		all := resources(made)
		var visit func(name string, path []string)
		visit = func(name string, path []string) {
			if slices.Contains(path, name) {
				t.Fatalf("%v wait for each other", append(path, name))
			}
			c, ok := all[name]
			if !ok {
				t.Fatalf("%s is waited for by %v, and does not exist", name, path)
			}
			for _, dependency := range c.texts("resource_deps") {
				visit(dependency, append(slices.Clone(path), name))
			}
		}
		for name := range all {
			visit(name, nil)
		}
		for name, first := range map[string]string{"strata": "seed", "migrate": "postgres", "seed": "migrate", "postgres": "cluster"} {
			if !slices.Contains(all[name].texts("resource_deps"), first) {
				t.Errorf("%s does not wait for %s", name, first)
			}
		}
	})
}

func TestForwardedPortsAreUniqueAndExist(t *testing.T) {
	eachSubcommand(t, func(t *testing.T, made map[string][]call) {
		taken := make(map[string]string)
		for _, c := range made["k8s_resource"] {
			for _, forward := range c.calls("port_forwards") {
				local, container := forward.args["local_port"].String(), forward.args["container_port"].String()
				if other := taken[local]; other != "" {
					t.Errorf("port %s is %s's and %s's", local, other, c.name())
				}
				taken[local] = c.name()
				_, main := mainContainer(t, build(t, "tilt"), c.name())
				exists := false
				for _, port := range main.Ports {
					exists = exists || fmt.Sprint(port.ContainerPort) == container
				}
				if !exists {
					t.Errorf("%s has no port %s", c.name(), container)
				}
			}
		}
		if len(taken) < 5 {
			t.Errorf("forwards %v only", taken)
		}
		for _, c := range made["link"] {
			if port := regexp.MustCompile(`^http://localhost:(\d+)/`).FindStringSubmatch(c.text("url")); port == nil || taken[port[1]] == "" {
				t.Errorf("link %s leads nowhere", c.text("url"))
			}
		}
	})
}

func TestLinksLeadToBoardsThatExist(t *testing.T) {
	boards := make(map[string]bool)
	files, err := filepath.Glob("../dashboards/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no boards (%v)", err)
	}
	for _, file := range files {
		var board struct{ UID string }
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		boards[board.UID] = true
	}
	linked := make(map[string]bool)
	made := execute(t, "up")
	for _, c := range slices.Concat(made["link"], made["port_forward"]) {
		if _, uid, ok := strings.Cut(c.text("url")+c.text("link_path"), "/d/"); ok {
			linked[uid] = true
		}
	}
	for uid := range boards {
		if !linked[uid] {
			t.Errorf("no link leads to the board %s", uid)
		}
		delete(linked, uid)
	}
	for uid := range linked {
		t.Errorf("there is no board %s", uid)
	}
}

func TestTheImageIsTheOneInTheManifestsAndCanBeUpdatedLive(t *testing.T) {
	made := execute(t, "up")
	if len(made["custom_build"]) != 1 {
		t.Fatalf("builds %d images", len(made["custom_build"]))
	}
	image := made["custom_build"][0]
	used := 0
	for _, p := range pods(t, build(t, "tilt")) {
		for _, c := range p.containers() {
			if reference, _, _ := strings.Cut(c.Image, ":dev"); reference == image.text("ref") {
				used++
			} else if strings.Contains(c.Image, "strata") {
				t.Errorf("%s uses %s, which nobody builds", p.owner, c.Image)
			}
		}
	}
	if used < 3 {
		t.Errorf("%s is used %d times", image.text("ref"), used)
	}
	dockerfile, err := os.ReadFile("../app/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile(`--target (\S+)`).FindStringSubmatch(image.text("command"))
	if target == nil || !strings.Contains(string(dockerfile), " AS "+target[1]+"\n") || !strings.Contains(image.text("command"), "$EXPECTED_REF") {
		t.Errorf("the command %q does not build a stage of the Dockerfile under Tilt's name", image.text("command"))
	}

	var order []string
	for _, step := range image.calls("live_update") {
		order = append(order, step.function)
	}
	if !slices.Equal(order, []string{"fall_back_on", "sync", "run"}) {
		t.Errorf("the steps of a live update are %v", order)
	}
	step := made["sync"][0]
	if !slices.Contains(image.texts("deps"), step.text("local_path")) {
		t.Errorf("%s is not watched for the image", step.text("local_path"))
	}
	for _, file := range made["fall_back_on"][0].texts("files") {
		if !slices.Contains(image.texts("deps"), file) {
			t.Errorf("%s is not watched for the image", file)
		}
		if _, err := os.Stat(filepath.Join("..", file)); err != nil {
			t.Error(err)
		}
	}
	p, c := mainContainer(t, build(t, "tilt"), "strata")
	writable := false
	for _, mount := range c.VolumeMounts {
		for _, v := range p.Spec.Volumes {
			writable = writable || v.Name == mount.Name && v.EmptyDir != nil && mount.MountPath == step.text("remote_path")
		}
	}
	if !writable {
		t.Errorf("nobody can write to %s", step.text("remote_path"))
	}
	if compile := resources(made)["compile"]; !strings.Contains(compile.text("cmd"), " app/build.sh "+step.text("local_path")+"/") {
		t.Errorf("%q does not compile into %s", compile.text("cmd"), step.text("local_path"))
	}
}

// TestTheImagesShellServesAgainAndPassesTheEndOn runs the entry point with a stand-in for the service.
func TestTheImagesShellServesAgainAndPassesTheEndOn(t *testing.T) {
	image := execute(t, "up")["custom_build"][0]
	entrypoint := image.texts("entrypoint")
	if len(entrypoint) != 4 || entrypoint[1] != "-c" {
		t.Fatalf("entry point is %q", entrypoint)
	}
	dir := t.TempDir()
	program := "#!/bin/sh\necho \"$@\" >>" + dir + "/log\n[ \"$1\" = serve ] || exit 0\n" +
		"[ $(grep -c serve " + dir + "/log) -ge 2 ] || exit 1\ntrap 'echo ended >>" + dir + "/log; exit' TERM\nwhile :; do sleep 0.05; done\n"
	if err := os.WriteFile(filepath.Join(dir, "strata"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	script := strings.NewReplacer("/usr/local/bin/strata", dir+"/strata", "/live/strata", dir+"/newer", "sleep 1", "sleep 0.01").Replace(entrypoint[2])
	run(t, dir, "sh", "-c", script, "strata", "migrate")
	serving := exec.CommandContext(t.Context(), "sh", "-c", script, "strata", "serve")
	if err := serving.Start(); err != nil {
		t.Fatal(err)
	}
	log := func() string { text, _ := os.ReadFile(filepath.Join(dir, "log")); return string(text) }
	waitFor(t, "two starts of the service", func() bool { return strings.Count(log(), "serve") == 2 })
	if err := serving.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = serving.Wait() // whatever the service's own end is called
	// The stand-in may have been asked to end before it could set its trap.
	if log() != "migrate\nserve\nserve\nended\n" && log() != "migrate\nserve\nserve\n" {
		t.Errorf("what ran: %q", log())
	}
}

func TestButtonsWaitToBePressedAndCIHasNone(t *testing.T) {
	service, err := os.ReadFile("../app/config.go")
	if err != nil {
		t.Fatal(err)
	}
	load, err := os.ReadFile("overlays/kind/load.sh")
	if err != nil {
		t.Fatal(err)
	}
	up := resources(execute(t, "up"))
	kinds := make(map[string]int)
	for name, c := range up {
		if c.function != "local_resource" || name == "compile" {
			continue
		}
		if c.text("trigger_mode") != "manual" || c.args["auto_init"] != starlark.False {
			t.Errorf("%s runs without being asked", name)
		}
		kind, what, _ := strings.Cut(name, "-")
		kinds[kind]++
		switch kind {
		case "strategy":
			if !regexp.MustCompile(`"strategy", "STRATA_STRATEGY", oneOf\([^)]*"`+what+`"`).Match(service) || !strings.Contains(c.text("cmd"), "STRATA_STRATEGY="+what+" ") {
				t.Errorf("%s: %s", name, c.text("cmd"))
			}
		case "load":
			if !strings.Contains(string(load), "\n"+what+") ") || !strings.HasSuffix(c.text("cmd"), "load.sh "+what) {
				t.Errorf("%s: %s", name, c.text("cmd"))
			}
		}
		// A quote too many is found by the shell, without running anything.
		run(t, ".", "sh", "-n", "-c", c.text("cmd"))
		if strings.Contains(c.text("cmd"), "kubectl ") && !strings.Contains(c.text("cmd"), "kubectl --context kind-strata ") {
			t.Errorf("%s goes to whatever cluster kubectl points at: %s", name, c.text("cmd"))
		}
	}
	for kind, least := range map[string]int{"strategy": 4, "load": 3, "fault": 3, "seed": 1} {
		if kinds[kind] < least {
			t.Errorf("%d buttons of kind %s, want %d", kinds[kind], kind, least)
		}
	}
	for name, c := range resources(execute(t, "ci")) {
		if c.args["auto_init"] == starlark.False {
			t.Errorf("tilt ci has the button %s", name)
		}
	}
}

// TestAMistakeInAManifestIsTriedAgainWhenItsFileChanges: Tilt watches what was named before the Tiltfile failed, and nothing else.
func TestAMistakeInAManifestIsTriedAgainWhenItsFileChanges(t *testing.T) {
	text, err := os.ReadFile(tiltfile)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(text), "kustomize('k8s/overlays/tilt')", "fail('kustomize: a mistake')", 1)
	made, err := evaluate(t, broken, "up", "kind-strata")
	if err == nil {
		t.Fatal("goes on after a mistake")
	}
	var watched []string
	for _, c := range made["watch_file"] {
		watched = append(watched, c.text("file_path"))
	}
	for _, folder := range []string{"dashboards", "deploy", "loadtest", "k8s/base", "k8s/overlays/tilt", "k8s/overlays/kind"} {
		if !slices.ContainsFunc(watched, func(w string) bool { return folder == w || strings.HasPrefix(folder, w+"/") }) {
			t.Errorf("%s is not watched when kustomize fails", folder)
		}
	}
}

func TestCIEndsWithASmokeLoad(t *testing.T) {
	made := execute(t, "ci")
	smoke, ok := resources(made)["smoke"]
	if !ok || !strings.HasSuffix(smoke.text("cmd"), "load.sh smoke") || !slices.Contains(smoke.texts("resource_deps"), "strata") {
		t.Errorf("smoke is %v", smoke.args)
	}
	if len(made["ci_settings"]) != 1 || made["ci_settings"][0].text("timeout") == "" {
		t.Error("tilt ci may last for ever")
	}
	if _, up := resources(execute(t, "up"))["smoke"]; up {
		t.Error("tilt up runs it, too")
	}
}

func TestTheStubsNoticeMistakes(t *testing.T) {
	text, err := os.ReadFile(tiltfile)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range []struct{ old, new string }{
		{"resource_deps=", "resource_dependencies="},
		{"k8s_yaml(", "k8s_manifests("},
		{"allow_k8s_contexts('kind-strata')", "load('ext://restart_process', 'x')"},
	} {
		changed := strings.Replace(string(text), broken.old, broken.new, 1)
		if changed == string(text) {
			t.Fatalf("the Tiltfile has no %s", broken.old)
		}
		if _, err := evaluate(t, changed, "up", "kind-strata"); err == nil {
			t.Errorf("%s passes", broken.new)
		}
	}
}

func TestTiltItselfReadsTheTiltfile(t *testing.T) {
	if _, err := exec.LookPath("tilt"); err != nil {
		t.Skip("there is no tilt on PATH; the stubs are all that reads the Tiltfile here")
	}
	dir, err := tree()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(tiltfile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Tiltfile"), text, 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "tilt", "alpha", "tiltfile-result", "--file", "Tiltfile")
}
