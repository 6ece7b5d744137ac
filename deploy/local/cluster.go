package local

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// clusterSlots is how many hash slots a Redis Cluster has.
const clusterSlots = 16384

// RedisCluster is a Redis Cluster of three masters without replicas, each with a third of the slots. It goes on with the other slots when a
// node is gone. It ends with the Stack.
type RedisCluster struct {
	URL string // names all nodes: redis://:password@a:1?addr=b:2&addr=c:3

	stack *Stack
	nodes []*clusterNode // Stack.mu guards them
}

type clusterNode struct {
	name    string
	port    int
	process *Process // nil while it is killed
}

// StartRedisCluster starts three nodes, has them meet, and returns when each finds the cluster whole. It needs a real Redis or Valkey, of version 7 or later.
func (s *Stack) StartRedisCluster(ctx context.Context) (*RedisCluster, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	program := look(ctx, s.cfg).redis
	if program == "" {
		return nil, errors.New("a Redis Cluster needs redis-server or valkey-server")
	}
	s.clusters++
	c := &RedisCluster{stack: s}
	for i := range 3 {
		node := &clusterNode{name: fmt.Sprintf("redis-cluster-%d-%d", s.clusters, i+1)}
		c.nodes = append(c.nodes, node)
		if err := os.Mkdir(filepath.Join(s.Dir, node.name), 0o700); err != nil {
			return nil, err
		}
		if err := s.user.own(filepath.Join(s.Dir, node.name)); err != nil {
			return nil, err
		}
		err := s.onFreePort(func(port int) error {
			node.port = port
			return c.run(ctx, program, node)
		})
		if err != nil {
			return nil, fmt.Errorf("starting node %d: %w", i+1, err)
		}
	}
	first := url.URL{Scheme: "redis", User: url.UserPassword("", s.password), Host: address(c.nodes[0].port)}
	others := url.Values{"addr": {address(c.nodes[1].port), address(c.nodes[2].port)}}
	first.RawQuery = others.Encode()
	c.URL = first.String()
	return c, c.join(ctx)
}

// run starts a node. Its cluster bus is 10,000 ports above its own: if either is taken, onFreePort tries another.
func (c *RedisCluster) run(ctx context.Context, program string, node *clusterNode) error {
	s := c.stack
	dir := filepath.Join(s.Dir, node.name)
	config := filepath.Join(dir, "redis.conf")
	err := s.user.writeFile(config, fmt.Sprintf(`bind %s
port %d
requirepass %s
masterauth %[3]s
dir %q
save ""
appendonly no
cluster-enabled yes
cluster-node-timeout 1000
cluster-require-full-coverage no
`, loopback, node.port, s.password, dir))
	if err != nil {
		return err
	}
	node.process, err = s.run(ctx, server{
		name:    node.name,
		args:    []string{program, config},
		signal:  syscall.SIGTERM,
		answers: func(ctx context.Context) error { return pingRedis(ctx, c.nodeURL(node)) },
	})
	return err
}

// join gives each node its slots and introduces them to each other.
func (c *RedisCluster) join(ctx context.Context) error {
	for i, node := range c.nodes {
		err := withRedis(c.nodeURL(node), func(client *redis.Client) error {
			from, to := i*clusterSlots/len(c.nodes), (i+1)*clusterSlots/len(c.nodes)-1
			return errors.Join(
				client.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", i+1).Err(), // or nodes with the same one would have to settle it first
				client.ClusterAddSlotsRange(ctx, from, to).Err(),
				client.ClusterMeet(ctx, loopback, fmt.Sprint(c.nodes[0].port)).Err(),
			)
		})
		if err != nil {
			return fmt.Errorf("joining node %d: %w", i+1, err)
		}
	}
	for _, node := range c.nodes {
		if err := ready(ctx, node.process, func(ctx context.Context) error { return c.whole(ctx, node) }); err != nil {
			return fmt.Errorf("the cluster does not come together: %w", err)
		}
	}
	return nil
}

func (c *RedisCluster) whole(ctx context.Context, node *clusterNode) error {
	return withRedis(c.nodeURL(node), func(client *redis.Client) error {
		info, err := client.ClusterInfo(ctx).Result()
		if err != nil {
			return err
		}
		for _, want := range []string{"cluster_state:ok", fmt.Sprintf("cluster_slots_ok:%d", clusterSlots), fmt.Sprintf("cluster_known_nodes:%d", len(c.nodes))} {
			if !strings.Contains(info, want+"\r\n") {
				return fmt.Errorf("%s does not hold", want)
			}
		}
		return nil
	})
}

// KillNode ends one node, 0 to 2, as a crash would, with all that it held. It returns when it is gone.
func (c *RedisCluster) KillNode(i int) {
	c.stack.mu.Lock()
	defer c.stack.mu.Unlock()
	c.kill(c.nodes[i])
}

func (c *RedisCluster) kill(node *clusterNode) {
	if node.process != nil {
		node.process.end(syscall.SIGKILL)
	}
	node.process = nil
}

// StartNode starts a node again after KillNode, empty, with its port and its slots, and returns when it answers.
func (c *RedisCluster) StartNode(ctx context.Context, i int) error {
	c.stack.mu.Lock()
	defer c.stack.mu.Unlock()
	if c.nodes[i].process != nil {
		return errors.New("a node that runs cannot be started")
	}
	return c.run(ctx, look(ctx, c.stack.cfg).redis, c.nodes[i])
}

// Stop ends all nodes and deletes their files.
func (c *RedisCluster) Stop() error {
	c.stack.mu.Lock()
	defer c.stack.mu.Unlock()
	var errs []error
	for _, node := range c.nodes {
		c.kill(node)
		errs = append(errs, os.RemoveAll(filepath.Join(c.stack.Dir, node.name)))
	}
	return errors.Join(errs...)
}

func (c *RedisCluster) nodeURL(node *clusterNode) string {
	u := url.URL{Scheme: "redis", User: url.UserPassword("", c.stack.password), Host: address(node.port)}
	return u.String()
}
