package report

import "math"

// total counts the observations of a distribution.
func total(buckets []Bucket) int64 {
	var n int64
	for _, b := range buckets {
		n += b.Count
	}
	return n
}

// quantile returns the value below which the share q of the observations lies, and whether there are any. Inside a bucket
// it goes along a logarithmic scale, as latencies do.
func quantile(buckets []Bucket, q float64) (float64, bool) {
	want := q * float64(total(buckets))
	if want <= 0 && total(buckets) == 0 {
		return 0, false
	}
	var below float64
	var lower float64
	for _, b := range buckets {
		within := float64(b.Count)
		if within > 0 && below+within >= want {
			return between(lower, b.UpTo, (want-below)/within), true
		}
		below += within
		lower = b.UpTo
	}
	return lower, true
}

// between goes the share of the way from lower to upper, on a logarithmic scale where both ends have a logarithm.
func between(lower, upper, share float64) float64 {
	if math.IsInf(upper, 1) {
		return lower
	}
	if lower <= 0 {
		lower = upper / 2 // the first bucket has no lower end: half of its upper one keeps the curve on a log axis
	}
	if lower <= 0 || upper <= 0 {
		return 0
	}
	return lower * math.Pow(upper/lower, share)
}

// mean averages the samples of a timeline.
func mean(samples []Sample) float64 {
	if len(samples) == 0 {
		return 0
	}
	var sum float64
	for _, s := range samples {
		sum += s.Value
	}
	return sum / float64(len(samples))
}
