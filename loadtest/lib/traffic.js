// What visitors of a property portal ask for: request number i is the same for everybody who has the same seed. Package main knows
// the same traffic (traffic.go); a test compares the two.

import { Random, scramble } from './random.js';

const DETAIL = 0.7; // of the reads; and
const SEARCH = 0.25; // of the reads. The rest are statistics
const LISTING_EXPONENT = 1.2; // of the popularity of the listings in demand
const CITY_EXPONENT = 0.6; // of the popularity of cities: less steep than their sizes

export class Traffic {
  // seed: 32 bits. listings: their ids are 1 to this. hot: how many of them are in demand. cities: slugs, the most popular first.
  // writes: share of the requests that change a listing.
  constructor({ seed, listings, hot, cities, writes }) {
    Object.assign(this, { seed, listings, hot, cities, writes });
    // The listings in demand are scattered over all: rank r is r strides from a start.
    this.start = scramble(seed) % listings;
    this.stride = coprime(Math.floor(listings * 0.6180339887498949), listings);
  }

  // request returns what visitor number i asks for: a class, a method, a path, what the answer must be about, and of a write the
  // factor by which it changes the price.
  request(i) {
    const random = new Random(this.seed, i);
    const u = random.uniform();
    if (u < this.writes) {
      return this.write(random);
    }
    const read = (u - this.writes) / (1 - this.writes);
    if (read < DETAIL) {
      return this.detail(random);
    }
    return read < DETAIL + SEARCH ? this.search(random) : this.stats(random);
  }

  detail(random) {
    const rank = random.zipf(this.hot, LISTING_EXPONENT);
    const id = 1 + ((this.start + rank * this.stride) % this.listings);
    return { name: 'detail', method: 'GET', path: `/v1/listings/${id}`, id };
  }

  // search returns first pages: a city's landing page, or that with one or two filters or another order.
  search(random) {
    const city = this.city(random);
    const offer = pick(random.uniform(), [0.5, ''], [0.85, '&offer=sale'], [1, '&offer=rent']);
    const type = pick(random.uniform(), [0.92, ''], [0.98, '&type=apartment'], [1, '&type=house']);
    const sort = pick(random.uniform(), [0.92, ''], [1, '&sort=price_asc']);
    return { name: 'search', method: 'GET', path: `/v1/listings?city=${city}${offer}${sort}${type}`, city };
  }

  stats(random) {
    const city = this.city(random);
    return { name: 'stats', method: 'GET', path: `/v1/cities/${city}/stats`, city };
  }

  // write returns a change of price. Sellers do not know what is popular: every listing is as likely.
  write(random) {
    const id = 1 + Math.floor(random.uniform() * this.listings);
    const factor = 0.97 + 0.06 * random.uniform();
    return { name: 'write', method: 'PATCH', path: `/v1/listings/${id}`, id, factor };
  }

  city(random) {
    return this.cities[random.zipf(this.cities.length, CITY_EXPONENT) - 1];
  }
}

function pick(u, ...choices) {
  return choices.find(([below]) => u < below)[1];
}

function coprime(near, n) {
  let candidate = Math.max(near, 1);
  while (gcd(candidate, n) !== 1) {
    candidate++;
  }
  return candidate;
}

function gcd(a, b) {
  return b === 0 ? a : gcd(b, a % b);
}
