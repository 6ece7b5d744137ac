package httpapi

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gofiber/fiber/v2"

	"example.com/strata/app/ratelimit"
)

// policyOf returns the policy of so many requests a second, or nil for none.
func policyOf(name string, perSecond int64) *ratelimit.Policy {
	if perSecond <= 0 {
		return nil
	}
	return &ratelimit.Policy{Name: name, Quota: perSecond * int64(ratelimit.Window/time.Second)}
}

// limited returns a handler that counts a request against its client's rate. That of reads stands behind the view cache: a hit costs nothing that would have
// to be rationed, so it is not counted, and the way to it knows nothing of rates.
func (s *Server) limited(p *ratelimit.Policy) fiber.Handler {
	return func(c *fiber.Ctx) error {
		if err := s.limit(c, p); err != nil {
			return err
		}
		return c.Next()
	}
}

// limit returns a failure if the client is over its rate, and says in the answer where it stands (draft-ietf-httpapi-ratelimit-headers-10).
func (s *Server) limit(c *fiber.Ctx, p *ratelimit.Policy) error {
	if p == nil {
		return nil
	}
	v := s.limiter.Take(c.UserContext(), *p, s.clientOf(c))
	seconds := strconv.FormatInt(int64(max(1, (v.Retry+time.Second-1)/time.Second)), 10)
	c.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", p.Name, p.Quota, int64(ratelimit.Window/time.Second)))
	if v.Allowed {
		c.Set("RateLimit", fmt.Sprintf("%q;r=%d", p.Name, v.Left))
		return nil
	}
	c.Set("RateLimit", fmt.Sprintf("%q;r=0;t=%s", p.Name, seconds))
	return &failure{status: 429, detail: "This client has asked more often than it may.", header: http.Header{"Retry-After": {seconds}}}
}

// clientOf names who asks: by the token if it is known, else by the address. Of an IPv6 address that is the network, of which a customer has all addresses.
func (s *Server) clientOf(c *fiber.Ctx) string {
	if len(c.Request().Header.Peek(fiber.HeaderAuthorization)) > 0 {
		if token, err := s.tokenOf(c); err == nil {
			return "token:" + token.Name
		}
	}
	addr := s.addrOf(c)
	if addr.Is6() {
		network, _ := addr.WithZone("").Prefix(64) // it fails for other sizes only
		return "addr:" + network.String()
	}
	return "addr:" + addr.String()
}

// addrOf returns the client's address: the connection's, or if that is a proxy that is trusted, what the nearest proxies say of whom they got the request from. What
// stands further left in X-Forwarded-For anybody can have written.
func (s *Server) addrOf(c *fiber.Ctx) netip.Addr {
	addr, _ := netip.AddrFromSlice(c.Context().RemoteIP())
	addr = addr.Unmap()
	if !s.trusts(addr) {
		return addr
	}
	hops := strings.Split(c.Get(fiber.HeaderXForwardedFor), ",")
	for _, hop := range slices.Backward(hops) {
		before, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			return addr
		}
		if addr = before.Unmap(); !s.trusts(addr) {
			return addr
		}
	}
	return addr
}

func (s *Server) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(s.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}
