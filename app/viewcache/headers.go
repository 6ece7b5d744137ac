package viewcache

import (
	"bytes"
	"strconv"
	"time"

	"strata/app/cache"
	"strata/app/telemetry"
)

// The header fields of an answer, in the form that goes out, so that none has to be brought into it on every request.
var (
	headerETag         = []byte("Etag")
	headerCacheControl = []byte("Cache-Control")
	headerCacheStatus  = []byte("Cache-Status")
	headerServerTiming = []byte("Server-Timing")
	headerAsOf         = []byte("Strata-As-Of")
	headerAge          = []byte("Age")

	noCache = []byte("no-cache") // may be kept, must be asked about: the answer to that is cheap
)

// names are the caches' names in Cache-Status, by level and layer.
var names = [2][2]string{cache.Data: {"data-l1", "data-l2"}, cache.Views: {"view-l1", "view-l2"}}

// appendCacheStatus writes the field of RFC 9211: one member a layer that was asked, the one nearest the origin first.
func appendCacheStatus(b []byte, result cache.Result, trail *cache.Trail) []byte {
	empty := len(b)
	if trail != nil {
		b = appendStep(b, names[cache.Data][cache.L2], trail.Step(cache.Data, cache.L2))
		b = appendStep(b, names[cache.Data][cache.L1], trail.Step(cache.Data, cache.L1))
	}
	b = appendStep(b, names[cache.Views][cache.L2], result.Steps[cache.L2])
	b = appendStep(b, names[cache.Views][cache.L1], result.Steps[cache.L1])
	if len(b) == empty {
		return append(b, "strata; fwd=bypass"...)
	}
	return b
}

func appendStep(b []byte, name string, s cache.Step) []byte {
	if s.Outcome == 0 {
		return b
	}
	if len(b) > 0 {
		b = append(b, ", "...)
	}
	b = append(b, name...)
	switch s.Outcome {
	case cache.Hit:
		b = append(b, "; hit; ttl="...)
		b = strconv.AppendInt(b, int64(s.TTL/time.Second), 10)
	case cache.Stale: // RFC 9211 says so by a negative ttl
		b = append(b, "; hit; ttl="...)
		b = strconv.AppendInt(b, int64(s.TTL/time.Second), 10)
		b = append(b, "; detail=stale"...)
	case cache.Miss:
		b = append(b, "; fwd=uri-miss"...)
	case cache.Expired:
		b = append(b, "; fwd=stale; detail=expired"...)
	case cache.Invalidated:
		b = append(b, "; fwd=stale; detail=invalidated"...)
	case cache.Bypassed:
		b = append(b, "; fwd=bypass"...)
	case cache.Failed:
		b = append(b, "; fwd=miss; detail=failed"...)
	}
	if s.Stored {
		b = append(b, "; stored"...)
	}
	if s.Collapsed {
		b = append(b, "; collapsed"...)
	}
	return b
}

// appendServerTiming says where the answer came from and, if it waited for the database, how long, in milliseconds (W3C Server Timing).
func appendServerTiming(b []byte, result cache.Result) []byte {
	b = append(b, "source;desc="...)
	b = append(b, result.Source.String()...)
	if result.Loaded > 0 && result.Source == telemetry.SourcePostgres {
		b = append(b, ", load;dur="...)
		b = strconv.AppendFloat(b, result.Loaded.Seconds()*1000, 'f', 3, 64)
	}
	return b
}

// appendAsOf writes the moment that the answer is as new as: UTC, RFC 3339, microseconds.
func appendAsOf(b []byte, result cache.Result) []byte {
	if result.AsOfText != "" {
		return append(b, result.AsOfText...)
	}
	return result.AsOf.UTC().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
}

// ageOf returns how old an answer may be: since its as-of time, or since it was read where a strategy knows no better. It is negative if
// nothing is known of it.
func ageOf(result cache.Result, trail *cache.Trail) time.Duration {
	switch {
	case trail == nil: // a hit of L1, which read the clock already
		return max(0, result.Age)
	case !result.AsOf.IsZero():
		return max(0, time.Since(result.AsOf))
	case !result.Filled.IsZero():
		return max(0, time.Since(result.Filled))
	}
	return -1
}

func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendInt(b, int64(d/time.Second), 10)
}

// matches reports whether an If-None-Match field names the ETag, by the weak comparison of RFC 9110, section 8.8.3.2.
func matches(field []byte, etag string) bool {
	for len(field) > 0 {
		var item []byte
		item, field, _ = bytes.Cut(field, []byte(",")) // our tags contain no comma, so cutting inside another's does no harm
		item = bytes.TrimPrefix(bytes.TrimSpace(item), []byte("W/"))
		if string(item) == etag || string(item) == "*" {
			return true
		}
	}
	return false
}
