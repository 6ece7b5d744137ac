package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"example.com/strata/app/cache"
	"example.com/strata/app/changelog"
	"example.com/strata/app/freshness"
	"example.com/strata/app/httpapi"
	"example.com/strata/app/instruments"
	"example.com/strata/app/listing"
	"example.com/strata/app/postgres"
	"example.com/strata/app/ratelimit"
	"example.com/strata/app/remote"
	"example.com/strata/app/telemetry"
	"example.com/strata/app/viewcache"
)

// The bounds of an ordered shutdown. Together they fit into the 30 s that Kubernetes grants by default.
const (
	drainWithin = 15 * time.Second // for the answers under way
	flushWithin = 5 * time.Second  // for the last spans, and the admin port's last scrape
)

// run serves until ctx ends, and then stops in order: unready, no new requests, answers under way, feed, caches, database, spans.
func run(ctx context.Context, cfg Config, out io.Writer) (err error) {
	tel, err := telemetry.New(ctx, telemetry.Config{LogLevel: cfg.Log.Level, LogFormat: cfg.Log.Format, Version: cfg.Version, Revision: cfg.Revision}, out)
	if err != nil {
		return err
	}
	defer closing(&err, tel.Shutdown)
	tel.Log.InfoContext(ctx, "starting", "version", cfg.Version, "config", cfg)

	// Ports first: that one is taken should be known before the database has been bothered.
	public, err := listen(ctx, cfg.HTTP.Addr)
	if err != nil {
		return err
	}
	defer public.Close()
	private, err := listen(ctx, cfg.Admin.Addr)
	if err != nil {
		return err
	}
	defer private.Close()

	// A request falls through these from the last line to the first.
	ledger := freshness.NewLedger(freshness.Config{})
	var layers *cache.Caches // the database's metrics ask it for each request's strategy
	db, err := postgres.Open(ctx, postgres.Config{
		URL: string(cfg.Postgres.URL), PoolSize: cfg.Postgres.PoolSize, FeedURL: string(cfg.Postgres.FeedURL), ReadURL: string(cfg.Postgres.ReadURL), Ledger: ledger,
		Strategies: cfg.strategies(),
		Strategy: func(ctx context.Context) string {
			if cache.Audited(ctx) {
				return auditStrategy
			}
			return layers.Strategy(ctx).String()
		},
	}, tel)
	if err != nil {
		return err
	}
	defer db.Close()
	identity, err := db.Identity(ctx)
	if err != nil {
		return err
	}
	redis, err := instruments.Redis(remote.Config{URL: string(cfg.Cache.RedisURL), Namespace: identity}, tel)
	if err != nil {
		return err
	}
	if redis != nil {
		defer func() { err = errors.Join(err, redis.Close()) }()
	}
	layers = instruments.Caches(cfg.layers(), redis, ledger, tel)
	defer layers.Close()
	listings := listing.NewService(db, layers, ledger)
	views := viewcache.New(cfg.Views.views(), layers, tel)
	tokens, err := cfg.HTTP.Tokens()
	if err != nil {
		return err
	}
	proxies, err := cfg.HTTP.TrustedProxies()
	if err != nil {
		return err
	}
	server := httpapi.New(cfg.api(tokens, proxies), listings, views, layers, ledger, ratelimit.New(redis, tel), tel)

	// A change climbs the same stack: the feed writes what it reads into the ledger, and every layer asks the ledger.
	feed := changelog.NewFeed(changelog.Config{}, db.DialFeed, ledger, instruments.Feed(tel, ledger))
	judging := layers.Uses(cache.Stamped) // the other strategies have no use for a feed, and must not be charged for its polls

	admin := telemetry.NewAdmin(tel, func(context.Context) error {
		// Not whether the database answers: if it does not, no replica is any better, and this one still has its caches.
		if judging && ledger.AsOf().Time.IsZero() {
			return errors.New("the change log has not been read yet")
		}
		return nil
	})

	feeding, stopFeed := context.WithCancel(context.WithoutCancel(ctx))
	defer stopFeed()
	working, ctx := errgroup.WithContext(ctx) // ends when the caller says so, or when one of these fails
	working.Go(func() error { return admin.Serve(private) })
	working.Go(func() error { return server.Serve(public) })
	working.Go(func() error { return server.Audit(ctx) })
	if judging {
		working.Go(func() error { return feed.Run(feeding) })
	}
	working.Go(func() error { return db.RunPruning(feeding, tel.Log) })
	admin.SetStarted()
	tel.Log.InfoContext(ctx, "serving", "http", public.Addr().String(), "admin", private.Addr().String(), "strategy", cfg.Cache.Strategy)

	working.Go(func() error {
		<-ctx.Done()
		tel.Log.Info("stopping")
		admin.SetDraining()
		failed := within(drainWithin, server.Shutdown)
		stopFeed()
		return errors.Join(failed, within(flushWithin, admin.Shutdown))
	})
	return working.Wait()
}

func (c Config) layers() cache.Config {
	strategy, _ := cache.ParseStrategy(c.Cache.Strategy) // the command line admits no other
	return cache.Config{
		Strategy: strategy, Lab: c.HTTP.Lab, TTL: c.Cache.TTL, Without: c.Cache.Without,
		ViewsL1Bytes: uint64(c.Cache.ViewsL1Bytes), DataL1Bytes: uint64(c.Cache.DataL1Bytes), MaxLoads: c.Cache.MaxLoads,
	}
}

func (c Config) api(tokens []httpapi.Token, proxies []netip.Prefix) httpapi.Config {
	api := httpapi.Config{
		Tokens: tokens, ReadRate: c.HTTP.ReadRate, WriteRate: c.HTTP.WriteRate, TrustedProxies: proxies,
		MaxConns: c.HTTP.MaxConns, ReadTimeout: c.HTTP.ReadTimeout, WriteTimeout: c.HTTP.WriteTimeout, IdleTimeout: c.HTTP.IdleTimeout,
		RevalidationRate: c.Views.revalidations(), AuditInterval: c.HTTP.AuditInterval, SlowRequest: c.HTTP.SlowRequest,
	}
	if api.AuditInterval == 0 {
		api.AuditInterval = -1 // none, there
	}
	return api
}

// auditStrategy is what stands in the place of the strategy where the service audits itself.
const auditStrategy = "audit"

// strategies are the values that the label strategy of the database's metrics can have.
func (c Config) strategies() []string {
	if !c.HTTP.Lab {
		return []string{c.Cache.Strategy, auditStrategy}
	}
	all := []string{auditStrategy}
	for _, s := range cache.Strategies() {
		all = append(all, s.String())
	}
	return all
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening: %w", err)
	}
	return l, nil
}

// within gives an orderly end its time, although what called for it is over.
func within(d time.Duration, end func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return end(ctx)
}

// closing ends something when run returns, and adds its error to run's.
func closing(err *error, end func(context.Context) error) {
	*err = errors.Join(*err, within(flushWithin, end))
}
