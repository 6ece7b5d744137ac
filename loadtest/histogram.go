package main

import (
	"math"
	"slices"
	"time"

	"example.com/strata/loadtest/report"
)

// grid returns the upper bounds of a distribution's buckets: ten to a factor of 3.16, from 10 µs to 100 s. All distributions of a report
// have the same, so that they can be laid over each other.
func grid() []float64 {
	var bounds []float64
	for i := range 141 {
		bounds = append(bounds, 1e-5*math.Pow(10, float64(i)/20))
	}
	return bounds
}

// trim leaves out the empty buckets at both ends, but for one at the lower: it says where the first bucket with a count begins.
func trim(buckets []report.Bucket) []report.Bucket {
	filled := func(b report.Bucket) bool { return b.Count > 0 }
	first := slices.IndexFunc(buckets, filled)
	if first < 0 {
		return []report.Bucket{}
	}
	last := len(buckets) - 1
	for !filled(buckets[last]) {
		last--
	}
	return buckets[max(first-1, 0) : last+1]
}

// distribution counts durations into buckets.
func distribution(durations []time.Duration) []report.Bucket {
	bounds := grid()
	buckets := make([]report.Bucket, len(bounds))
	for i, bound := range bounds {
		buckets[i].UpTo = bound
	}
	for _, d := range durations {
		at, _ := slices.BinarySearch(bounds, d.Seconds())
		buckets[min(at, len(buckets)-1)].Count++
	}
	return trim(buckets)
}

// quantile returns the value below which a share q of the durations lies, which are in ascending order; 0 if there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
