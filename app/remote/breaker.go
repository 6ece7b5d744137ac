package remote

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/sony/gobreaker/v2"
)

// breakers are those of all nodes of Redis. Each node has its own: a Cluster that has lost a node goes on with the others.
type breakers struct {
	observer Observer

	mu     sync.Mutex
	states map[string]gobreaker.State // by address
}

// guard returns a hook that keeps a client of one node from asking it while it fails.
func (b *breakers) guard(addr string) redis.Hook {
	return nodeGuard{gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{
		Name:         addr,
		Timeout:      time.Second, // then one request may try again
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 5 },
		IsSuccessful: answered,
		IsExcluded:   func(err error) bool { return errors.Is(err, context.Canceled) }, // the caller left; says nothing of Redis
		OnStateChange: func(addr string, from, to gobreaker.State) {
			b.observer.Breaker(addr, from.String(), to.String(), b.changed(addr, to))
		},
	})}
}

// answered reports whether a node did its part: that it has no such key, not yet that script or
// no room, or that another node has the slot, is an answer too.
func answered(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) {
		return true
	}
	_, moved := redis.IsMovedError(err)
	_, ask := redis.IsAskError(err)
	return moved || ask || redis.HasErrorPrefix(err, "NOSCRIPT") || redis.HasErrorPrefix(err, "OOM")
}

// changed notes a node's state and returns the worst of all nodes.
func (b *breakers) changed(addr string, state gobreaker.State) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.states[addr] = state
	worst := 0.0
	for _, s := range b.states {
		worst = max(worst, map[gobreaker.State]float64{gobreaker.StateOpen: 1, gobreaker.StateHalfOpen: 0.5}[s])
	}
	return worst
}

// nodeGuard puts a breaker before what one node is asked.
type nodeGuard struct {
	breaker *gobreaker.CircuitBreaker[struct{}]
}

// DialHook implements redis.Hook.
func (nodeGuard) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (g nodeGuard) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if greets(cmd) {
			return next(ctx, cmd)
		}
		_, err := g.breaker.Execute(func() (struct{}, error) { return struct{}{}, next(ctx, cmd) })
		if refused(err) {
			cmd.SetErr(err)
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (g nodeGuard) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if greets(cmds[0]) {
			return next(ctx, cmds)
		}
		_, err := g.breaker.Execute(func() (struct{}, error) { return struct{}{}, next(ctx, cmds) })
		if refused(err) {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

func refused(err error) bool {
	return errors.Is(err, gobreaker.ErrOpenState) || errors.Is(err, gobreaker.ErrTooManyRequests)
}

// greets reports whether a command belongs to the opening of a connection, which happens inside another command: were it counted
// by itself, the one request that tries a failed node again could not connect.
func greets(cmd redis.Cmder) bool {
	switch cmd.Name() {
	case "hello", "auth", "select", "client", "readonly":
		return true
	}
	return false
}
