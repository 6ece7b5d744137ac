// What a scenario is told by environment variables, in one place. The defaults fit `make run`.

const env = (name, fallback) => __ENV[name] || fallback;
const number = (name, fallback) => Number(env(name, fallback));

export const settings = {
  url: env('BASE_URL', 'http://127.0.0.1:8080'),
  rate: number('RATE', 200), // requests a second
  duration: env('DURATION', '20s'),
  seed: number('SEED', 1), // 32 bits
  first: number('FIRST', 0), // number of the first request
  listings: number('LISTINGS', 100000),
  hot: number('HOT', 10000), // listings in demand
  cities: env('CITIES', ''), // slugs with commas, the most popular first; asked of the service if there are none
  writes: number('WRITES', 0), // share of the requests that change a price; they need a token
  token: env('TOKEN', ''),
  strategy: env('STRATEGY', ''), // a tag on every measurement, if there is one; it chooses nothing
  run: env('RUN', ''), // another tag: whoever visits at the same time and writes to the same Prometheus needs one of its own
  summary: env('SUMMARY', ''), // file for the figures as JSON
};
