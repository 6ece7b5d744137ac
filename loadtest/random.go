package main

import "math"

// random is the sequence of numbers that belongs to one index of a seed: SplitMix in 32 bits. It is lib/random.js in Go; a test
// compares the two.
type random struct{ state uint32 }

func newRandom(seed, index uint32) *random {
	return &random{scramble(scramble(seed) ^ index*0x9e3779b1)}
}

// scramble is the finaliser of MurmurHash3: each bit of x changes about half of the result's.
func scramble(x uint32) uint32 {
	x = (x ^ x>>16) * 0x85ebca6b
	x = (x ^ x>>13) * 0xc2b2ae35
	return x ^ x>>16
}

// uniform returns a number of [0, 1).
func (r *random) uniform() float64 {
	r.state += 0x9e3779b9
	return float64(scramble(r.state)) / (1 << 32)
}

// zipf returns a rank of 1 to n, of which k has a probability of about k to the power of -exponent, which is not 1.
func (r *random) zipf(n int, exponent float64) int {
	rest := 1 - exponent
	// The conversion keeps compilers from fusing multiplication and addition, which would round differently from k6.
	product := float64(r.uniform() * (math.Pow(float64(n+1), rest) - 1))
	rank := int(math.Pow(product+1, 1/rest))
	return min(rank, n)
}
