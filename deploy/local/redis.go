package local

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// redisServer is a Redis or what stands in for it. Stack.mu guards it.
type redisServer interface {
	// start starts it, empty, and returns when it answers. It returns errPortTaken if it could not have its port.
	start(ctx context.Context, port int) error
	// stop ends it as a crash would.
	stop()
	// pid returns its process id; 0 while it is stopped.
	pid() int
}

// openRedis starts a server from the given program, or a miniredis without one.
func (s *Stack) openRedis(ctx context.Context, program string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if program == "" {
		s.MiniRedis = true
		s.redis = &miniRedis{password: s.password}
	} else {
		s.redis = &redisProcess{stack: s, program: program}
	}
	return s.onFreePort(func(port int) error {
		s.redisPort = port
		u := url.URL{Scheme: "redis", User: url.UserPassword("", s.password), Host: address(port), Path: "/0"}
		s.RedisURL = u.String()
		if err := s.redis.start(ctx, port); err != nil {
			return err
		}
		var err error
		s.RedisVersion, err = s.redisVersion(ctx)
		return err
	})
}

// redisVersion asks Redis who it is.
func (s *Stack) redisVersion(ctx context.Context) (string, error) {
	if s.MiniRedis {
		return "miniredis", nil
	}
	info := ""
	err := withRedis(s.RedisURL, func(client *redis.Client) (err error) {
		info, err = client.Info(ctx, "server").Result()
		return err
	})
	if err != nil {
		return "", err
	}
	version := ""
	for line := range strings.Lines(info) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), ":"); name {
		case "valkey_version": // comes after the redis_version that Valkey claims for old clients
			version = "valkey " + value
		case "redis_version":
			version = "redis " + value
		}
	}
	return version, nil
}

// pingRedis returns no error if Redis answers. It knocks first, since the client would log a closed door, and try it five times.
func pingRedis(ctx context.Context, redisURL string) error {
	u, err := url.Parse(redisURL)
	if err != nil {
		return err
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return err
	}
	conn.Close()
	return withRedis(redisURL, func(client *redis.Client) error { return client.Ping(ctx).Err() })
}

func withRedis(redisURL string, do func(*redis.Client) error) error {
	options, err := redis.ParseURL(redisURL)
	if err != nil {
		return err
	}
	options.MaxRetries = -1 // who asks here asks again himself
	options.ContextTimeoutEnabled = true
	client := redis.NewClient(options)
	return errors.Join(do(client), client.Close())
}

// RedisPID returns the process id of Redis; with MiniRedis our own, and 0 while it is stopped or without Redis.
func (s *Stack) RedisPID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.redis == nil {
		return 0
	}
	return s.redis.pid()
}

// StopRedis ends Redis as a crash would. It returns when it is gone, with all that it held. Without a running Redis it does nothing.
func (s *Stack) StopRedis() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.redis != nil {
		s.redis.stop()
	}
}

// StartRedis starts Redis again after StopRedis, empty, on its port, and returns when it answers.
func (s *Stack) StartRedis(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.redis == nil {
		return errors.New("this stack has no Redis")
	}
	if s.redis.pid() != 0 {
		return errors.New("a Redis that runs cannot be started")
	}
	return s.redis.start(ctx, s.redisPort)
}

// redisProcess is a real server in a process of its own.
type redisProcess struct {
	stack   *Stack
	program string
	process *Process
}

func (r *redisProcess) start(ctx context.Context, port int) error {
	s := r.stack
	// In a file, for everybody may read a command line.
	config := filepath.Join(s.Dir, "redis.conf")
	err := s.user.writeFile(config, fmt.Sprintf("bind %s\nport %d\nrequirepass %s\ndir %q\nsave \"\"\nappendonly no\n", loopback, port, s.password, s.Dir))
	if err != nil {
		return err
	}
	process, err := s.run(ctx, server{
		name:    "redis",
		args:    []string{r.program, config},
		signal:  syscall.SIGTERM,
		answers: func(ctx context.Context) error { return pingRedis(ctx, s.RedisURL) },
	})
	r.process = process
	return err
}

func (r *redisProcess) stop() {
	if r.process != nil {
		r.process.end(syscall.SIGKILL)
	}
	r.process = nil
}

func (r *redisProcess) pid() int {
	if r.process == nil {
		return 0
	}
	return r.process.PID()
}
