package remote

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// Claim leaves a mark for life where there is nothing, and then returns nil. If something is there by now, it returns that. A
// Redis that refuses, because it is older than 7 or out of memory, has no mark, and says so by an error.
func (r *Redis) Claim(ctx context.Context, name string, mark []byte, life time.Duration) ([]byte, error) {
	ctx, op := r.begin(ctx, Set, "SET")
	command := redis.NewStringCmd(ctx, "set", r.key(name), mark, "nx", "get", "px", life.Milliseconds())
	_ = r.client.Process(ctx, command) // its error is the command's
	there, err := absent(command.Bytes())
	r.observer.End(ctx, op, err)
	return there, err
}

// swap puts a mark in the place of an entry, which is known by its head, or of nothing, or else returns what is there now.
var swap = redis.NewScript(`
	if redis.call('GETRANGE', KEYS[1], 0, string.len(ARGV[1]) - 1) == ARGV[1] or redis.call('EXISTS', KEYS[1]) == 0 then
		redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
		return false
	end
	return redis.call('GET', KEYS[1])`)

// Replace puts a mark for life in the place of the entry that begins with head, or of nothing, and then returns nil. If something
// else is there by now, it returns that.
func (r *Redis) Replace(ctx context.Context, name string, head, mark []byte, life time.Duration) ([]byte, error) {
	ctx, op := r.begin(ctx, Get, "EVALSHA")
	text, err := swap.Run(ctx, r.client, []string{r.key(name)}, head, mark, life.Milliseconds()).Text()
	there, err := absent([]byte(text), err)
	r.observer.End(ctx, op, err)
	return there, err
}

// prolong gives a mark another life if it is still there.
var prolong = redis.NewScript(`
	if redis.call('GET', KEYS[1]) == ARGV[1] then
		return redis.call('PEXPIRE', KEYS[1], ARGV[2])
	end
	return 0`)

// Prolong gives a mark another life, and reports whether it is still there.
func (r *Redis) Prolong(ctx context.Context, name string, mark []byte, life time.Duration) bool {
	ctx, op := r.begin(ctx, Set, "EVALSHA")
	n, err := prolong.Run(ctx, r.client, []string{r.key(name)}, mark, life.Milliseconds()).Int64()
	r.observer.End(ctx, op, err)
	return err == nil && n == 1
}

// unmark removes a mark if it is still there.
var unmark = redis.NewScript(`
	if redis.call('GET', KEYS[1]) == ARGV[1] then
		return redis.call('DEL', KEYS[1])
	end
	return 0`)

// Release removes a mark if it is still there. If that fails, the mark ends by itself.
func (r *Redis) Release(ctx context.Context, name string, mark []byte) {
	ctx, op := r.begin(ctx, Delete, "EVALSHA")
	err := unmark.Run(ctx, r.client, []string{r.key(name)}, mark).Err()
	r.observer.End(ctx, op, err)
}
