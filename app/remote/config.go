package remote

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Config says where Redis is and what it may cost. The zero value means that there is none.
type Config struct {
	URL string // redis://user:password@host:port/db; of a Cluster also ?addr=b:6379 or ?cluster=true
	// Namespace is whose the entries are: of which database and service. It is part of every key, so that whatever another one keeps in
	// the same Redis is never seen.
	Namespace string
	Timeout   time.Duration // that connecting, writing and reading may take each; 50 ms by default
}

const usualTimeout = 50 * time.Millisecond // whoever waits can have the value elsewhere in about this time

// tune sets what a connection to one node may cost.
func tune(opts *redis.Options, timeout time.Duration) {
	// The deadline is the connection's own, not a context's: that would cost a timer for each operation.
	opts.DialTimeout, opts.PoolTimeout = timeout, timeout
	opts.ReadTimeout, opts.WriteTimeout = timeout, timeout
	opts.ContextTimeoutEnabled = true // a request that gives up need not wait for it
	opts.MaxRetries = -1              // the origin is the retry
	opts.DialerRetries = 1            // likewise
	opts.ReadBufferSize = 8 << 10     // 32 KiB a connection by default; entries are mostly smaller than this
	opts.WriteBufferSize = 8 << 10
	opts.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled} // only Redis Enterprise sends them
}

// clusterURL says whether a URL means a Redis Cluster, and returns it without saying so, as go-redis reads it. It does if it
// names further nodes, redis://a:6379?addr=b:6379&addr=c:6379, or says so, redis://a:6379?cluster=true: one node that answers is
// enough to find the others.
func clusterURL(text string) (address string, cluster bool) {
	u, err := url.Parse(text)
	if err != nil {
		return text, false
	}
	q := u.Query()
	cluster = q.Get("cluster") == "true" || q.Has("addr") && q.Get("cluster") != "false"
	q.Del("cluster")
	u.RawQuery = q.Encode()
	return u.String(), cluster
}

// maskURL keeps a password out of the message: net/url quotes the whole URL in its errors.
func maskURL(err error) error {
	var withURL interface{ Unwrap() error }
	if errors.As(err, &withURL) && withURL.Unwrap() != nil {
		return withURL.Unwrap()
	}
	return errors.New("not of the form redis://user:password@host:port/db")
}

// silent takes go-redis' own lines, for which it knows no other place than a global one: each failed connection of an outage
// would be one on standard error. Whoever observes the operations and the breaker knows the same.
type silent struct{}

// Printf implements go-redis' logger.
func (silent) Printf(context.Context, string, ...any) {}

// placeOf says where a client of one node connects to.
func placeOf(opts *redis.Options) Place {
	host, port, err := net.SplitHostPort(opts.Addr)
	if err != nil { // a socket
		return Place{Host: opts.Addr, DB: opts.DB}
	}
	number, _ := strconv.Atoi(port)
	return Place{Host: host, Port: number, DB: opts.DB}
}
