// The end of a run: a few lines to read, and figures for a program with each class's latency as a whole distribution.

const CLASSES = ['detail', 'search', 'stats', 'write'];

// k6 keeps every observation of a trend until the end, so its percentiles are exact, and many of them draw the distribution.
const PERCENTILES = [];
for (let p = 0.5; p < 99.6; p += 0.5) {
  PERCENTILES.push(p);
}
PERCENTILES.push(99.6, 99.7, 99.8, 99.9, 99.95, 99.99);

export const trendStats = ['count', 'avg', 'min', 'max', ...PERCENTILES.map((p) => `p(${p})`)];

// thresholds has k6 measure each class apart. Only the last two are to be judged; none ends a run, since an overloaded service
// is a result too.
export function thresholds() {
  const all = {};
  for (const name of CLASSES) {
    all[`http_req_duration{name:${name}}`] = ['max>=0'];
  }
  all.dropped_iterations = ['count==0'];
  all.checks = ['rate==1'];
  return all;
}

// summarise is k6's handleSummary. Durations in the file are in seconds.
export function summarise(data, file) {
  const value = (metric, field) => data.metrics[metric]?.values[field] ?? 0;
  const figures = {
    requests: value('http_reqs', 'count'),
    iterations: value('iterations', 'count'),
    dropped: value('dropped_iterations', 'count'),
    errors: value('checks', 'fails'),
    latency: latency(data.metrics.http_req_duration),
    classes: {},
  };
  for (const name of CLASSES) {
    const metric = data.metrics[`http_req_duration{name:${name}}`];
    if (metric?.values.count > 0) {
      figures.classes[name] = latency(metric);
    }
  }
  const out = { stdout: text(figures) };
  if (file) {
    out[file] = JSON.stringify(figures);
  }
  return out;
}

function latency(metric) {
  const v = metric?.values ?? {};
  const seconds = (name) => (v[name] ?? 0) / 1000;
  return {
    count: v.count ?? 0,
    mean: seconds('avg'),
    min: seconds('min'),
    max: seconds('max'),
    percentiles: PERCENTILES.map((p) => [p, seconds(`p(${p})`)]),
  };
}

function text(figures) {
  const line = (name, l) => {
    const at = (p) => (l.percentiles.find(([q]) => q === p)[1] * 1000).toFixed(2).padStart(9);
    return `${name.padEnd(8)}${String(l.count).padStart(9)}${at(50)}${at(95)}${at(99)}\n`;
  };
  let lines = `\n        requests   p50 ms   p95 ms   p99 ms\n${line('all', figures.latency)}`;
  for (const name of Object.keys(figures.classes)) {
    lines += line(name, figures.classes[name]);
  }
  return `${lines}wrong answers: ${figures.errors}, dropped iterations: ${figures.dropped}\n`;
}
