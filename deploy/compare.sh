#!/usr/bin/env bash
# Plays each strategy in turn in the stack that Compose runs, with the same visitors, so that the home board shows all of them side by side.
# Each run marks itself on the boards by its strategy and its name. STRATEGIES, DURATION, RATE and WRITES change it.
set -euo pipefail
cd "$(dirname "$0")/.."
# The list that everybody reads, without a program that a laptop may not have.
known=$(sed -n 's/^ *"name": "\([a-z]*\)",*$/\1/p' strategies/strategies.json)
strategies=${STRATEGIES:-$known}
for strategy in $strategies; do
  grep -qx "$strategy" <<<"$known" || { echo "compare: there is no strategy $strategy, only" $known >&2; exit 2; }
done
docker compose version >/dev/null 2>&1 || { echo "compare: needs Docker with the Compose plugin (make doctor says more); make demo compares without Docker" >&2; exit 1; }

configured=${STRATA_STRATEGY:-}
restore() { # what make up would run
  if [ -n "$configured" ]; then export STRATA_STRATEGY=$configured; else unset STRATA_STRATEGY; fi
  docker compose up --detach --wait --no-build strata visitors >/dev/null 2>&1 || true
}
trap restore EXIT
run=compare-$(date +%H%M%S)
echo "Starting the stack ..."
docker compose up --detach --build --wait --remove-orphans >/dev/null
for strategy in $strategies; do
  echo
  echo "$strategy: the replicas start with it, and ${DURATION:-1m} of visitors follow ..."
  export STRATA_STRATEGY=$strategy
  docker compose up --detach --wait --no-build strata proxy visitors >/dev/null
  # A threshold that is missed is a result, and no reason to leave the others out.
  docker compose --profile load run --rm --env RUN="$run" --env STRATEGY="$strategy" k6 || echo "$strategy did not reach all of its marks."
done
echo
echo "All of them, side by side: http://127.0.0.1:${GRAFANA_PORT:-3000}/d/strata-caching (the last 15 minutes)"
