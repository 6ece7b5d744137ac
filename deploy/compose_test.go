// Package deploy_test checks docker-compose.yml and the configuration files below deploy/ against each other and against the service,
// without an engine: what an engine would find out after minutes, or never.
package deploy_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/template"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v4"
)

const root = ".."

// variants are all ways in which the project is started: profiles and, after a slash, override files.
var variants = map[string]struct {
	profiles  []string
	overrides []string
}{
	"plain":         {},
	"load":          {profiles: []string{"load"}},
	"logs":          {profiles: []string{"logs"}},
	"everything":    {profiles: []string{"load", "logs"}},
	"tail sampling": {profiles: []string{"load", "logs"}, overrides: []string{"deploy/compose.tail-sampling.yml"}},
}

func load(t *testing.T, variant string) *types.Project {
	t.Helper()
	v := variants[variant]
	files := []string{filepath.Join(root, "docker-compose.yml")}
	for _, f := range v.overrides {
		files = append(files, filepath.Join(root, f))
	}
	options, err := cli.NewProjectOptions(files, cli.WithWorkingDirectory(root), cli.WithProfiles(v.profiles), cli.WithDiscardEnvFile)
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatalf("%s: %v", variant, err)
	}
	return project
}

func TestComposeFileHoldsInEveryProfile(t *testing.T) {
	for variant := range variants {
		project := load(t, variant)
		if len(project.Services) < 10 {
			t.Errorf("%s: only %d services", variant, len(project.Services))
		}
		for name, check := range checks {
			for _, complaint := range check(t, project) {
				t.Errorf("%s: %s: %s", variant, name, complaint)
			}
		}
	}
}

func TestProfilesAddTheirServicesAndNoOthers(t *testing.T) {
	plain := slices.Collect(maps.Keys(load(t, "plain").Services))
	for variant, want := range map[string][]string{"load": {"k6"}, "logs": {"log-reader", "loki"}} {
		var added []string
		for name := range load(t, variant).Services {
			if !slices.Contains(plain, name) {
				added = append(added, name)
			}
		}
		slices.Sort(added)
		if !slices.Equal(added, want) {
			t.Errorf("profile %s adds %v, want %v", variant, added, want)
		}
	}
}

// checks are what must hold of the project, each with its complaints.
var checks = map[string]func(*testing.T, *types.Project) []string{
	"pins": pins, "health": health, "order": order, "confinement": confinement, "limits": limits,
	"ports": ports, "files": files, "volumes": volumes, "settings": settings, "visitors": visitors, "writers": writers,
}

// eachService collects the complaints about services, with their names.
func eachService(p *types.Project, complain func(s types.ServiceConfig, say func(format string, args ...any))) []string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		complain(p.Services[name], func(format string, args ...any) { all = append(all, name+": "+fmt.Sprintf(format, args...)) })
	}
	return all
}

// isJob tells a container that ends from one that stays.
func isJob(s types.ServiceConfig) bool { return s.Restart == "no" }

// pinned is a tag with at least major and minor version, with or without a digest.
var pinned = regexp.MustCompile(`^[^@]+:v?\d+\.\d+(\.\d+)?(-[a-z0-9.]+)?(@sha256:[0-9a-f]{64})?$`)

func pins(_ *testing.T, p *types.Project) []string {
	return eachService(p, func(s types.ServiceConfig, say func(string, ...any)) {
		if s.Build == nil && !pinned.MatchString(s.Image) {
			say("image %q is not pinned", s.Image)
		}
		if s.Build != nil && s.Image != "strata:local" {
			say("is built here, but called %q", s.Image)
		}
	})
}

func health(_ *testing.T, p *types.Project) []string {
	return eachService(p, func(s types.ServiceConfig, say func(string, ...any)) {
		switch h := s.HealthCheck; {
		case isJob(s) && h != nil:
			say("ends by itself, and needs no health check")
		case isJob(s) || s.Name == "visitors": // k6 has no port; Prometheus knows whether it works
		case h == nil || len(h.Test) < 2:
			say("has no health check")
		case h.StartInterval == nil || h.StartPeriod == nil || *h.StartInterval >= *h.Interval:
			say("is not asked more often while it starts")
		case strings.Contains(strings.Join(h.Test, " "), "localhost"):
			say("asks localhost, which may be ::1 where the server listens on 127.0.0.1 only")
		}
		if !slices.Contains([]string{"no", "unless-stopped"}, s.Restart) {
			say("restart policy %q", s.Restart)
		}
	})
}

// order checks that nobody waits for what never comes.
func order(_ *testing.T, p *types.Project) []string {
	return eachService(p, func(s types.ServiceConfig, say func(string, ...any)) {
		for name, dependency := range s.DependsOn {
			on, ok := p.Services[name]
			switch {
			case !ok:
				say("waits for %s, which this profile does not have", name)
			case dependency.Condition == types.ServiceConditionHealthy && on.HealthCheck == nil:
				say("waits for the health of %s, which has no check", name)
			case (dependency.Condition == types.ServiceConditionCompletedSuccessfully) != isJob(on):
				say("condition %s of %s, which ends by itself: %v", dependency.Condition, name, isJob(on))
			}
		}
	})
}

func confinement(_ *testing.T, p *types.Project) []string {
	return eachService(p, func(s types.ServiceConfig, say func(string, ...any)) {
		if !s.ReadOnly {
			say("may write to its image")
		}
		if !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged {
			say("has capabilities")
		}
		if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
			say("may gain privileges")
		}
		if s.NetworkMode != "" || s.Pid != "" || s.Ipc != "" {
			say("shares a namespace")
		}
		for _, v := range s.Volumes {
			if strings.HasSuffix(v.Source, ".sock") {
				say("gets the socket %s", v.Source)
			}
			if v.Type == types.VolumeTypeBind && !v.ReadOnly {
				say("may write to %s of the host", v.Source)
			}
		}
		if s.Logging == nil || s.Logging.Options["max-size"] == "" {
			say("may fill the disk with its log")
		}
	})
}

func limits(_ *testing.T, p *types.Project) []string {
	return eachService(p, func(s types.ServiceConfig, say func(string, ...any)) {
		if s.Deploy == nil || s.Deploy.Resources.Limits == nil {
			say("has no limits")
			return
		}
		l := s.Deploy.Resources.Limits
		if l.MemoryBytes == 0 || l.NanoCPUs == 0 || l.Pids == 0 {
			say("lacks a limit: memory %d, processors %v, processes %d", l.MemoryBytes, l.NanoCPUs, l.Pids)
		}
		if l.NanoCPUs > 1 {
			say("%v processors: an engine with fewer refuses it", l.NanoCPUs)
		}
		if soft := s.Environment["GOMEMLIMIT"]; soft != nil {
			mib, err := strconv.Atoi(strings.TrimSuffix(*soft, "MiB"))
			if err != nil || int64(mib)<<20 > int64(l.MemoryBytes)*9/10 {
				say("GOMEMLIMIT %s leaves no room below the limit of %d MiB", *soft, l.MemoryBytes>>20)
			}
		}
	})
}

func ports(_ *testing.T, p *types.Project) []string {
	taken := make(map[string]string)
	return eachService(p, func(s types.ServiceConfig, say func(string, ...any)) {
		for _, port := range s.Ports {
			if ip := net.ParseIP(port.HostIP); ip == nil || !ip.IsLoopback() {
				say("port %s is open to others than this machine", port.Published)
			}
			if other := taken[port.Published]; other != "" {
				say("port %s is %s's", port.Published, other)
			}
			taken[port.Published] = s.Name
		}
		if len(s.Ports) > 0 && s.Deploy != nil && s.Deploy.Replicas != nil && *s.Deploy.Replicas > 1 {
			say("has replicas, which cannot have one port")
		}
	})
}

func files(_ *testing.T, p *types.Project) []string {
	return eachService(p, func(s types.ServiceConfig, say func(string, ...any)) {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind || strings.HasPrefix(v.Source, "/var/lib/docker/") {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				say("mounts %v", err)
			}
		}
		if s.Build != nil {
			if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
				say("is built by %v", err)
			}
		}
		if s.Develop != nil {
			for _, w := range s.Develop.Watch {
				if _, err := os.Stat(filepath.Join(root, w.Path)); err != nil && !filepath.IsAbs(w.Path) {
					say("watches %v", err)
				}
			}
		}
	})
}

func volumes(_ *testing.T, p *types.Project) []string {
	used := make(map[string]bool)
	all := eachService(p, func(s types.ServiceConfig, say func(string, ...any)) {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeVolume {
				continue
			}
			used[v.Source] = true
			if _, ok := p.Volumes[v.Source]; !ok {
				say("volume %q has no name that is declared", v.Source)
			}
		}
	})
	for name := range p.Volumes {
		if !used[name] && name != "loki" { // declared for all profiles, mounted in one
			all = append(all, "nobody mounts the volume "+name)
		}
	}
	return all
}

// settings compares what containers of our image are told with what the service's code can be told.
func settings(t *testing.T, p *types.Project) []string {
	known := readKnown(t)
	return eachService(p, func(s types.ServiceConfig, say func(string, ...any)) {
		if s.Image != "strata:local" {
			return
		}
		for name := range s.Environment {
			if !known.variables[name] {
				say("variable %s, which the service does not know", name)
			}
		}
		if len(s.Command) == 0 || !known.commands[s.Command[0]] {
			say("command %v, which the service does not have", s.Command)
		}
		for _, word := range s.Command[min(1, len(s.Command)):] {
			name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
			if !known.flags[name] {
				say("flag %s, which the service does not have", word)
			}
		}
	})
}

// visitors compares what k6 is told with what the scenario reads, and looks for two that would write to the same series.
func visitors(t *testing.T, p *types.Project) []string {
	text := read(t, "loadtest/lib/settings.js")
	runs := make(map[string]string)
	return eachService(p, func(s types.ServiceConfig, say func(string, ...any)) {
		if !strings.HasPrefix(s.Image, "grafana/k6") {
			return
		}
		for name := range s.Environment {
			if !strings.HasPrefix(name, "K6_PROMETHEUS_RW_") && name != "K6_FEATURES" && name != "GOMEMLIMIT" && !strings.Contains(text, "('"+name+"',") {
				say("variable %s, which loadtest/lib/settings.js does not read", name)
			}
		}
		run := s.Environment["RUN"]
		if run == nil || runs[*run] != "" {
			say("no RUN of its own")
			return
		}
		runs[*run] = s.Name
	})
}

// writers compares the token that k6 shows with the hash that the service knows it by.
func writers(t *testing.T, p *types.Project) []string {
	service, ok := p.Services["strata"]
	known := service.Environment["API_TOKENS"]
	if !ok || known == nil {
		t.Fatal("the service is told of no writers")
	}
	return eachService(p, func(s types.ServiceConfig, say func(string, ...any)) {
		token := s.Environment["TOKEN"]
		if !strings.HasPrefix(s.Image, "grafana/k6") || token == nil {
			return
		}
		if want := fmt.Sprintf(":listings:write+listings:delete:%x", sha256.Sum256([]byte(*token))); !strings.HasSuffix(*known, want) {
			say("the token %q is not the one of API_TOKENS, which should end with %s", *token, want)
		}
	})
}

type knowledge struct{ variables, flags, commands map[string]bool }

// readKnown reads what the service's command line registers, and the variables that its telemetry reads.
func readKnown(t *testing.T) knowledge {
	t.Helper()
	k := knowledge{variables: map[string]bool{"GOMEMLIMIT": true}, flags: map[string]bool{}, commands: map[string]bool{}}
	collect := func(into map[string]bool, pattern, text string) {
		for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			into[strings.ToLower(match[1])] = true
			into[match[1]] = true
		}
	}
	sources, err := filepath.Glob(filepath.Join(root, "app", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(root, "app", "telemetry", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(sources, more...) {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(source)
		collect(k.variables, `\.add\("[a-z0-9-]+", "([A-Z0-9_]+)"`, text)
		collect(k.variables, `"(OTEL_[A-Z_]+)"`, text)
		collect(k.flags, `\.add\("([a-z0-9-]+)"`, text)
		collect(k.commands, `Use: "([a-z]+)`, text)
	}
	for what, n := range map[string]int{"variables": len(k.variables), "flags": len(k.flags), "commands": len(k.commands)} {
		if n < 6 {
			t.Fatalf("found only %d %s in the service's code", n, what)
		}
	}
	return k
}

func TestEachCheckFindsItsMistake(t *testing.T) {
	// One mistake a check, in a project that is otherwise right.
	edit := func(name string, change func(*types.ServiceConfig)) func(*types.Project) {
		return func(p *types.Project) {
			s := p.Services[name]
			change(&s)
			p.Services[name] = s
		}
	}
	told := func(name string) types.MappingWithEquals { return types.MappingWithEquals{name: new(string)} }
	for check, mistakes := range map[string]map[string]func(*types.Project){
		"pins": {
			"latest":  edit("redis", func(s *types.ServiceConfig) { s.Image = "redis:latest" }),
			"no tag":  edit("redis", func(s *types.ServiceConfig) { s.Image = "redis" }),
			"major":   edit("redis", func(s *types.ServiceConfig) { s.Image = "redis:8" }),
			"renamed": edit("strata", func(s *types.ServiceConfig) { s.Image = "other" }),
		},
		"health": {
			"none":      edit("redis", func(s *types.ServiceConfig) { s.HealthCheck = nil }),
			"of a job":  edit("seed", func(s *types.ServiceConfig) { s.HealthCheck = new(types.HealthCheckConfig) }),
			"localhost": edit("redis", func(s *types.ServiceConfig) { s.HealthCheck.Test = types.HealthCheckTest{"CMD", "ping", "localhost"} }),
			"restart":   edit("redis", func(s *types.ServiceConfig) { s.Restart = "" }),
		},
		"order": {
			"a job's health": edit("strata", func(s *types.ServiceConfig) {
				s.DependsOn = types.DependsOnConfig{"seed": {Condition: types.ServiceConditionHealthy}}
			}),
			"an end that never comes": edit("strata", func(s *types.ServiceConfig) {
				s.DependsOn = types.DependsOnConfig{"redis": {Condition: types.ServiceConditionCompletedSuccessfully}}
			}),
			"another profile": edit("strata", func(s *types.ServiceConfig) {
				s.DependsOn = types.DependsOnConfig{"nobody": {Condition: types.ServiceConditionStarted}}
			}),
		},
		"confinement": {
			"writable":   edit("redis", func(s *types.ServiceConfig) { s.ReadOnly = false }),
			"capability": edit("redis", func(s *types.ServiceConfig) { s.CapAdd = []string{"SYS_ADMIN"} }),
			"setuid":     edit("redis", func(s *types.ServiceConfig) { s.SecurityOpt = nil }),
			"host":       edit("redis", func(s *types.ServiceConfig) { s.NetworkMode = "host" }),
			"log":        edit("redis", func(s *types.ServiceConfig) { s.Logging = nil }),
			"socket": edit("redis", func(s *types.ServiceConfig) {
				s.Volumes = append(s.Volumes, types.ServiceVolumeConfig{Type: "bind", Source: "/var/run/docker.sock", ReadOnly: true})
			}),
		},
		"limits": {
			"none":       edit("redis", func(s *types.ServiceConfig) { s.Deploy = nil }),
			"processors": edit("redis", func(s *types.ServiceConfig) { s.Deploy.Resources.Limits.NanoCPUs = 8 }),
			"soft above hard": edit("strata", func(s *types.ServiceConfig) {
				much := "4096MiB"
				s.Environment = types.MappingWithEquals{"GOMEMLIMIT": &much}
			}),
		},
		"ports": {
			"open":  edit("proxy", func(s *types.ServiceConfig) { s.Ports[0].HostIP = "" }),
			"twice": edit("grafana", func(s *types.ServiceConfig) { s.Ports[0].Published = "8080" }),
			"replicas": edit("strata", func(s *types.ServiceConfig) {
				s.Ports = []types.ServicePortConfig{{HostIP: "127.0.0.1", Published: "1"}}
			}),
		},
		"files": {
			"missing":    edit("redis", func(s *types.ServiceConfig) { s.Volumes[0].Source += "x" }),
			"dockerfile": edit("strata", func(s *types.ServiceConfig) { s.Build.Dockerfile = "Nofile" }),
		},
		"volumes": {
			"undeclared": edit("postgres", func(s *types.ServiceConfig) { s.Volumes[0].Source = "other" }),
			"unused":     func(p *types.Project) { p.Volumes["unused"] = types.VolumeConfig{} },
		},
		"settings": {
			"variable": edit("strata", func(s *types.ServiceConfig) { s.Environment = told("VIEWS_L1_BITES") }),
			"command":  edit("strata", func(s *types.ServiceConfig) { s.Command = []string{"server"} }),
			"flag":     edit("seed", func(s *types.ServiceConfig) { s.Command = []string{"seed", "--when-empty"} }),
		},
		"writers": {
			"plain":   edit("strata", func(s *types.ServiceConfig) { *s.Environment["API_TOKENS"] = "laptop:only-for-a-laptop" }),
			"another": edit("visitors", func(s *types.ServiceConfig) { *s.Environment["TOKEN"] = "another" }),
		},
		"visitors": {
			"variable": edit("visitors", func(s *types.ServiceConfig) { s.Environment = told("TEMPO") }),
			"one run":  edit("visitors", func(s *types.ServiceConfig) { s.Environment["RUN"] = nil }),
		},
	} {
		for mistake, make := range mistakes {
			project := load(t, "plain")
			make(project)
			if len(checks[check](t, project)) == 0 {
				t.Errorf("check %s does not find %q", check, mistake)
			}
		}
	}
}

func TestEveryVariableHasADefaultWhichTheExampleSays(t *testing.T) {
	example := make(map[string]string)
	for line := range strings.Lines(read(t, ".env.example")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			example[name] = value
		}
	}
	used := make(map[string]bool)
	for _, file := range []string{"docker-compose.yml", "deploy/compose.tail-sampling.yml"} {
		// By the text and not by template.ExtractVariables, which forgets that a variable has two defaults in two places.
		for _, match := range regexp.MustCompile(`\$\{([A-Z0-9_]+)(?::-([^}]*))?\}`).FindAllStringSubmatch(read(t, file), -1) {
			used[match[1]] = true
			if want, ok := example[match[1]]; !ok || match[2] != want {
				t.Errorf("%s: %s is not as in .env.example: %q", file, match[0], want)
			}
		}
		var model map[string]any
		decode(t, file, &model)
		for name := range template.ExtractVariables(model, nil) {
			if !used[name] {
				t.Errorf("%s: the variable %s is not of the form ${NAME:-default}", file, name)
			}
		}
	}
	for name := range example {
		if !used[name] {
			t.Errorf(".env.example has %s, which nobody reads", name)
		}
	}
}

// read returns a file of the project.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// decode reads a YAML file of the project. A key that is there twice is an error.
func decode(t *testing.T, path string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
