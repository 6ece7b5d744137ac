package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

const (
	refuseAfter = time.Second            // a connection too many may be silent, before it is refused all the same
	lingerFor   = time.Second            // a client may take to notice an answer that ends the connection before all was read
	lateFor     = 100 * time.Millisecond // clients that connected just before the end are accepted
	lastFor     = 3 * time.Second        // clients that keep a connection have to use it once more at the end: longer than those under load take
	maxRefusing = 64                     // connections too many that are waited for at once: so many more than MaxConns are open, and have a goroutine each
)

// bounded is a listener that has so many connections at once. What is more it refuses itself, so that fasthttp, which would do that in plain text, has neither a
// goroutine nor a buffer for it.
type bounded struct {
	*closedOnce
	most     int64
	open     atomic.Int64
	log      *slog.Logger
	refusal  func(request []byte) []byte // the answer to a request that begins like this
	refusing sync.WaitGroup
	places   chan struct{} // one for each connection that is being refused
}

func (s *Server) bound(l net.Listener) *bounded {
	return &bounded{closedOnce: &closedOnce{Listener: l}, most: int64(s.cfg.MaxConns), log: s.tel.Log, refusal: s.refuseConnection, places: make(chan struct{}, maxRefusing)}
}

// Accept returns the next connection for which there is room. Never does it wait for one that is refused.
func (l *bounded) Accept() (net.Conn, error) {
	for {
		c, err := l.accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &conn{Conn: c, open: &l.open}, nil
		}
		l.open.Add(-1)
		select {
		case l.places <- struct{}{}:
			l.refusing.Go(func() {
				l.refuse(c)
				<-l.places
			})
		default: // so many are being refused that this one is told at once, and may miss it: what it has sent is unread
			_ = c.SetWriteDeadline(time.Now().Add(refuseAfter))
			_, _ = c.Write(l.refusal(nil))
			_ = c.Close()
		}
	}
}

// accept waits for the next connection, also over the kernel's passing troubles, above all a process that has no file descriptor left:
// fasthttp would take such an error for the listener's end, and the service would stop for good. net/http waits the same way.
func (l *bounded) accept() (net.Conn, error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		c, err := l.Listener.Accept()
		if errors.Is(err, os.ErrDeadlineExceeded) { // set by leave
			return nil, net.ErrClosed
		}
		var passing interface{ Temporary() bool }
		if err == nil || !errors.As(err, &passing) || !passing.Temporary() {
			return c, err
		}
		l.log.Warn("accepting a connection", "error", err, "again_in", pause)
		time.Sleep(pause)
	}
}

// refuse answers a connection and closes it. It waits for the request first, since clients think ill of an answer to what they have not asked, though not long.
func (l *bounded) refuse(c net.Conn) {
	request := make([]byte, 256) // the method is all that matters of it
	_ = c.SetReadDeadline(time.Now().Add(refuseAfter))
	n, err := c.Read(request)
	if n > 0 || !errors.Is(err, io.EOF) { // else it was a look whether anybody listens
		_ = c.SetWriteDeadline(time.Now().Add(lingerFor))
		if _, err := c.Write(l.refusal(request[:n])); err == nil {
			linger(c)
		}
	}
	_ = c.Close()
}

// leave ends the listening, and returns when all connections are closed, or no more is to be expected of those that are open, or ctx ends.
func (l *bounded) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lastFor)
	defer cancel()
	if l.SetDeadline(time.Now().Add(lateFor)) == nil {
		select {
		case <-time.After(lateFor):
		case <-ctx.Done():
		}
	}
	_ = l.Close() // before Fiber does: it forgets a listener that it was given a moment ago
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for l.open.Load() > 0 {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// wait returns when all connections too many have been refused. No Accept may come after it.
func (l *bounded) wait() { l.refusing.Wait() }

// refuseConnection is the whole answer to a connection too many, whose request begins like this.
func (s *Server) refuseConnection(request []byte) []byte {
	var ctx fasthttp.RequestCtx
	if method, _, _ := bytes.Cut(request, []byte(" ")); knownMethod(method) {
		ctx.Request.Header.SetMethodBytes(method)
	}
	c := s.app.AcquireCtx(&ctx)
	defer s.app.ReleaseCtx(c)
	c.Locals(localOverloaded, refusedConns)
	_ = s.refuse(c, &failure{status: fiber.StatusServiceUnavailable, slug: "overloaded", // it returns no error
		detail: "As many connections are open as the service may have.", header: http.Header{"Retry-After": {"1"}}})
	ctx.Response.SetConnectionClose()
	ctx.Response.SkipBody = ctx.IsHead()
	var answer bytes.Buffer
	_, _ = ctx.Response.WriteTo(&answer) // a Buffer takes everything
	return answer.Bytes()
}

// conn is a connection that counts until it is closed.
type conn struct {
	net.Conn
	open   *atomic.Int64
	closed atomic.Bool
	unread atomic.Bool // the client may still be sending what nobody will read
}

// Close closes the connection. If the client is still sending, it is given the time to see what it was answered.
func (c *conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	defer c.open.Add(-1)
	if c.unread.Load() {
		linger(c.Conn)
	}
	return c.Conn.Close()
}

// leaveUnread notes that the request's connection will be closed with something unread on it.
func leaveUnread(ctx *fasthttp.RequestCtx) {
	if c, ok := ctx.Conn().(*conn); ok { // another one in tests without a port
		c.unread.Store(true)
	}
}

// linger ends our side of a connection and then reads, for a while, what comes, without keeping it. A connection that is closed with something unread is reset, and a
// reset may overtake the answer or be all that the client sees of it (RFC 9112, section 9.6).
func linger(c net.Conn) {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil || c.SetReadDeadline(time.Now().Add(lingerFor)) != nil {
		return
	}
	_, _ = io.CopyN(io.Discard, c, maxBody)
}
