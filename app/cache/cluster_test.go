package cache

import (
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"strata/app/telemetry"
	"strata/deploy/local"
)

func startCluster(t *testing.T) *local.RedisCluster {
	t.Helper()
	c, err := stack.StartRedisCluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// sources reads all keys and says how many came from where.
func (r *replica) sources(t *testing.T, keys int) map[telemetry.Source]int {
	t.Helper()
	from := make(map[telemetry.Source]int)
	for key := range keys {
		got, trail := r.read(t, key)
		if got != key {
			t.Fatalf("key %d is %d", key, got)
		}
		source, _ := trail.Source()
		from[source]++
	}
	return from
}

func TestClusterIsSharedAndEachNodesDeathCostsItsSlotsOnly(t *testing.T) {
	const keys = 300
	cluster := startCluster(t)
	o := newOrigin()
	for key := range keys {
		o.write(key, key)
	}
	cfg := Config{Strategy: Stamped, RedisURL: cluster.URL, RedisTimeout: 5 * time.Second}
	fresh := func() *replica { return newReplica(t, cfg, o) }
	fresh().sources(t, keys)
	if diff := cmp.Diff(map[telemetry.Source]int{telemetry.SourceDataL2: keys}, fresh().sources(t, keys)); diff != "" {
		t.Fatalf("another replica's reads (-want +got):\n%s", diff)
	}

	cluster.KillNode(2)
	survivor := fresh()
	for round := range 2 {
		survivor.l1[Stamped].InvalidateAll()
		survivor.tell(o)
		from := survivor.sources(t, keys)
		if l2 := from[telemetry.SourceDataL2]; l2 < keys/2 || l2 > keys*5/6 || l2+from[telemetry.SourcePostgres] != keys {
			t.Errorf("round %d with two nodes of three: %v, want about two thirds from L2 and the rest from the origin", round, from)
		}
	}
	if got := testutil.ToFloat64(survivor.layers.metrics.breakerOpen); got == 0 {
		t.Error("no breaker is open, although a node is gone")
	}
	if err := cluster.StartNode(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all slots are used again", func() bool {
		survivor.l1[Stamped].InvalidateAll()
		survivor.tell(o)
		return survivor.sources(t, keys)[telemetry.SourceDataL2] == keys
	})
}

func (r *replica) tell(o *origin) { o.tell(r.ledger) }

func TestStrategiesMeanTheSameInACluster(t *testing.T) {
	cluster := startCluster(t)
	o := newOrigin()
	for key := range 30 {
		o.write(key, key)
	}
	cfg := Config{Strategy: Aside, RedisURL: cluster.URL, RedisTimeout: 5 * time.Second}
	writer, reader := newReplica(t, cfg, o), newReplica(t, cfg, o)
	reader.sources(t, 30)
	all := make([]int, 30)
	for key := range 30 {
		o.write(key, key+1000)
		all[key] = key
	}
	if got, _ := reader.read(t, 7); got != 7 {
		t.Errorf("aside before Forget: %d, want the old value 7", got)
	}
	writer.Forget(t.Context(), all...) // on all nodes at once: one command could not
	for key := range 30 {
		if got, _ := reader.read(t, key); got != key+1000 {
			t.Errorf("aside after Forget: %d, want %d", got, key+1000)
		}
	}
	stamped := Config{Strategy: Stamped, RedisURL: cluster.URL, RedisTimeout: 5 * time.Second}
	a, b := newReplica(t, stamped, o), newReplica(t, stamped, o)
	wantRead(t, a, 1, 1001, telemetry.SourcePostgres)
	wantRead(t, b, 1, 1001, telemetry.SourceDataL2)
	o.write(1, 2001)
	b.tell(o)
	wantRead(t, b, 1, 2001, telemetry.SourcePostgres)
}

func TestURLSaysWhetherRedisIsACluster(t *testing.T) {
	for url, want := range map[string]bool{
		"redis://a:6379": false, "redis://:x@a:6379/2": false, "unix:///run/redis.sock": false, "rediss://a:6379?cluster=false": false,
		"redis://a:6379?addr=b:6379": true, "rediss://:x@a:6379?addr=b:1&addr=c:2": true, "redis://a:6379?cluster=true": true,
	} {
		if _, cluster := clusterURL(url); cluster != want {
			t.Errorf("%s: cluster is %t, want %t", url, cluster, want)
		}
		tel, err := telemetry.New(t.Context(), telemetry.Config{}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		layers, err := NewLayers(Config{RedisURL: url}, nil, tel)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if err := layers.Close(); err != nil {
			t.Error(err)
		}
	}
}
