// Visitors of a property portal at a constant rate of arrivals. Settings: lib/settings.js. Run alone with: k6 run loadtest/browse.js

import http from 'k6/http';
import exec from 'k6/execution';
import { check } from 'k6';
import { settings } from './lib/settings.js';
import { summarise, thresholds, trendStats } from './lib/summary.js';
import { Traffic } from './lib/traffic.js';

// Visitors that can wait at one time before an arrival has to be dropped: all that come in a third of a second.
const vus = Math.min(Math.max(Math.ceil(settings.rate / 3), 20), 400);

export const options = {
  scenarios: {
    browse: {
      executor: 'constant-arrival-rate',
      rate: Math.max(Math.round(settings.rate * 10), 1),
      timeUnit: '10s', // so that a rate need not be whole
      duration: settings.duration,
      preAllocatedVUs: vus,
      maxVUs: vus,
      gracefulStop: '10s',
    },
  },
  systemTags: ['name', 'method', 'status', 'scenario', 'error_code'], // no url: each listing would be a series of its own
  tags: Object.fromEntries(['strategy', 'run'].filter((tag) => settings[tag]).map((tag) => [tag, settings[tag]])),
  thresholds: thresholds(),
  summaryTrendStats: trendStats,
};

// setup returns the cities, the most popular first.
export function setup() {
  if (settings.cities) {
    return settings.cities.split(',');
  }
  const answer = http.get(`${settings.url}/v1/cities`, { tags: { name: 'setup' } });
  return answer.json('items.#.slug');
}

let traffic; // of this visitor; the same for all

export const handleSummary = (data) => summarise(data, settings.summary);

export default function (cities) {
  traffic ??= new Traffic({ ...settings, cities });
  const request = traffic.request(settings.first + exec.scenario.iterationInTest);
  if (request.name === 'write') {
    write(request);
    return;
  }
  const answer = get(request.name, request.path);
  const right = check(answer, { 'the answer is what was asked for': (a) => a.status === 200 && isAbout(a, request) }, { name: request.name });
  complain(right, request, answer);
}

function get(name, path) {
  return http.get(settings.url + path, { tags: { name }, timeout: '10s' });
}

function isAbout(answer, request) {
  switch (request.name) {
    case 'detail':
      return answer.json('id') === request.id;
    case 'search':
      return answer.json('items.#') === 0 || answer.json('items.0.city') === request.city;
    default:
      return answer.json('city') === request.city;
  }
}

// write changes a price as a seller does: look first, then change.
function write(request) {
  const now = get('detail', request.path);
  const price = Math.round((now.status === 200 ? now.json('price_minor') : 0) * request.factor);
  const answer = http.patch(settings.url + request.path, JSON.stringify({ price_minor: price }), {
    headers: { Authorization: `Bearer ${settings.token}`, 'Content-Type': 'application/merge-patch+json' },
    tags: { name: 'write' },
    timeout: '10s',
  });
  const right = check(answer, { 'the price is changed': (a) => a.status === 200 && a.json('price_minor') === price }, { name: 'write' });
  complain(right, request, answer);
}

let complained = false; // this visitor; what goes wrong once goes wrong often

// complain tells the log of the visitor's first answer that was missing or wrong.
function complain(right, request, answer) {
  if (!right && !complained) {
    complained = true;
    console.error(`${request.method} ${request.path}: status ${answer.status} ${answer.error} ${answer.body ?? ''}`.slice(0, 300));
  }
}
