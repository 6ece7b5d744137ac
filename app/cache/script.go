package cache

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// ErrNoRedis is returned by a Script of a process that has no Redis.
var ErrNoRedis = errors.New("there is no Redis")

// Script is a Lua script that runs in Redis behind the deadline and the breaker of L2, for what replicas have to agree on beside entries.
type Script struct {
	layers *Layers
	script *redis.Script
}

// NewScript returns a script. It does not wait for Redis.
func NewScript(layers *Layers, source string) *Script {
	return &Script{layers, redis.NewScript(source)}
}

// Run returns the numbers that the script returns. It returns ErrNoRedis, or why Redis did not answer: at once if the breaker is open.
func (s *Script) Run(ctx context.Context, key string, args ...any) ([]int64, error) {
	l2 := s.layers.l2
	if l2 == nil {
		return nil, ErrNoRedis
	}
	return s.script.Run(ctx, l2.client, []string{key}, args...).Int64Slice()
}
