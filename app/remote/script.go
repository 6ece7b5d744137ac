package remote

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
)

// ErrNoRedis is returned by a Script of a process that has no Redis.
var ErrNoRedis = errors.New("there is no Redis")

// Script is a Lua script that runs in Redis behind the same deadline and breaker, for what replicas have to agree on beside entries.
type Script struct {
	redis  *Redis // nil without
	script *redis.Script
}

// NewScript returns a script for r, which may be nil. It does not wait for Redis.
func NewScript(r *Redis, source string) *Script { return &Script{r, redis.NewScript(source)} }

// Run returns the numbers that the script returns. It returns ErrNoRedis, or why Redis did not answer: at once if the breaker is open.
func (s *Script) Run(ctx context.Context, name string, args ...any) ([]int64, error) {
	if s.redis == nil {
		return nil, ErrNoRedis
	}
	return s.script.Run(ctx, s.redis.client, []string{s.redis.key(name)}, args...).Int64Slice()
}
