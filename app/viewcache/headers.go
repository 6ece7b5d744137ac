package viewcache

import (
	"strconv"
	"time"

	"example.com/strata/app/cache"
	"example.com/strata/app/freshness"
)

// headerCacheStatus is the name of the first line of a block, see appendBlock.
var headerCacheStatus = []byte("Cache-Status")

// The lines of a block after the first, each beginning with the end of the line before.
const (
	lineServerTiming    = "\r\nServer-Timing: "
	lineAsOf            = "\r\nStrata-As-Of: "
	lineAge             = "\r\nAge: "
	lineETag            = "\r\nETag: "
	lineVary            = "\r\nVary: "
	lineCacheControl    = "\r\nCache-Control: "
	lineLastModified    = "\r\nLast-Modified: "
	lineContentEncoding = "\r\nContent-Encoding: "
	lineSurrogateKey    = "\r\nSurrogate-Key: "
)

// names are the caches' names in Cache-Status, by level and layer.
var names = [2][2]string{cache.Data: {"data-l1", "data-l2"}, cache.Views: {"view-l1", "view-l2"}}

// appendCacheStatus writes the field of RFC 9211: one member a layer that was asked, the one nearest the origin first. Where none was, anew says that the
// request wanted it so.
func appendCacheStatus(b []byte, result cache.Result, trail *cache.Trail, anew bool) []byte {
	empty := len(b)
	if trail != nil { // of another request's answer that this one joined, only the label
		data := result.Parts
		if _, read := trail.Source(); !read && result.Source != cache.SourceStale {
			data = [2]cache.Step{}
		}
		b = appendStep(b, names[cache.Data][cache.L2], data[cache.L2])
		b = appendStep(b, names[cache.Data][cache.L1], data[cache.L1])
	}
	b = appendStep(b, names[cache.Views][cache.L2], result.Steps[cache.L2])
	b = appendStep(b, names[cache.Views][cache.L1], result.Steps[cache.L1])
	switch {
	case len(b) > empty:
		return b
	case anew:
		return append(b, "strata; fwd=request"...)
	}
	return append(b, "strata; fwd=bypass"...)
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
	if result.Loaded > 0 && result.Source == cache.SourcePostgres {
		b = append(b, ", load;dur="...)
		b = strconv.AppendFloat(b, result.Loaded.Seconds()*1000, 'f', 3, 64)
	}
	return b
}

// appendAsOf writes the moment that the answer is as new as, by the database's clock: UTC, RFC 3339, microseconds.
func appendAsOf(b []byte, result cache.Result, clock *freshness.Clock) []byte {
	if result.AsOfText != "" {
		return append(b, result.AsOfText...)
	}
	return clock.Database(result.AsOf).UTC().AppendFormat(b, freshness.TimeFormat)
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

// appendDate writes an HTTP-date (RFC 9110, section 5.6.7).
func appendDate(b []byte, unix int64) []byte {
	return time.Unix(unix, 0).UTC().AppendFormat(b, "Mon, 02 Jan 2006 15:04:05 GMT")
}

// appendETag writes the ETag of a form of what has this ETag in identity.
func appendETag(b []byte, etag string, c coding) []byte {
	if c == identity {
		return append(b, etag...)
	}
	b = append(b, etag[:len(etag)-1]...)
	b = append(b, '-')
	b = append(b, codingNames[c]...)
	return append(b, '"')
}

// policy returns the lines that say what others may do with an answer. They are the same for all.
func (c Config) policy(lab bool) string {
	vary := "Accept-Encoding, Strata-Seen"
	if lab {
		vary += ", Strata-Strategy"
	}
	return lineVary + vary + lineCacheControl + c.cacheControl()
}

// cacheControl says it to browsers, which have to ask each time, and to shared caches, which may answer for some moments in our place.
func (c Config) cacheControl() string {
	seconds := func(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
	if c.SharedMaxAge < time.Second {
		return "no-cache"
	}
	text := "max-age=0, s-maxage=" + seconds(c.SharedMaxAge)
	if c.StaleWhileRevalidate >= time.Second {
		text += ", stale-while-revalidate=" + seconds(c.StaleWhileRevalidate)
	}
	if c.StaleIfError >= time.Second {
		text += ", stale-if-error=" + seconds(c.StaleIfError)
	}
	return text
}
