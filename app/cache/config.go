package cache

import (
	"log/slog"
	"time"
)

// Config holds the settings that all caches of a process share. Zero values mean the defaults, unless a field says otherwise.
type Config struct {
	Strategy Strategy
	Lab      bool          // let a request choose its strategy, see WithStrategy
	Without  Places        // what is switched off; nothing
	TTL      time.Duration // of an entry of the strategies TTL and Aside; 1 min

	Remote   Remote       // L2; nil: there is none
	Observer Observer     // sees what reads wait for; nil: nobody does
	Log      *slog.Logger // takes what goes wrong and harms nobody; nil: nobody does

	ViewsL1Bytes uint64 // of whole responses in the process; 32 MiB
	DataL1Bytes  uint64 // of decoded values in the process; 32 MiB

	SoftTimeout  time.Duration // a load may take before an expired entry is served in its place; 250 ms
	LoadTimeout  time.Duration // a read may take at all, its own load or another's; 10 s
	StaleIfError time.Duration // an entry may be served after it expired, if the origin fails; 5 min

	// FleetWait is the most that a read waits for another replica that loads the same value, with strategy Stamped. It waits only while
	// that one is heard. 2 s; negative: it does not wait, and no replica tells the others.
	FleetWait time.Duration
	MaxLoads  int           // of all classes at once; 64: some times the usual pool's connections, so that a free one is taken at once
	LoadWait  time.Duration // a load may wait for its turn; 1 s: then ErrOverloaded
}

func (c Config) withDefaults() Config {
	orDefault(&c.TTL, time.Minute)
	orDefault(&c.ViewsL1Bytes, 32<<20)
	orDefault(&c.DataL1Bytes, 32<<20)
	orDefault(&c.SoftTimeout, 250*time.Millisecond)
	orDefault(&c.LoadTimeout, 10*time.Second)
	orDefault(&c.StaleIfError, 5*time.Minute)
	orDefault(&c.FleetWait, 2*time.Second)
	orDefault(&c.MaxLoads, 64)
	orDefault(&c.LoadWait, time.Second)
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func orDefault[T comparable](value *T, byDefault T) {
	var zero T
	if *value == zero {
		*value = byDefault
	}
}
