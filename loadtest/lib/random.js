// Random numbers that depend on nothing but seed and index, so that every run draws the same ones. Package main draws them too
// (random.go); a test compares the two.

// scramble is the finaliser of MurmurHash3: each bit of the argument changes about half of the result's.
export function scramble(x) {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

// Random is the sequence that belongs to one index of a seed: SplitMix in 32 bits.
export class Random {
  constructor(seed, index) {
    this.state = scramble(scramble(seed) ^ Math.imul(index, 0x9e3779b1));
  }

  // uniform returns a number of [0, 1).
  uniform() {
    this.state = (this.state + 0x9e3779b9) | 0;
    return scramble(this.state) / 4294967296;
  }

  // zipf returns a rank of 1 to n, of which k has a probability of about k to the power of -exponent, which is not 1. It is the
  // inverse of the continuous distribution's function, rounded down: one draw a rank, no table.
  zipf(n, exponent) {
    const rest = 1 - exponent;
    const rank = Math.floor(Math.pow(this.uniform() * (Math.pow(n + 1, rest) - 1) + 1, 1 / rest));
    return Math.min(rank, n);
  }
}
