package cache

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"example.com/strata/app/freshness"
)

// errEntry is what decoding L2 bytes that are not an entry of this format returns.
var errEntry = errors.New("not a cache entry of this version")

// entry is a value with everything needed to judge it.
type entry[V any] struct {
	value   V
	absent  bool // the origin said that there is no such value
	stamp   freshness.Stamp
	filled  int64 // Unix nanoseconds, by the clock of the replica that loaded it
	expires int64 // Unix nanoseconds
	early   int64 // Unix nanoseconds; from here on this replica refreshes it before it expires
	size    uint32

	seen       atomic.Uint64 // the ledger's memory of this entry, see freshness.Ledger.Judge
	refreshing atomic.Bool
}

// overhead is about what an entry costs in L1 beside its value: the struct, the map's node, key and stamp.
const overhead = 400

// earliness returns how long before its end an entry that took cost to load is refreshed: cost * -ln(random), so that
// replicas that share an entry do not all refresh it at once. Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic Cache
// Stampede Prevention", VLDB 2015, with the dice thrown once for each entry and replica instead of at each read: a read then
// costs one comparison, and within a replica loads are coalesced anyway.
func earliness(cost time.Duration) int64 {
	return int64(float64(cost) * -math.Log(1-rand.Float64()))
}

// The form in L2: version, flags, filled, expires, cost of loading (varints), stamp, payload.
const (
	entryVersion = 1
	flagAbsent   = 1
)

func appendEntry[V any](b []byte, e *entry[V], cost time.Duration, payload []byte) []byte {
	flags := byte(0)
	if e.absent {
		flags = flagAbsent
	}
	b = append(b, entryVersion, flags)
	b = binary.AppendVarint(b, e.filled)
	b = binary.AppendVarint(b, e.expires)
	b = binary.AppendVarint(b, int64(cost))
	b, _ = e.stamp.AppendBinary(b) // never fails
	return append(b, payload...)
}

// decodeEntry reads everything but the value, and returns the payload that holds it, a part of b. It returns errEntry for other
// bytes.
func decodeEntry[V any](b []byte) (*entry[V], []byte, error) {
	if len(b) < 2 || b[0] != entryVersion {
		return nil, nil, errEntry
	}
	e := &entry[V]{absent: b[1]&flagAbsent != 0, size: uint32(len(b)) + overhead}
	rest := b[2:]
	var numbers [3]int64
	for i := range numbers {
		n, size := binary.Varint(rest)
		if size <= 0 {
			return nil, nil, errEntry
		}
		numbers[i], rest = n, rest[size:]
	}
	stamp, payload, err := freshness.DecodeStamp(rest)
	if err != nil {
		return nil, nil, errEntry
	}
	e.filled, e.expires, e.stamp = numbers[0], numbers[1], stamp
	e.early = e.expires - earliness(time.Duration(numbers[2]))
	return e, payload, nil
}
