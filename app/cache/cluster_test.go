package cache

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"example.com/strata/deploy/local"
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
func (r *replica) sources(t *testing.T, keys int) map[Source]int {
	t.Helper()
	from := make(map[Source]int)
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
	cfg := Config{Strategy: Stamped, Remote: at{url: cluster.URL}}
	fresh := func() *replica { return newReplica(t, cfg, o) }
	fresh().sources(t, keys)
	if diff := cmp.Diff(map[Source]int{SourceDataL2: keys}, fresh().sources(t, keys)); diff != "" {
		t.Fatalf("another replica's reads (-want +got):\n%s", diff)
	}

	cluster.KillNode(2)
	survivor := fresh()
	for round := range 2 {
		survivor.l1[Stamped].InvalidateAll()
		survivor.tell(o)
		from := survivor.sources(t, keys)
		if l2 := from[SourceDataL2]; l2 < keys/2 || l2 > keys*5/6 || l2+from[SourcePostgres] != keys {
			t.Errorf("round %d with two nodes of three: %v, want about two thirds from L2 and the rest from the origin", round, from)
		}
	}
	if got := survivor.redis.worst.Load(); got == 0 {
		t.Error("no breaker is open, although a node is gone")
	}
	if err := cluster.StartNode(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all slots are used again", func() bool {
		survivor.l1[Stamped].InvalidateAll()
		survivor.tell(o)
		return survivor.sources(t, keys)[SourceDataL2] == keys
	})
}

func (r *replica) tell(o *origin) { o.tell(r.ledger) }

func TestStrategiesMeanTheSameInACluster(t *testing.T) {
	cluster := startCluster(t)
	o := newOrigin()
	for key := range 30 {
		o.write(key, key)
	}
	cfg := Config{Strategy: Aside, Remote: at{url: cluster.URL}}
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
	stamped := Config{Strategy: Stamped, Remote: at{url: cluster.URL}}
	a, b := newReplica(t, stamped, o), newReplica(t, stamped, o)
	wantRead(t, a, 1, 1001, SourcePostgres)
	wantRead(t, b, 1, 1001, SourceDataL2)
	o.write(1, 2001)
	b.tell(o)
	wantRead(t, b, 1, 2001, SourcePostgres)
}
