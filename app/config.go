package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"example.com/strata/app/cache"
	"example.com/strata/app/httpapi"
	"example.com/strata/app/telemetry"
	"example.com/strata/app/viewcache"
)

// Config is what `strata serve` can be told, by flag or by environment variable: one sub-struct a package. Traces are
// configured by the standard OTEL_* variables beside it.
type Config struct {
	HTTP     HTTPConfig
	Admin    AdminConfig
	Postgres PostgresConfig
	Cache    CacheConfig
	Views    ViewsConfig
	Log      LogConfig
	Version  string // of the build
	Revision string // the commit that it was built from
}

// flags makes the flags that set c, and gives c their defaults.
func (c *Config) flags(f flagSet) {
	c.HTTP.flags(f)
	c.Admin.flags(f)
	c.Postgres.flags(f)
	c.Cache.flags(f)
	c.Views.flags(f)
	c.Log.flags(f)
}

// HTTPConfig is the public port's.
type HTTPConfig struct {
	Addr      string
	APITokens Secret
	ReadRate  int64
	WriteRate int64
	Proxies   string
	MaxConns  int
	Lab       bool

	ReadTimeout  time.Duration
	WriteTimeout time.Duration
	IdleTimeout  time.Duration

	AuditInterval time.Duration
	SlowRequest   time.Duration
}

func (c *HTTPConfig) flags(f flagSet) {
	f.add("http-addr", "HTTP_ADDR", text(&c.Addr, "127.0.0.1:8080", "host:port"), "Address of the public API.")
	f.add("api-tokens", "API_TOKENS", &c.APITokens, "Who may write: a `list` of NAME:SCOPE+SCOPE:SHA256, separated by commas. None by default; strata token makes one.")
	f.add("read-rate", "READ_RATE", whole(&c.ReadRate, 0), "Reads a second that a client may send, not counting those that the view cache answers; 0, the default, is no limit.")
	f.add("write-rate", "WRITE_RATE", whole(&c.WriteRate, 0), "Writes a second that a client may send; 0, the default, is no limit.")
	f.add("trusted-proxies", "TRUSTED_PROXIES", text(&c.Proxies, "", "CIDR,..."), "Networks of proxies whose X-Forwarded-For is believed when rates are counted by address.")
	f.add("max-conns", "MAX_CONNS", whole(&c.MaxConns, 4096), "Connections that may be open at once; more are refused. Each takes about 20 kB, and up to 1 MiB while a client that may write sends a body.")
	f.add("lab", "STRATA_LAB", yesNo(&c.Lab), "Let a request choose its strategy by the header Strata-Strategy.")
	f.add("read-timeout", "READ_TIMEOUT", duration(&c.ReadTimeout, 10*time.Second), "How long a client may take to send a request.")
	f.add("write-timeout", "WRITE_TIMEOUT", duration(&c.WriteTimeout, 30*time.Second), "How long a client may take to receive an answer.")
	f.add("idle-timeout", "IDLE_TIMEOUT", duration(&c.IdleTimeout, 75*time.Second), "How long a connection may wait for its next request. Set it above the proxy's own idle time, so that the proxy closes first.")
	f.add("audit-interval", "AUDIT_INTERVAL", duration(&c.AuditInterval, time.Second), "How often an answer from a cache is compared with the database; 0: never.")
	f.add("slow-request", "SLOW_REQUEST", duration(&c.SlowRequest, time.Second), "A request that takes this long is noted in the log.")
}

// AdminConfig is the admin port's.
type AdminConfig struct {
	Addr string
}

func (c *AdminConfig) flags(f flagSet) {
	f.add("admin-addr", "ADMIN_ADDR", text(&c.Addr, "127.0.0.1:8081", "host:port"), "Address of metrics, probes and profiles. Not for the public.")
}

// PostgresConfig is the database's.
type PostgresConfig struct {
	URL      URL
	FeedURL  URL
	ReadURL  URL
	PoolSize int
}

func (c *PostgresConfig) flags(f flagSet) {
	f.add("database-url", "DATABASE_URL", &c.URL, "PostgreSQL as the application's role.")
	f.add("feed-url", "FEED_URL", &c.FeedURL, "PostgreSQL for the change feed alone: past a pooler, which keeps back the notifications that wake it. The database's URL by default.")
	f.add("database-read-url", "DATABASE_READ_URL", &c.ReadURL, "A standby to load from, where its answer is fresh enough. Used only with the strategy stamped. None by default.")
	f.add("pool-size", "DATABASE_POOL_SIZE", whole(&c.PoolSize, 10), "Connections that serve requests, to the database and to the standby each; the change feed has one more.")
}

// CacheConfig is the caches'.
type CacheConfig struct {
	Strategy     string
	TTL          time.Duration
	RedisURL     URL
	ViewsL1Bytes int64
	DataL1Bytes  int64
	MaxLoads     int
	Without      cache.Places // where nothing is kept
}

func (c *CacheConfig) flags(f flagSet) {
	f.add("strategy", "STRATA_STRATEGY", oneOf(&c.Strategy, "stamped", "none", "ttl", "aside", "stamped"), "How cached entries are judged.")
	f.add("ttl", "STRATA_TTL", duration(&c.TTL, time.Minute), "Lifetime of an entry under the strategies ttl and aside.")
	f.add("redis-url", "REDIS_URL", &c.RedisURL, "Redis, the second layer. Without it there is none. For a Redis Cluster: redis://a:6379?addr=b:6379, or ?cluster=true.")
	f.add("layers", "STRATA_LAYERS", allBut(&c.Without), "Where the strategy may keep entries: a list of views-l1, views-l2, data-l1 and data-l2, or none.")
	f.add("views-l1-bytes", "VIEWS_L1_BYTES", whole(&c.ViewsL1Bytes, 32<<20), "Memory for whole responses in this process, in bytes.")
	f.add("data-l1-bytes", "DATA_L1_BYTES", whole(&c.DataL1Bytes, 32<<20), "Memory for decoded values in this process, in bytes.")
	f.add("max-loads", "MAX_LOADS", whole(&c.MaxLoads, 64), "Loads from the database that may run at once. Others wait up to a second and are then refused.")
}

// ViewsConfig says how clients and shared caches in front of the service may use its answers.
type ViewsConfig struct {
	SharedMaxAge         time.Duration
	StaleWhileRevalidate time.Duration
	StaleIfError         time.Duration
	RevalidationRate     float64
}

func (c *ViewsConfig) flags(f flagSet) {
	f.add("shared-max-age", "SHARED_MAX_AGE", duration(&c.SharedMaxAge, time.Second), "How long a CDN may answer without asking the service; 0: never.")
	f.add("stale-while-revalidate", "STALE_WHILE_REVALIDATE", duration(&c.StaleWhileRevalidate, time.Second), "How long after that a CDN may still answer while it asks again.")
	f.add("stale-if-error", "STALE_IF_ERROR", duration(&c.StaleIfError, 5*time.Minute), "How long after that a CDN may still answer while the service fails.")
	f.add("revalidation-rate", "REVALIDATION_RATE", decimal(&c.RevalidationRate, 10), "Requests a second that may bypass the caches by asking for it (Cache-Control: no-cache).")
}

func (c ViewsConfig) views() viewcache.Config {
	return viewcache.Config{SharedMaxAge: c.SharedMaxAge, StaleWhileRevalidate: c.StaleWhileRevalidate, StaleIfError: c.StaleIfError}
}

// revalidations is the rate as the server is told it: for that, 0 is the default.
func (c ViewsConfig) revalidations() float64 {
	if c.RevalidationRate == 0 {
		return -1
	}
	return c.RevalidationRate
}

// LogConfig is the log's.
type LogConfig struct {
	Level  string
	Format string
}

func (c *LogConfig) flags(f flagSet) {
	f.add("log-level", "LOG_LEVEL", oneOf(&c.Level, "info", "debug", "info", "warn", "error"), "The lowest level that is logged.")
	f.add("log-format", "LOG_FORMAT", oneOf(&c.Format, "json", "json", "text"), "The form of the log's lines.")
}

// Validate returns an error of one line that names the first flag whose value cannot work. It never quotes a secret.
func (c Config) Validate() error {
	_, tokens := c.HTTP.Tokens()
	_, proxies := c.HTTP.TrustedProxies()
	return firstError(
		checkAddr("--http-addr (HTTP_ADDR)", c.HTTP.Addr),
		tokens,
		checkRate("--read-rate (READ_RATE)", c.HTTP.ReadRate),
		checkRate("--write-rate (WRITE_RATE)", c.HTTP.WriteRate),
		proxies,
		checkPositive("--max-conns (MAX_CONNS)", c.HTTP.MaxConns),
		checkPositive("--read-timeout (READ_TIMEOUT)", c.HTTP.ReadTimeout),
		checkPositive("--write-timeout (WRITE_TIMEOUT)", c.HTTP.WriteTimeout),
		checkPositive("--idle-timeout (IDLE_TIMEOUT)", c.HTTP.IdleTimeout),
		checkAddr("--admin-addr (ADMIN_ADDR)", c.Admin.Addr),
		checkNotNegative("--audit-interval (AUDIT_INTERVAL)", c.HTTP.AuditInterval),
		checkNotNegative("--slow-request (SLOW_REQUEST)", c.HTTP.SlowRequest),
		checkSamePort(c.HTTP.Addr, c.Admin.Addr),
		checkPostgres("--database-url (DATABASE_URL)", c.Postgres.URL),
		checkOptional("--feed-url (FEED_URL)", c.Postgres.FeedURL),
		checkOptional("--database-read-url (DATABASE_READ_URL)", c.Postgres.ReadURL),
		checkPositive("--pool-size (DATABASE_POOL_SIZE)", c.Postgres.PoolSize),
		checkPositive("--ttl (STRATA_TTL)", c.Cache.TTL),
		checkRedis("--redis-url (REDIS_URL)", c.Cache.RedisURL),
		checkPositive("--views-l1-bytes (VIEWS_L1_BYTES)", c.Cache.ViewsL1Bytes),
		checkPositive("--data-l1-bytes (DATA_L1_BYTES)", c.Cache.DataL1Bytes),
		checkPositive("--max-loads (MAX_LOADS)", c.Cache.MaxLoads),
		checkNotNegative("--shared-max-age (SHARED_MAX_AGE)", c.Views.SharedMaxAge),
		checkNotNegative("--stale-while-revalidate (STALE_WHILE_REVALIDATE)", c.Views.StaleWhileRevalidate),
		checkNotNegative("--stale-if-error (STALE_IF_ERROR)", c.Views.StaleIfError),
		checkNotNegative("--revalidation-rate (REVALIDATION_RATE)", c.Views.RevalidationRate),
	)
}

// Tokens returns who may write. It returns an error that names the flag if an entry is malformed, or a name or a hash is there twice.
func (c HTTPConfig) Tokens() ([]httpapi.Token, error) {
	const flag = "--api-tokens (API_TOKENS)"
	if c.APITokens == "" {
		return nil, nil
	}
	var tokens []httpapi.Token
	for i, entry := range strings.Split(string(c.APITokens), ",") {
		token, err := parseToken(strings.TrimSpace(entry))
		if err != nil {
			return nil, fmt.Errorf("%s: number %d %w", flag, i+1, err)
		}
		for _, earlier := range tokens {
			switch {
			case earlier.Name == token.Name:
				return nil, fmt.Errorf("%s: number %d has the name of an earlier one", flag, i+1)
			case earlier.Hash == token.Hash:
				return nil, fmt.Errorf("%s: number %d has the hash of an earlier one", flag, i+1)
			}
		}
		tokens = append(tokens, token)
	}
	return tokens, nil
}

// tokenName keeps names apart from what stands around them, here and in the log.
var tokenName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// parseToken reads name:scope+scope:hash, where scopes may have colons. Its errors do not quote it: somebody may have put the token itself there.
func parseToken(entry string) (token httpapi.Token, err error) {
	first, last := strings.IndexByte(entry, ':'), strings.LastIndexByte(entry, ':')
	if first == last {
		return token, errors.New("is not of the form name:scope+scope:sha256 (strata token makes one)")
	}
	token.Name = entry[:first]
	if !tokenName.MatchString(token.Name) {
		return token, errors.New("has a name that is not 1 to 64 letters, digits, dots, dashes and underscores")
	}
	if token.Scopes, err = parseScopes(strings.Split(entry[first+1:last], "+")); err != nil {
		return token, err
	}
	hash, err := hex.DecodeString(entry[last+1:])
	if err != nil || len(hash) != sha256.Size {
		return token, errors.New("does not end with a SHA-256 of 64 hexadecimal digits (of the token, which itself must not be here)")
	}
	copy(token.Hash[:], hash)
	return token, nil
}

func parseScopes(names []string) ([]httpapi.Scope, error) {
	var scopes []httpapi.Scope
	for _, name := range names {
		scope := httpapi.Scope(name)
		if !slices.Contains(httpapi.Scopes(), scope) {
			return nil, fmt.Errorf("has a scope that is none of %v", httpapi.Scopes())
		}
		if !slices.Contains(scopes, scope) {
			scopes = append(scopes, scope)
		}
	}
	return scopes, nil
}

// TrustedProxies returns whose X-Forwarded-For is believed, or an error that names the flag.
func (c HTTPConfig) TrustedProxies() ([]netip.Prefix, error) {
	var all []netip.Prefix
	for _, text := range strings.FieldsFunc(c.Proxies, func(r rune) bool { return r == ',' || r == ' ' }) {
		prefix, err := netip.ParsePrefix(text)
		if addr, single := netip.ParseAddr(text); single == nil {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("--trusted-proxies (TRUSTED_PROXIES): %q is no address and no network such as 10.0.0.0/8", text)
		}
		all = append(all, prefix)
	}
	return all, nil
}

// LogValue is the configuration without its secrets, for the first line of the log.
func (c Config) LogValue() slog.Value {
	var attrs []slog.Attr
	for _, s := range c.settings() {
		attrs = append(attrs, slog.String(s.flag, s.value))
	}
	return slog.GroupValue(attrs...)
}

// Print writes the configuration without its secrets, one flag a line.
func (c Config) Print(out io.Writer) error {
	for _, s := range c.settings() {
		if _, err := fmt.Fprintf(out, "--%-22s %-22s %s\n", s.flag, s.env, s.value); err != nil {
			return err
		}
	}
	return nil
}

type setting struct{ flag, env, value string }

// settings reads the values off the flags themselves, so that none can be forgotten.
func (c Config) settings() []setting {
	var shown Config
	f := flagSet{pflag.NewFlagSet("", pflag.ContinueOnError)}
	f.SortFlags = false
	shown.flags(f)
	shown = c // in the place of the defaults: the flags show what they would set
	var all []setting
	f.VisitAll(func(flag *pflag.Flag) {
		all = append(all, setting{flag.Name, variableOf(flag), flag.Value.String()})
	})
	return all
}

// Secret is text that prints as hidden. Convert it to string to use it.
type Secret string

// String tells whether there is a secret, and not which.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return telemetry.Hidden
}

// Set is for a flag: every text may be a secret.
func (s *Secret) Set(text string) error {
	*s = Secret(text)
	return nil
}

// Type is what stands for a secret in a flag's help.
func (Secret) Type() string { return "secret" }

// GoString is String, so that %#v tells no more.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText is String, so that JSON and the log tell no more.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// URL is a URL that prints without its password. Convert it to string to use it.
type URL string

// String is the URL without its password.
func (u URL) String() string { return telemetry.HidePasswords(string(u)) }

// Set is for a flag. Whether the text is a URL is Validate's to say, which knows of what kind it must be.
func (u *URL) Set(text string) error {
	*u = URL(text)
	return nil
}

// Type is what stands for a URL in a flag's help.
func (URL) Type() string { return "URL" }

// GoString is String, so that %#v tells no more.
func (u URL) GoString() string { return strconv.Quote(u.String()) }

// MarshalText is String, so that JSON and the log tell no more.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

func firstError(errs ...error) error {
	if i := slices.IndexFunc(errs, func(err error) bool { return err != nil }); i >= 0 {
		return errs[i]
	}
	return nil
}

func checkPositive[N int | int64 | time.Duration](flag string, n N) error {
	if n <= 0 {
		return fmt.Errorf("%s: %v is not above 0", flag, n)
	}
	return nil
}

func checkNotNegative[N float64 | time.Duration](flag string, n N) error {
	if n < 0 {
		return fmt.Errorf("%s: %v is below 0", flag, n)
	}
	return nil
}

func checkRate(flag string, n int64) error {
	const most = 1_000_000 // more is no limit, and less than a microsecond each cannot be counted
	if n < 0 || n > most {
		return fmt.Errorf("%s: %d is not from 0 to %d", flag, n, most)
	}
	return nil
}

func checkAddr(flag, addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %q is not of the form host:port", flag, addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return fmt.Errorf("%s: %q has no port from 0 to 65535", flag, addr)
	}
	return nil
}

// checkSamePort spares the reader "address already in use", which sounds as if another program had it.
func checkSamePort(public, admin string) error {
	if _, port, _ := net.SplitHostPort(public); public == admin && port != "0" {
		return fmt.Errorf("--admin-addr (ADMIN_ADDR): %s is --http-addr (HTTP_ADDR) too", admin)
	}
	return nil
}

func checkPostgres(flag string, text URL) error {
	const want = "such as postgres://user@host:5432/database"
	if text == "" {
		return fmt.Errorf("%s: missing; give a URL %s", flag, want)
	}
	u, err := parseURL(text)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w; give a URL %s", flag, err, want)
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		return fmt.Errorf("%s: does not begin with postgres://; give a URL %s", flag, want)
	case u.Host == "" && u.Query().Get("host") == "":
		return fmt.Errorf("%s: names no host; give a URL %s", flag, want)
	}
	return nil
}

func checkOptional(flag string, text URL) error {
	if text == "" {
		return nil
	}
	return checkPostgres(flag, text)
}

func checkRedis(flag string, text URL) error {
	const want = "such as redis://host:6379/0"
	if text == "" {
		return nil
	}
	u, err := parseURL(text)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w; give a URL %s", flag, err, want)
	case u.Scheme == "unix" && u.Path != "":
		return nil
	case u.Scheme != "redis" && u.Scheme != "rediss":
		return fmt.Errorf("%s: does not begin with redis://, rediss:// or unix://; give a URL %s", flag, want)
	case u.Host == "":
		return fmt.Errorf("%s: names no host; give a URL %s", flag, want)
	}
	for _, node := range u.Query()["addr"] {
		if host, port, err := net.SplitHostPort(node); err != nil || host == "" || port == "" {
			return fmt.Errorf("%s: addr=%s is not of the form host:port; give a URL such as redis://a:6379?addr=b:6379&addr=c:6379", flag, node)
		}
	}
	return nil
}

// parseURL is url.Parse with an error that does not quote the URL: it may be the password that made it unreadable.
func parseURL(text URL) (*url.URL, error) {
	u, err := url.Parse(string(text))
	if err == nil {
		return u, nil
	}
	return nil, errors.New("cannot be read as a URL (are special characters of the password escaped, as in %40 for @?)")
}
