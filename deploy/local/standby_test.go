package local

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
)

func TestStandbyFollowsUntilItIsPausedAndMayBePromoted(t *testing.T) {
	s := start(t, Config{NoRedis: true})
	owner := connect(t, s.OwnerURL)
	exec1(t, owner, `CREATE TABLE kept (id int)`)
	standby, err := s.StartStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	reader := connect(t, standby.URL(s.OwnerURL))
	count := func() string { return ask(t, reader, `SELECT count(*)::text FROM kept`) }
	if got := ask(t, reader, `SELECT pg_is_in_recovery()::text`); got != "true" {
		t.Fatal("it is no standby")
	}
	exec1(t, owner, `INSERT INTO kept VALUES (1)`)
	eventually(t, "the row arrives", func() bool { return count() == "1" })

	if err := standby.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec1(t, owner, `INSERT INTO kept VALUES (2)`)
	if lag, err := standby.Lag(t.Context()); err != nil || lag <= 0 {
		t.Errorf("a paused standby lags by %d bytes, %v", lag, err)
	}
	if got := count(); got != "1" {
		t.Errorf("a paused standby counts %s rows, want 1", got)
	}
	if err := standby.Resume(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second row arrives", func() bool { return count() == "2" })

	standby.Kill()
	if err := standby.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	promoted := connect(t, standby.URL(s.OwnerURL))
	exec1(t, promoted, `INSERT INTO kept VALUES (3)`)
	second, err := standby.StartStandby(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, connect(t, second.URL(s.OwnerURL)), `SELECT count(*)::text FROM kept`); got != "3" {
		t.Errorf("the standby of the promoted one counts %s rows, want 3", got)
	}
	if err := second.Remove(); err != nil {
		t.Error(err)
	}
}

func TestRedisClusterLosesOneThirdOfItsKeysWithANode(t *testing.T) {
	c, err := shared.StartRedisCluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	}()
	options, err := redis.ParseClusterURL(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClusterClient(options)
	defer client.Close()
	for _, key := range []string{"a", "b", "c"} { // slots 15495, 3300, 7365: one at each node
		if err := client.Set(t.Context(), key, key, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.KillNode(1)
	for key, want := range map[string]bool{"a": true, "b": true, "c": false} {
		if err := client.Get(t.Context(), key).Err(); (err == nil) != want {
			t.Errorf("%s without the second node: %v", key, err)
		}
	}
	if err := c.StartNode(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node serves its slots again, empty", func() bool { return errors.Is(client.Get(t.Context(), "c").Err(), redis.Nil) })
}
