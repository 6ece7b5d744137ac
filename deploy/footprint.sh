#!/usr/bin/env bash
# The working set of each container, as docker stats counts it, and of all against the budget. Ends with 1 above it.
set -euo pipefail
cd "$(dirname "$0")/.."
budget=${BUDGET_MIB:-1229} # 1.2 GiB

if ! docker version >/dev/null 2>&1; then echo "no Docker engine answers: make doctor tells more" >&2; exit 1; fi
mapfile -t ids < <(docker compose --profile '*' ps --quiet --status running)
if [ ${#ids[@]} = 0 ]; then echo "the stack does not run: make up starts it" >&2; exit 1; fi
docker stats --no-stream --format '{{.Name}} {{.MemUsage}}' "${ids[@]}" | awk -v budget="$budget" '
  function mib(text) {
    value = text + 0
    if (text ~ /GiB/) return value * 1024
    if (text ~ /KiB|kB/) return value / 1024
    if (text ~ /MiB/) return value
    return value / 1048576
  }
  { used = mib($2); limit = mib($4); total += used; printf "%-28s %7.0f MiB of %5.0f\n", $1, used, limit | "sort -k2 -rn" }
  END { close("sort -k2 -rn"); printf "%-28s %7.0f MiB of %5.0f\n", "all", total, budget; exit total > budget }'
