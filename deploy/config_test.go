package deploy_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// listening is where the port of a scrape target is said, if not in its health check: the one place that decides.
var listening = map[string]func(*testing.T) string{
	"strata":         func(t *testing.T) string { return *load(t, "plain").Services["strata"].Environment["ADMIN_ADDR"] },
	"otel-collector": func(t *testing.T) string { return read(t, "deploy/otel-collector/config.yaml") },
	"tempo":          func(t *testing.T) string { return read(t, "deploy/tempo/tempo.yaml") },
	"loki":           func(t *testing.T) string { return read(t, "deploy/loki/loki.yaml") },
}

// listens tells whether a service of the project has this port, as far as its configuration says.
func listens(t *testing.T, p *types.Project, address string) bool {
	t.Helper()
	host, port, _ := strings.Cut(address, ":")
	service, ok := p.Services[host]
	if !ok {
		return false
	}
	text := strings.Join(service.Command, " ")
	if service.HealthCheck != nil {
		text += strings.Join(service.HealthCheck.Test, " ")
	}
	if more := listening[host]; more != nil {
		text += more(t)
	}
	return regexp.MustCompile(`[: ]`+port+`\b`).MatchString(text) || host == "tempo" && port == "4317"
}

type prometheusConfig struct {
	Global struct {
		ScrapeInterval    string `yaml:"scrape_interval"`
		ScrapeTimeout     string `yaml:"scrape_timeout"`
		NativeHistograms  bool   `yaml:"scrape_native_histograms"`
		ClassicHistograms bool   `yaml:"always_scrape_classic_histograms"`
	}
	RuleFiles []string `yaml:"rule_files"`
	Scrapes   []struct {
		Job    string `yaml:"job_name"`
		Static []struct{ Targets []string }
		DNS    []struct {
			Names []string
			Type  string
			Port  int
		} `yaml:"dns_sd_configs"`
		StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
	} `yaml:"scrape_configs"`
}

func TestPrometheusScrapesWhatComposeStarts(t *testing.T) {
	var config prometheusConfig
	decode(t, "deploy/prometheus/prometheus.yml", &config)
	project := load(t, "plain")
	var jobs []string
	for _, scrape := range config.Scrapes {
		jobs = append(jobs, scrape.Job)
		var targets []string
		for _, s := range scrape.StaticConfigs {
			targets = append(targets, s.Targets...)
		}
		for _, d := range scrape.DNS {
			for _, name := range d.Names {
				targets = append(targets, name+":"+strconv.Itoa(d.Port))
			}
		}
		if len(targets) == 0 {
			t.Errorf("job %s has no targets", scrape.Job)
		}
		for _, target := range targets {
			if !listens(t, project, strings.Replace(target, "localhost:", "prometheus:", 1)) {
				t.Errorf("job %s: no service of docker-compose.yml listens on %s", scrape.Job, target)
			}
		}
	}
	want := []string{"strata", "postgres", "redis", "otel-collector", "tempo", "grafana", "prometheus"} // boards, rules and alerts name them
	if !slices.Equal(jobs, want) {
		t.Errorf("jobs %v, want %v", jobs, want)
	}
	if !config.Global.NativeHistograms || !config.Global.ClassicHistograms {
		t.Error("boards need both kinds of histograms")
	}
	if listens(t, project, "strata:9091") || listens(t, project, "nobody:80") {
		t.Error("the check takes any port for one that is listened on")
	}
}

type datasources struct {
	Datasources []struct {
		UID, Type, URL string
		IsDefault      bool           `yaml:"isDefault"`
		JSON           map[string]any `yaml:"jsonData"`
	}
}

func TestDataSourcesLeadWhereTheirUidsSay(t *testing.T) {
	var provisioned datasources
	decode(t, "deploy/grafana/provisioning/datasources.yaml", &provisioned)
	var config prometheusConfig
	decode(t, "deploy/prometheus/prometheus.yml", &config)
	project := load(t, "logs")
	kinds := make(map[string]string)
	for _, d := range provisioned.Datasources {
		kinds[d.UID] = d.Type
		if !listens(t, project, strings.TrimPrefix(d.URL, "http://")) {
			t.Errorf("%s: no service listens on %s", d.UID, d.URL)
		}
		if interval, ok := d.JSON["timeInterval"]; d.Type == "prometheus" && (!ok || interval != config.Global.ScrapeInterval) {
			t.Errorf("%s: timeInterval is %v, and the scrape interval %s", d.UID, interval, config.Global.ScrapeInterval)
		}
	}
	if want := map[string]string{"prometheus": "prometheus", "tempo": "tempo", "loki": "loki"}; !maps.Equal(kinds, want) {
		t.Errorf("data sources %v, want %v", kinds, want)
	}
	// Every reference from one to another, and from the boards, is to one of these.
	references := regexp.MustCompile(`datasourceUid: (\S+?)[,\s}]`).FindAllStringSubmatch(read(t, "deploy/grafana/provisioning/datasources.yaml"), -1)
	if len(references) < 4 {
		t.Errorf("found only %d links between data sources", len(references))
	}
	for _, r := range references {
		if kinds[r[1]] == "" {
			t.Errorf("a link leads to the data source %q, which is not provisioned", r[1])
		}
	}
	boards, err := filepath.Glob(filepath.Join(root, "dashboards", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range boards {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var board any
		if err := json.Unmarshal(text, &board); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for uid := range datasourceUIDs(board) {
			if kinds[uid] == "" && !strings.HasPrefix(uid, "$") && !strings.HasPrefix(uid, "-- ") && uid != "grafana" {
				t.Errorf("%s: data source %q is not provisioned", filepath.Base(path), uid)
			}
		}
	}
}

// datasourceUIDs finds every {"datasource": {"uid": ...}} and "datasourceUid" in a board.
func datasourceUIDs(node any) map[string]bool {
	found := make(map[string]bool)
	switch n := node.(type) {
	case map[string]any:
		for key, value := range n {
			if uid, ok := value.(string); ok && key == "datasourceUid" {
				found[uid] = true
			}
			if source, ok := value.(map[string]any); ok && key == "datasource" {
				if uid, ok := source["uid"].(string); ok {
					found[uid] = true
				}
			}
			maps.Copy(found, datasourceUIDs(value))
		}
	case []any:
		for _, value := range n {
			maps.Copy(found, datasourceUIDs(value))
		}
	}
	return found
}

func TestBoardsAreProvisionedFromWhereTheyAreMounted(t *testing.T) {
	var provider struct {
		Providers []struct {
			FolderUID string `yaml:"folderUid"`
			Options   struct{ Path string }
		}
	}
	decode(t, "deploy/grafana/provisioning/dashboards.yaml", &provider)
	if len(provider.Providers) != 1 || provider.Providers[0].FolderUID != "strata" {
		t.Fatalf("providers: %+v, want one for the folder strata", provider.Providers)
	}
	path := provider.Providers[0].Options.Path
	mounted := slices.ContainsFunc(load(t, "plain").Services["grafana"].Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == path })
	if !mounted {
		t.Errorf("boards are looked for at %s, where nothing is mounted", path)
	}
	if ini := read(t, "deploy/grafana/grafana.ini"); !strings.Contains(ini, "default_home_dashboard_path = "+path+"/caching.json\n") {
		t.Error("the home page is not one of the boards")
	}
}

type collectorConfig struct {
	Extensions map[string]struct{ Path, Endpoint string }
	Receivers  map[string]any
	Processors map[string]any
	Exporters  map[string]struct{ Endpoint string }
	Service    struct {
		Extensions []string
		Pipelines  map[string]struct{ Receivers, Processors, Exporters []string }
	}
}

func TestCollectorsPipelinesAreWhole(t *testing.T) {
	project := load(t, "logs")
	for name, layers := range map[string][]string{
		"config": {"config.yaml"}, "tail sampling": {"config.yaml", "tail-sampling.yaml"}, "logs": {"logs.yaml"},
	} {
		var config collectorConfig
		for _, layer := range layers { // the collector merges maps, and replaces lists, as decoding into the same value does but for pipelines
			before := config.Service.Pipelines
			config.Service.Pipelines = nil
			decode(t, "deploy/otel-collector/"+layer, &config)
			for id, old := range before {
				now := config.Service.Pipelines[id]
				if now.Processors == nil {
					now.Processors = old.Processors
				}
				now.Receivers, now.Exporters = old.Receivers, old.Exporters
				config.Service.Pipelines[id] = now
			}
		}
		used := make(map[string]bool)
		for id, p := range config.Service.Pipelines {
			for _, r := range p.Receivers {
				if _, ok := config.Receivers[r]; !ok {
					t.Errorf("%s: pipeline %s: no receiver %s", name, id, r)
				}
			}
			for _, x := range p.Processors {
				used[x] = true
				if _, ok := config.Processors[x]; !ok {
					t.Errorf("%s: pipeline %s: no processor %s", name, id, x)
				}
			}
			for _, e := range p.Exporters {
				used[e] = true
				exporter, ok := config.Exporters[e]
				if !ok {
					t.Errorf("%s: pipeline %s: no exporter %s", name, id, e)
				}
				address := strings.TrimSuffix(strings.TrimPrefix(exporter.Endpoint, "http://"), "/otlp")
				if !listens(t, project, address) {
					t.Errorf("%s: exporter %s: no service listens on %s", name, e, address)
				}
			}
			if n := len(p.Processors); n < 2 || p.Processors[0] != "memory_limiter" || p.Processors[n-1] != "batch" {
				t.Errorf("%s: pipeline %s: processors %v: the memory limiter comes first, the batch last", name, id, p.Processors)
			}
		}
		for id := range config.Processors {
			if !used[id] {
				t.Errorf("%s: nobody uses the processor %s", name, id)
			}
		}
		if h := config.Extensions["health_check"]; h.Path != "/readyz" || !strings.HasSuffix(h.Endpoint, ":13133") || !slices.Contains(config.Service.Extensions, "health_check") {
			t.Errorf("%s: `strata health` does not find %+v", name, h)
		}
	}
}

func TestTailSamplingKeepsWhatTheServiceCallsAMiss(t *testing.T) {
	var config struct {
		Processors struct {
			Tail struct {
				Policies []struct {
					Name      string
					Attribute struct {
						Key    string
						Values []string
					} `yaml:"string_attribute"`
				}
			} `yaml:"tail_sampling"`
		}
	}
	decode(t, "deploy/otel-collector/tail-sampling.yaml", &config)
	var names []string
	sources := read(t, "app/cache/source.go")
	for _, p := range config.Processors.Tail.Policies {
		names = append(names, p.Name)
		if p.Name != "misses" {
			continue
		}
		if !strings.Contains(read(t, "app/telemetry/names.go"), `attribute.Key("`+p.Attribute.Key+`")`) {
			t.Errorf("no span has the attribute %s", p.Attribute.Key)
		}
		for _, value := range p.Attribute.Values {
			if !strings.Contains(sources, `"`+value+`"`) {
				t.Errorf("no answer has the source %s", value)
			}
		}
	}
	if want := []string{"errors", "slow", "misses", "a-tenth-of-the-rest"}; !slices.Equal(names, want) {
		t.Errorf("policies %v, want %v", names, want)
	}
}

// tempoKeys are the sections of Tempo 3.0, as its manifest of all settings lists them. An unknown one keeps it from starting.
var tempoKeys = []string{
	"target", "http_api_prefix", "server", "internal_server", "distributor", "live_store_client", "metrics_generator_client", "querier",
	"query_frontend", "metrics_generator", "ingest", "block_builder", "storage", "overrides", "memberlist", "usage_report", "cache",
	"backend_scheduler", "backend_scheduler_client", "backend_worker", "live_store", "stream_over_http_enabled", "multitenancy_enabled", "memory",
}

func TestTempoIsToldOnlyWhatTempo3Knows(t *testing.T) {
	var config map[string]any
	decode(t, "deploy/tempo/tempo.yaml", &config)
	for key := range config {
		if !slices.Contains(tempoKeys, key) {
			t.Errorf("Tempo 3.0 has no section %s", key)
		}
	}
	var values struct {
		Frontend struct {
			Cutoff string `yaml:"query_end_cutoff"`
		} `yaml:"query_frontend"`
		Scheduler struct {
			Provider struct {
				Compaction struct {
					Compaction struct {
						Retention string `yaml:"block_retention"`
					}
				}
			}
		} `yaml:"backend_scheduler"`
		Worker struct {
			Compaction struct {
				Retention string `yaml:"block_retention"`
			}
		} `yaml:"backend_worker"`
	}
	decode(t, "deploy/tempo/tempo.yaml", &values)
	if cutoff, err := time.ParseDuration(values.Frontend.Cutoff); err != nil || cutoff > 5*time.Second {
		t.Errorf("the newest %q of traces cannot be searched: too long for one who follows an exemplar", values.Frontend.Cutoff)
	}
	if a, b := values.Scheduler.Provider.Compaction.Compaction.Retention, values.Worker.Compaction.Retention; a == "" || a != b {
		t.Errorf("scheduler keeps blocks for %q, worker for %q", a, b)
	}
}

func TestStoresFitIntoTheirContainers(t *testing.T) {
	project := load(t, "plain")
	for service, setting := range map[string]struct{ file, pattern string }{
		"redis":    {"deploy/redis/redis.conf", `(?m)^maxmemory (\d+)mb$`},
		"postgres": {"deploy/postgres/postgresql.conf", `(?m)^shared_buffers = (\d+)MB`},
	} {
		match := regexp.MustCompile(setting.pattern).FindStringSubmatch(read(t, setting.file))
		if match == nil {
			t.Errorf("%s sets no limit", setting.file)
			continue
		}
		mib, _ := strconv.Atoi(match[1])
		if limit := int64(project.Services[service].Deploy.Resources.Limits.MemoryBytes) >> 20; int64(mib) > limit*2/3 {
			t.Errorf("%s: %d MB of %d are too many", service, mib, limit)
		}
	}
	conf := read(t, "deploy/redis/redis.conf")
	if !strings.Contains(conf, "\nmaxmemory-policy allkeys-lfu\n") || !strings.Contains(conf, "\nsave \"\"\n") {
		t.Error("Redis is not set up as a cache")
	}
}

func TestKustomizeGetsTheFilesThatComposeMounts(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join(root, "deploy", "*", "kustomization.yaml"))
	if err != nil || len(folders) < 7 {
		t.Fatalf("found %d folders with a kustomization.yaml (%v)", len(folders), err)
	}
	for _, path := range folders {
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			t.Fatal(err)
		}
		var k struct {
			Generators []struct {
				Name  string
				Files []string
			} `yaml:"configMapGenerator"`
		}
		decode(t, filepath.Join(folder, "kustomization.yaml"), &k)
		if len(k.Generators) == 0 {
			t.Errorf("%s generates nothing", folder)
		}
		for _, g := range k.Generators {
			for _, file := range g.Files {
				if _, err := os.Stat(filepath.Join(root, folder, file)); err != nil {
					t.Errorf("%s: %s: %v", folder, g.Name, err)
				}
			}
		}
	}
}

func TestImageIsBuiltFromPinnedOnesAndHoldsNoTests(t *testing.T) {
	dockerfile := read(t, "app/Dockerfile")
	base := regexp.MustCompile(`(?m)^ARG [A-Z]+_IMAGE=(\S+)$`).FindAllStringSubmatch(dockerfile, -1)
	if len(base) != 3 {
		t.Errorf("found %d base images, want 3", len(base))
	}
	for _, b := range base {
		if !regexp.MustCompile(`@sha256:[0-9a-f]{64}$`).MatchString(b[1]) {
			t.Errorf("%s has no digest", b[1])
		}
	}
	for _, from := range regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)`).FindAllStringSubmatch(dockerfile, -1) {
		if !strings.HasPrefix(from[1], "${") {
			t.Errorf("FROM %s is not one of the arguments", from[1])
		}
	}
	for _, want := range []string{"app/build.sh", "-trimpath", "$BUILDPLATFORM", "$TARGETARCH", "--mount=type=cache", "USER 65532:65532", "org.opencontainers.image."} {
		if !strings.Contains(dockerfile, want) {
			t.Errorf("the Dockerfile has lost %q", want)
		}
	}
	if ignore := read(t, ".dockerignore"); !strings.Contains(ignore, "*_test.go") || !strings.HasPrefix(strings.SplitN(ignore, "\n", 3)[1], "*") {
		t.Error(".dockerignore lets in more than the service's code")
	}
}

// TestServiceIsSmallEnoughForItsImage notices when something makes the linker keep what nobody calls, such as a library that calls methods
// by name: that costs 10 MB at once. The image must stay below 30 MB, of which its base takes 2.
func TestServiceIsSmallEnoughForItsImage(t *testing.T) {
	const most = 28_000_000
	path := os.Getenv("STRATA_BIN")
	if path == "" {
		path = filepath.Join(t.TempDir(), "strata")
		build := exec.CommandContext(t.Context(), "sh", "app/build.sh", path)
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building the service: %v\n%s", err, out)
		}
	}
	binary, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if binary.Size() > most {
		t.Errorf("the service has %d bytes, want %d at most; go build -tags grpcnotrace -ldflags=-dumpdep -o /dev/null ./app 2>&1 | grep '<ReflectMethod>' names what calls methods by name", binary.Size(), most)
	}
}
