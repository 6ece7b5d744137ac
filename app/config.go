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
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"strata/app/httpapi"
	"strata/app/telemetry"
	"strata/app/viewcache"
)

// Config is what `strata serve` can be told, by flag or by environment variable: one sub-struct a package. Traces are
// configured by the standard OTEL_* variables beside it.
type Config struct {
	HTTP     HTTPConfig     `embed:""`
	Admin    AdminConfig    `embed:""`
	Postgres PostgresConfig `embed:""`
	Cache    CacheConfig    `embed:""`
	Views    ViewsConfig    `embed:""`
	Log      LogConfig      `embed:""`
	Version  string         `kong:"-"` // of the build
	Revision string         `kong:"-"` // the commit that it was built from
}

// HTTPConfig is the public port's.
type HTTPConfig struct {
	Addr      string `name:"http-addr" env:"HTTP_ADDR" default:"127.0.0.1:8080" help:"Address of the public API."`
	APITokens Secret `name:"api-tokens" env:"API_TOKENS" placeholder:"NAME:SCOPE+SCOPE:SHA256,..." help:"Who may write. None by default; strata token makes one."`
	ReadRate  int64  `name:"read-rate" env:"READ_RATE" default:"0" help:"Reads a second that a client may send beside those that a kept view answers; 0 is no limit."`
	WriteRate int64  `name:"write-rate" env:"WRITE_RATE" default:"0" help:"Writes a second that a client may send; 0 is no limit."`
	Proxies   string `name:"trusted-proxies" env:"TRUSTED_PROXIES" placeholder:"CIDR,..." help:"Whose X-Forwarded-For is believed when rates are counted by address."`
	MaxConns  int    `name:"max-conns" env:"MAX_CONNS" default:"4096" help:"Connections that may be open at once; more are refused. Each takes some 20 kB, and up to 1 MiB while somebody who may write sends a body."`
	Lab       bool   `name:"lab" env:"STRATA_LAB" help:"Let a request choose its strategy by the header Strata-Strategy."`

	ReadTimeout  time.Duration `name:"read-timeout" env:"READ_TIMEOUT" default:"10s" help:"How long a client may take to send a request."`
	WriteTimeout time.Duration `name:"write-timeout" env:"WRITE_TIMEOUT" default:"30s" help:"How long a client may take to receive an answer."`
	IdleTimeout  time.Duration `name:"idle-timeout" env:"IDLE_TIMEOUT" default:"75s" help:"How long a connection may wait for its next request. More than the proxy in front keeps one, so that the proxy closes first."`

	AuditInterval time.Duration `name:"audit-interval" env:"AUDIT_INTERVAL" default:"1s" help:"Compare an answer out of a cache with the database so often; 0: never."`
	SlowRequest   time.Duration `name:"slow-request" env:"SLOW_REQUEST" default:"1s" help:"Requests that take so long are noted in the log."`
}

// AdminConfig is the admin port's.
type AdminConfig struct {
	Addr string `name:"admin-addr" env:"ADMIN_ADDR" default:"127.0.0.1:8081" help:"Address of metrics, probes and profiles. Not for the public."`
}

// PostgresConfig is the database's.
type PostgresConfig struct {
	URL      URL `name:"database-url" env:"DATABASE_URL" placeholder:"URL" help:"PostgreSQL as the application's role."`
	ReadURL  URL `name:"database-read-url" env:"DATABASE_READ_URL" placeholder:"URL" help:"A standby that answers what the caches load, where its answer is fresh. Only with the strategy stamped. None by default."`
	PoolSize int `name:"pool-size" env:"DATABASE_POOL_SIZE" default:"10" help:"Connections that serve requests, to the database and to the standby each; the change feed has one more."`
}

// CacheConfig is the caches'.
type CacheConfig struct {
	Strategy     string        `name:"strategy" env:"STRATA_STRATEGY" enum:"none,ttl,aside,stamped" default:"stamped" help:"How cached entries are judged: ${enum}."`
	TTL          time.Duration `name:"ttl" env:"STRATA_TTL" default:"60s" help:"Lifetime of an entry under the strategies ttl and aside."`
	RedisURL     URL           `name:"redis-url" env:"REDIS_URL" placeholder:"URL" help:"Redis, the second layer. Without it there is none. For a Redis Cluster: redis://a:6379?addr=b:6379, or ?cluster=true."`
	ViewsL1Bytes int64         `name:"views-l1-bytes" env:"VIEWS_L1_BYTES" default:"33554432" help:"Memory for whole responses in this process."`
	DataL1Bytes  int64         `name:"data-l1-bytes" env:"DATA_L1_BYTES" default:"33554432" help:"Memory for values in this process."`
	MaxLoads     int           `name:"max-loads" env:"MAX_LOADS" default:"64" help:"Reads of the database that may be under way at once; more wait a second, and are refused then."`
}

// ViewsConfig says how clients and shared caches in front of the service may use its answers.
type ViewsConfig struct {
	SharedMaxAge         time.Duration `name:"shared-max-age" env:"SHARED_MAX_AGE" default:"1s" help:"How long a CDN may answer without asking; 0: never."`
	StaleWhileRevalidate time.Duration `name:"stale-while-revalidate" env:"STALE_WHILE_REVALIDATE" default:"1s" help:"How long after that it may answer while it asks."`
	StaleIfError         time.Duration `name:"stale-if-error" env:"STALE_IF_ERROR" default:"5m" help:"How long after that it may answer while the service cannot."`
	RevalidationRate     float64       `name:"revalidation-rate" env:"REVALIDATION_RATE" default:"10" help:"Requests a second that may pass by the caches by asking for it (Cache-Control: no-cache)."`
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
	Level  string `name:"log-level" env:"LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"The least that is logged: ${enum}."`
	Format string `name:"log-format" env:"LOG_FORMAT" enum:"json,text" default:"json" help:"${enum}."`
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
		checkStandby("--database-read-url (DATABASE_READ_URL)", c.Postgres.ReadURL),
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

// settings reads the flags off the struct's tags, so that none can be forgotten.
func (c Config) settings() []setting {
	var all []setting
	groups := reflect.ValueOf(c)
	for i := range groups.NumField() {
		group := groups.Field(i)
		if group.Kind() != reflect.Struct {
			continue
		}
		for j := range group.NumField() {
			tag := group.Type().Field(j).Tag
			all = append(all, setting{tag.Get("name"), tag.Get("env"), fmt.Sprint(group.Field(j).Interface())})
		}
	}
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

// GoString is String, so that %#v tells no more.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// MarshalText is String, so that JSON and the log tell no more.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// URL is a URL that prints without its password. Convert it to string to use it.
type URL string

// String is the URL without its password.
func (u URL) String() string { return telemetry.HidePasswords(string(u)) }

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

func checkStandby(flag string, text URL) error {
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
