#!/usr/bin/env bash
# Starts the stack under a project of its own, with ports and volumes of its own, waits until all is healthy, loads it, and asks
# Prometheus whether everything that the boards need arrives. Removes it again. COMPOSE_CHECK_OVERRIDE adds an override file.
set -euo pipefail
cd "$(dirname "$0")/.."

skip() { echo "compose-check: SKIPPED: $1"; exit 0; }
command -v docker >/dev/null || skip "docker is not installed"
docker version >/dev/null 2>&1 || skip "no Docker engine answers"
docker compose version >/dev/null 2>&1 || skip "the Compose plugin is not installed"
engine=$(docker version --format '{{.Server.Version}}')
[ "${engine%%.*}" -ge 25 ] || [ -n "${COMPOSE_CHECK_OVERRIDE:-}" ] || skip "the engine is $engine, and start_interval needs 25.0"

export COMPOSE_PROJECT_NAME=strata-check HTTP_PORT=${HTTP_PORT:-18080} GRAFANA_PORT=${GRAFANA_PORT:-13000} PROMETHEUS_PORT=${PROMETHEUS_PORT:-19090}
export LISTINGS=${LISTINGS:-5000} RATE=${RATE:-50} DURATION=${DURATION:-15s}
files=(-f docker-compose.yml ${COMPOSE_CHECK_OVERRIDE:+-f "$COMPOSE_CHECK_OVERRIDE"})
compose() { docker compose "${files[@]}" "$@"; }

for profiles in "" load logs "load,logs"; do COMPOSE_PROFILES=$profiles compose config --quiet; done
echo "compose-check: the file is valid in every profile"

# Without the images nothing can be tried; that they cannot be fetched is no mistake of ours.
images=$(COMPOSE_PROFILES=load compose config --images | grep -v '^strata:local$' | sort -u)
for image in $images; do
  docker image inspect "$image" >/dev/null 2>&1 || docker pull --quiet "$image" >/dev/null 2>&1 || skip "$image can neither be found nor fetched"
done

trap 'compose --profile "*" down --volumes --remove-orphans >/dev/null 2>&1' EXIT
compose up --detach --build --wait --wait-timeout "${WAIT:-300}"
ready=$SECONDS
echo "compose-check: healthy after $ready s"

# ask succeeds when a query has a result.
ask() { [ -n "$(compose exec -T prometheus promtool query instant http://127.0.0.1:9090 "$1" 2>/dev/null)" ]; }
await() { # what, query: within 30 s of readiness, which is what is promised
  until ask "$2"; do
    if ((SECONDS - ready > ${WITHIN:-30})); then echo "compose-check: FAILED: $1: no result for $2"; exit 1; fi
    sleep 1
  done
  echo "compose-check: after $((SECONDS - ready)) s: $1"
}
services=$(compose config --services)
has() { grep -qx "$1" <<<"$services" || { echo "compose-check: $1 is left out by the override"; return 1; }; }
for job in $(sed -n 's/^  - job_name: //p' deploy/prometheus/prometheus.yml); do
  service=$(case $job in postgres | redis) echo "$job-exporter" ;; *) echo "$job" ;; esac)
  if has "$service"; then await "$job is scraped" "up{job=\"$job\"} == 1"; fi
done
await "two replicas are scraped" 'count(up{job="strata"} == 1) == 2'
await "visitors are answered" 'sum(rate(strata_answers_total[15s])) > 0'
await "answers come out of a cache" 'sum(rate(strata_answers_total{source=~"view_l1|view_l2|data_l1|data_l2"}[15s])) > 0'
await "Postgres counts statements" 'sum(pg_stat_statements_calls_total) > 0'
await "Redis has keys" 'sum(redis_db_keys) > 0'
await "the feed is read" 'max(strata_feed_age_seconds) < 5'
if has otel-collector; then await "spans arrive at the collector" 'sum(otelcol_receiver_accepted_spans_total) > 0'; fi
await "k6 writes to Prometheus" '{__name__=~"k6_http_reqs_total"}'

# A crossed threshold (99) is a slow machine, not a broken stack.
code=0
compose --profile load run --rm k6 || code=$?
[ "$code" = 0 ] || [ "$code" = 99 ] || { echo "compose-check: FAILED: k6 ended with $code"; exit 1; }
ready=$SECONDS
await "the load run is in Prometheus, as histograms" 'histogram_count(sum(rate(k6_http_req_duration_seconds[1m]))) > 0'
bash deploy/footprint.sh
echo "compose-check: passed"
