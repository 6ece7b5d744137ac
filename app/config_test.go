package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/strata/app/httpapi"
)

const secret = "hunter2"

var hash = strings.Repeat("0123456789abcdef", 4)

// strata runs one command line with env as the whole environment that flags can come from.
func strata(t *testing.T, env map[string]string, args ...string) (code int, out, errOut string) {
	t.Helper()
	for _, s := range append((Config{}).settings(), setting{env: "DATABASE_OWNER_URL"}) {
		t.Setenv(s.env, "") // so that it is restored after the test
		if value, ok := env[s.env]; ok {
			t.Setenv(s.env, value)
			continue
		}
		_ = os.Unsetenv(s.env)
	}
	var o, e bytes.Buffer
	code = execute(t.Context(), args, &o, &e)
	return code, o.String(), e.String()
}

func TestBadConfigurationIsOneClearLineAndAnExitCode(t *testing.T) {
	good := map[string]string{"DATABASE_URL": "postgres://app:" + secret + "@127.0.0.1:1/strata"}
	for name, tt := range map[string]struct {
		args []string
		env  map[string]string
		want string // in the line
	}{
		"no command":            {nil, good, "no command: expected one of "},
		"unknown command":       {[]string{"serv"}, good, `unknown command "serv", did you mean serve`},
		"secret for a command":  {[]string{secret}, good, "unknown command: expected one of "},
		"unknown topic":         {[]string{"help", "serv"}, good, "did you mean serve"},
		"unknown flag":          {[]string{"serve", "--api-token=a:" + secret}, good, "unknown flag: --api-token ("},
		"flag with a colon":     {[]string{"serve", "--api-tokens:a:" + secret}, good, "unknown flag: --api-tokens ("},
		"flag with one dash":    {[]string{"serve", "-api-tokens=a:" + secret}, good, "unknown flag: -a; names have two dashes"},
		"flag with three":       {[]string{"serve", "---api-tokens=a:" + secret}, good, "not of the form --name=value"},
		"flag without a value":  {[]string{"serve", "--api-tokens"}, good, "--api-tokens (API_TOKENS): has no value"},
		"flag before a command": {[]string{"--api-tokens=a:" + secret, "serv"}, good, "unknown flag: --api-tokens"},
		"surplus argument":      {[]string{"serve", "--lab", "a:" + secret}, good, "serve: unexpected argument, number 1"},
		"surplus of a command":  {[]string{"version", "now"}, nil, "version: unexpected argument, number 1"},
		"no database":           {[]string{"serve"}, nil, "--database-url (DATABASE_URL): missing"},
		"database is no URL":    {[]string{"serve"}, map[string]string{"DATABASE_URL": "host=db password=" + secret}, "--database-url (DATABASE_URL): does not begin with postgres://"},
		"database unreadable":   {[]string{"serve"}, map[string]string{"DATABASE_URL": "postgres://app:" + secret + "%zz@db/strata"}, "--database-url (DATABASE_URL): cannot be read as a URL"},
		"database of MySQL":     {[]string{"serve", "--database-url=mysql://app:" + secret + "@db/strata"}, nil, "does not begin with postgres://"},
		"database without host": {[]string{"serve", "--database-url=postgres:///strata"}, nil, "names no host"},
		"standby of MySQL":      {[]string{"serve"}, with(good, "DATABASE_READ_URL", "mysql://app:"+secret+"@db/strata"), "--database-read-url (DATABASE_READ_URL): does not begin with postgres://"},
		"cluster node unnamed":  {[]string{"serve"}, with(good, "REDIS_URL", "redis://:"+secret+"@a:6379?addr=b"), "--redis-url (REDIS_URL): addr=b is not of the form host:port"},
		"redis is no URL":       {[]string{"serve", "--redis-url=cache:6379"}, good, "--redis-url (REDIS_URL): does not begin with redis://"},
		"redis unreadable":      {[]string{"serve"}, with(good, "REDIS_URL", "redis://:"+secret+"%@cache"), "--redis-url (REDIS_URL): cannot be read as a URL"},
		"redis without host":    {[]string{"serve", "--redis-url=redis://"}, good, "names no host"},
		"strategy":              {[]string{"serve", "--strategy=" + secret}, good, "--strategy (STRATA_STRATEGY): must be one of none, ttl, aside, stamped"},
		"strategy by variable":  {[]string{"serve"}, with(good, "STRATA_STRATEGY", secret), "--strategy (STRATA_STRATEGY): must be one of"},
		"strategy of nothing":   {[]string{"serve"}, with(good, "STRATA_STRATEGY", ""), "--strategy (STRATA_STRATEGY): must be one of"},
		"rate of nothing":       {[]string{"serve"}, with(good, "READ_RATE", ""), "--read-rate (READ_RATE): must be a whole number"},
		"secret for a rate":     {[]string{"serve", "--revalidation-rate=" + secret}, good, "--revalidation-rate (REVALIDATION_RATE): must be a number"},
		"secret for a switch":   {[]string{"serve"}, with(good, "STRATA_LAB", secret), "--lab (STRATA_LAB): must be true, 1, yes, false, 0 or no"},
		"secret for a time":     {[]string{"serve"}, with(good, "STRATA_TTL", secret), "--ttl (STRATA_TTL): must be a duration such as"},
		"seed below 0":          {[]string{"seed", "--seed=-1"}, nil, "--seed: must be a whole number and not below 0"},
		"TTL without unit":      {[]string{"serve", "--ttl=60"}, good, "--ttl (STRATA_TTL): must be a duration"},
		"TTL of nothing":        {[]string{"serve", "--ttl=0s"}, good, "--ttl (STRATA_TTL): 0s is not above 0"},
		"unknown layer":         {[]string{"serve", "--layers=views-l1,l3"}, good, "--layers (STRATA_LAYERS): \"l3\" is not one of views-l1,views-l2,data-l1,data-l2"},
		"negative size":         {[]string{"serve", "--views-l1-bytes=-1"}, good, "--views-l1-bytes (VIEWS_L1_BYTES): -1 is not above 0"},
		"size of words":         {[]string{"serve"}, with(good, "DATA_L1_BYTES", "lots"), "--data-l1-bytes (DATA_L1_BYTES): must be a whole number"},
		"pool of nothing":       {[]string{"serve", "--pool-size=0"}, good, "--pool-size (DATABASE_POOL_SIZE): 0 is not above 0"},
		"address without port":  {[]string{"serve", "--http-addr=localhost"}, good, `--http-addr (HTTP_ADDR): "localhost" is not of the form host:port`},
		"port too high":         {[]string{"serve", "--admin-addr=:70000"}, good, "--admin-addr (ADMIN_ADDR)"},
		"one port for two":      {[]string{"serve", "--admin-addr=127.0.0.1:8080"}, good, "is --http-addr (HTTP_ADDR) too"},
		"token in the clear":    {[]string{"serve"}, with(good, "API_TOKENS", "a:"+secret), "--api-tokens (API_TOKENS): number 1 is not of the form name:scope+scope:sha256"},
		"token for its hash":    {[]string{"serve"}, with(good, "API_TOKENS", "a:listings:write:"+secret), "number 1 does not end with a SHA-256"},
		"hash cut off":          {[]string{"serve"}, with(good, "API_TOKENS", "a:listings:write:"+hash[:62]), "number 1 does not end with a SHA-256"},
		"unknown scope":         {[]string{"serve"}, with(good, "API_TOKENS", "a:listings:write:"+hash+",b:everything:"+hash), "number 2 has a scope that is none of [listings:write listings:delete]"},
		"odd name":              {[]string{"serve"}, with(good, "API_TOKENS", "a b:listings:write:"+hash), "number 1 has a name that is not"},
		"name twice":            {[]string{"serve"}, with(good, "API_TOKENS", "a:listings:write:"+hash+",a:listings:write:"+strings.Repeat("0", 64)), "number 2 has the name of an earlier one"},
		"token twice":           {[]string{"serve"}, with(good, "API_TOKENS", "a:listings:write:"+hash+",b:listings:delete:"+hash), "number 2 has the hash of an earlier one"},
		"token for nobody":      {[]string{"token", "a:b"}, nil, "<name>: must be"},
		"token without name":    {[]string{"token"}, nil, "token: expected <name>"},
		"token for nothing":     {[]string{"token", "a", "--scopes="}, nil, "--scopes: names none"},
		"token for anything":    {[]string{"token", "a", "--scopes=all"}, nil, "--scopes: has a scope that is none of"},
		"unknown shell":         {[]string{"completion", "cmd"}, nil, "<shell> must be one of bash, zsh, fish, powershell"},
		"negative rate":         {[]string{"serve", "--read-rate=-1"}, good, "--read-rate (READ_RATE): -1 is not from 0"},
		"proxy of words":        {[]string{"serve", "--trusted-proxies=10.0.0.0/8,nginx"}, good, `--trusted-proxies (TRUSTED_PROXIES): "nginx" is no address`},
		"no connections":        {[]string{"serve", "--max-conns=0"}, good, "--max-conns (MAX_CONNS): 0 is not above 0"},
		"no time to read":       {[]string{"serve"}, with(good, "READ_TIMEOUT", "0s"), "--read-timeout (READ_TIMEOUT): 0s is not above 0"},
		"no time to write":      {[]string{"serve"}, with(good, "WRITE_TIMEOUT", "-1s"), "--write-timeout (WRITE_TIMEOUT): -1s is not above 0"},
		"no time to wait":       {[]string{"serve", "--idle-timeout=0s"}, good, "--idle-timeout (IDLE_TIMEOUT): 0s is not above 0"},
		"no loads":              {[]string{"serve", "--max-loads=0"}, good, "--max-loads (MAX_LOADS): 0 is not above 0"},
		"log level":             {[]string{"serve", "--log-level=loud"}, good, "--log-level (LOG_LEVEL): must be one of"},
		"migrate as nobody":     {[]string{"migrate"}, good, "--database-owner-url (DATABASE_OWNER_URL): missing"},
		"seed of nothing":       {[]string{"seed", "--listings=0"}, map[string]string{"DATABASE_OWNER_URL": good["DATABASE_URL"]}, "--listings: 0 is not above 0"},
		"health of no address":  {[]string{"health", "--admin-addr=nowhere"}, nil, "--admin-addr (ADMIN_ADDR)"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errOut := strata(t, tt.env, tt.args...)
			if code != exitUsage {
				t.Errorf("exit code is %d, want %d", code, exitUsage)
			}
			if strings.Count(errOut, "\n") != 1 || !strings.HasPrefix(errOut, "strata: ") || !strings.Contains(errOut, tt.want) {
				t.Errorf("printed %q, want one line with %q", errOut, tt.want)
			}
			if strings.Contains(errOut, secret) {
				t.Errorf("printed a secret: %q", errOut)
			}
		})
	}
}

func with(env map[string]string, name, value string) map[string]string {
	both := map[string]string{name: value}
	for n, v := range env {
		both[n] = v
	}
	return both
}

func TestConfigurationIsPrintedWithoutSecrets(t *testing.T) {
	env := map[string]string{
		"DATABASE_URL":      "postgres://app:" + secret + "@db:5432/strata",
		"DATABASE_READ_URL": "postgres://app:" + secret + "@standby:5432/strata",
		"REDIS_URL":         "rediss://:" + secret + "@cache:6379/0",
		"API_TOKENS":        "alice:listings:write:" + hash,
	}
	code, out, errOut := strata(t, env, "config")
	if code != 0 || errOut != "" {
		t.Fatalf("exit code %d, %q", code, errOut)
	}
	want := `--http-addr              HTTP_ADDR              127.0.0.1:8080
--api-tokens             API_TOKENS             [hidden]
--read-rate              READ_RATE              0
--write-rate             WRITE_RATE             0
--trusted-proxies        TRUSTED_PROXIES        
--max-conns              MAX_CONNS              4096
--lab                    STRATA_LAB             false
--read-timeout           READ_TIMEOUT           10s
--write-timeout          WRITE_TIMEOUT          30s
--idle-timeout           IDLE_TIMEOUT           1m15s
--audit-interval         AUDIT_INTERVAL         1s
--slow-request           SLOW_REQUEST           1s
--admin-addr             ADMIN_ADDR             127.0.0.1:8081
--database-url           DATABASE_URL           postgres://app:[hidden]@db:5432/strata
--feed-url               FEED_URL               
--database-read-url      DATABASE_READ_URL      postgres://app:[hidden]@standby:5432/strata
--pool-size              DATABASE_POOL_SIZE     10
--strategy               STRATA_STRATEGY        stamped
--ttl                    STRATA_TTL             1m0s
--redis-url              REDIS_URL              rediss://:[hidden]@cache:6379/0
--layers                 STRATA_LAYERS          views-l1,views-l2,data-l1,data-l2
--views-l1-bytes         VIEWS_L1_BYTES         33554432
--data-l1-bytes          DATA_L1_BYTES          33554432
--max-loads              MAX_LOADS              64
--shared-max-age         SHARED_MAX_AGE         1s
--stale-while-revalidate STALE_WHILE_REVALIDATE 1s
--stale-if-error         STALE_IF_ERROR         5m0s
--revalidation-rate      REVALIDATION_RATE      10
--log-level              LOG_LEVEL              info
--log-format             LOG_FORMAT             json
`
	if diff := cmp.Diff(out, want); diff != "" {
		t.Errorf("printed (-got +want):\n%s", diff)
	}
}

func TestLimitsOfConnectionsReachTheServer(t *testing.T) {
	cfg := Config{HTTP: HTTPConfig{MaxConns: 5, ReadTimeout: 6, WriteTimeout: 7, IdleTimeout: 8}}
	api := cfg.api(nil, nil)
	if api.MaxConns != 5 || api.ReadTimeout != 6 || api.WriteTimeout != 7 || api.IdleTimeout != 8 {
		t.Errorf("the server is told %+v", api)
	}
}

func TestSecretsOfAConfigAreInNoWayOfPrintingIt(t *testing.T) {
	cfg := Config{
		HTTP:     HTTPConfig{APITokens: "alice:" + secret},
		Postgres: PostgresConfig{URL: "postgres://app:" + secret + "@db/strata"},
		Cache:    CacheConfig{RedisURL: "redis://:" + secret + "@cache"},
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("starting", "config", cfg, "postgres", cfg.Postgres, "tokens", cfg.HTTP.APITokens, "redis", cfg.Cache.RedisURL)
	for how, text := range map[string]string{
		"log": log.String(), "%v": fmt.Sprintf("%v", cfg), "%+v": fmt.Sprintf("%+v", cfg), "%#v": fmt.Sprintf("%#v", cfg), "String": cfg.Postgres.URL.String(),
	} {
		if strings.Contains(text, secret) {
			t.Errorf("%s shows a secret: %s", how, text)
		}
	}
	if string(cfg.Postgres.URL) != "postgres://app:"+secret+"@db/strata" {
		t.Error("the URL itself has lost its password")
	}
}

func TestTokenThatIsMadeIsTheOneThatIsConfigured(t *testing.T) {
	code, out, errOut := strata(t, nil, "token", "alice", "--scopes", "listings:write")
	fields := strings.Fields(out)
	if code != 0 || errOut != "" || len(fields) < 4 || fields[0] != "token" || fields[2] != "API_TOKENS" {
		t.Fatalf("exit code %d, %q, %q", code, out, errOut)
	}
	got, err := HTTPConfig{APITokens: Secret(fields[3] + ", bob:listings:delete+listings:delete:" + hash)}.Tokens()
	if err != nil {
		t.Fatal(err)
	}
	bob := httpapi.Token{Name: "bob", Scopes: []httpapi.Scope{httpapi.ScopeDelete}}
	for i := range bob.Hash {
		bob.Hash[i] = []byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef}[i%8]
	}
	want := []httpapi.Token{{Name: "alice", Scopes: []httpapi.Scope{httpapi.ScopeWrite}, Hash: sha256.Sum256([]byte(fields[1]))}, bob}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("tokens (-got +want):\n%s", diff)
	}
	if _, again, _ := strata(t, nil, "token", "alice"); strings.Fields(again)[1] == fields[1] {
		t.Error("the same token twice")
	}
	if got, err := (HTTPConfig{}).Tokens(); err != nil || len(got) != 0 {
		t.Errorf("no tokens are read as %v, %v", got, err)
	}
}

func TestFlagsWinOverVariables(t *testing.T) {
	env := map[string]string{
		"DATABASE_URL": "postgres://app@db/strata", "READ_RATE": "not asked", "WRITE_RATE": "0x10", "STRATA_LAB": "yes", "STRATA_TTL": "5m", "TRUSTED_PROXIES": "",
	}
	code, out, errOut := strata(t, env, "config", "--read-rate=3", "--ttl", "7s", "--trusted-proxies=::1")
	if code != 0 || errOut != "" {
		t.Fatalf("exit code %d, %q", code, errOut)
	}
	got := make(map[string]string)
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) == 3 {
			got[fields[0]] = fields[2]
		}
	}
	for flag, want := range map[string]string{"--read-rate": "3", "--write-rate": "16", "--lab": "true", "--ttl": "7s", "--trusted-proxies": "::1"} {
		if got[flag] != want {
			t.Errorf("%s is %q, want %q", flag, got[flag], want)
		}
	}
	if code, _, errOut := strata(t, env, "config", "--lab=no", "--lab"); code != exitUsage || !strings.Contains(errOut, "--read-rate (READ_RATE)") {
		t.Errorf("the variable that no flag overrides: exit code %d, %q", code, errOut)
	}
}

func TestShellsCompleteCommandsFlagsAndWords(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, errOut := strata(t, nil, "completion", shell); code != 0 || errOut != "" || !strings.Contains(out, "__complete") {
			t.Errorf("%s: exit code %d, %q, and a script of %d bytes", shell, code, errOut, len(out))
		}
	}
	for line, want := range map[string]string{
		"":                       "serve migrate seed health config token version completion help",
		"se":                     "serve seed",
		"serve --admin":          "--admin-addr",
		"serve --strategy ":      "none ttl aside stamped",
		"serve --log-format=":    "json text",
		"serve --database-url p": "", // no files
		"token a --scopes l":     "listings:write listings:delete",
		"token ":                 "",
		"completion ":            "bash zsh fish powershell",
		"help ":                  "serve migrate seed health config token version completion",
	} {
		code, out, _ := strata(t, nil, append([]string{"__complete"}, strings.Split(line, " ")...)...)
		var words []string
		for printed := range strings.Lines(out) {
			if word, _, _ := strings.Cut(strings.TrimSpace(printed), "\t"); !strings.HasPrefix(word, ":") {
				words = append(words, word)
			}
		}
		slices.Sort(words)
		sorted := strings.Fields(want)
		slices.Sort(sorted)
		if diff := cmp.Diff(strings.Join(words, " "), strings.Join(sorted, " ")); code != 0 || diff != "" || !strings.Contains(out, ":4") {
			t.Errorf("strata %s: exit code %d, or files, or (-got +want):\n%s", line, code, diff)
		}
	}
}

func TestDatabaseMayBeReachedByASocket(t *testing.T) {
	for _, u := range []URL{"postgres:///strata?host=/run/postgresql", "postgresql://app@/strata?host=/run/postgresql&port=5433", "postgres://app@[::1]:5432/strata"} {
		if err := checkPostgres("--database-url", u); err != nil {
			t.Error(err)
		}
	}
	if err := checkRedis("--redis-url", "unix:///run/redis.sock"); err != nil {
		t.Error(err)
	}
}

func TestHealthTellsWhatTheServiceSays(t *testing.T) {
	ready := true
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" || !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprint(w, "not ready: feed: no poll for 3s\nnot ready: postgres: refused\n")
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	}))
	env := map[string]string{"ADMIN_ADDR": strings.TrimPrefix(service.URL, "http://")}
	if code, out, errOut := strata(t, env, "health"); code != 0 || out != "ok\n" || errOut != "" {
		t.Errorf("ready: exit code %d, %q, %q", code, out, errOut)
	}
	ready = false
	if code, _, errOut := strata(t, env, "health"); code != exitFailed || errOut != "strata: 503: not ready: feed: no poll for 3s not ready: postgres: refused\n" {
		t.Errorf("not ready: exit code %d, %q", code, errOut)
	}
	service.Close()
	if code, _, errOut := strata(t, env, "health"); code != exitFailed || strings.Count(errOut, "\n") != 1 {
		t.Errorf("away: exit code %d, %q", code, errOut)
	}
}

func TestServiceOnAllAddressesIsAskedOnThisMachine(t *testing.T) {
	for addr, want := range map[string]string{
		":8081": "localhost:8081", "0.0.0.0:8081": "localhost:8081", "[::]:8081": "localhost:8081",
		"127.0.0.1:8081": "127.0.0.1:8081", "strata:8081": "strata:8081",
	} {
		if got := reachable(addr); got != want {
			t.Errorf("%s is reached at %s, want %s", addr, got, want)
		}
	}
}

func TestHelpNamesTheVariableBesideEachFlag(t *testing.T) {
	secrets := map[string]string{"DATABASE_URL": "postgres://app:" + secret + "@db/strata", "API_TOKENS": "a:" + secret}
	code, out, errOut := strata(t, secrets, "serve", "--help")
	if code != 0 || errOut != "" {
		t.Fatalf("exit code %d, %q", code, errOut)
	}
	for _, s := range (Config{}).settings() {
		if !strings.Contains(out, "--"+s.flag+" ") || !strings.Contains(out, "($"+s.env+")") {
			t.Errorf("no --%s or no $%s in it", s.flag, s.env)
		}
	}
	if strings.Contains(out, secret) {
		t.Error("it shows what is configured")
	}
	for line := range strings.Lines(out) {
		if len(line) > 81 {
			t.Errorf("longer than a terminal is wide: %q", line)
		}
	}
	if _, again, _ := strata(t, nil, "help", "serve"); again != out {
		t.Errorf("help serve differs from serve --help: %s", cmp.Diff(again, out))
	}
}

func TestHelpAndVersionSucceed(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help"}, {"serve", "--help"}, {"token", "-h"}, {"version"}} {
		code, out, errOut := strata(t, nil, args...)
		if code != 0 || errOut != "" || !strings.Contains(out, "strata") {
			t.Errorf("%v: exit code %d, %q, %q", args, code, out, errOut)
		}
	}
}

func TestProgressWithoutATerminalIsALineForEachTenth(t *testing.T) {
	var out bytes.Buffer
	report := progress(&out)
	for done := 0; done <= 1000; done += 10 {
		report(done, 1000)
	}
	if got := strings.Count(out.String(), "\n"); got != 11 || !strings.HasSuffix(out.String(), "1000 of 1000\n") {
		t.Errorf("printed %d lines, want 11:\n%s", got, out.String())
	}
}

func TestInterruptedCommandEndsWithOneLine(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut bytes.Buffer
	if code := execute(ctx, []string{"health", "--admin-addr=127.0.0.1:1"}, &out, &errOut); code != exitFailed || strings.Count(errOut.String(), "\n") != 1 {
		t.Errorf("exit code %d, %q", code, errOut.String())
	}
}
