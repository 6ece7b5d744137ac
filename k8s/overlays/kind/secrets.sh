#!/usr/bin/env bash
# Makes up the Secrets of the kind overlay, once for each clone of the repository: files that git ignores and kustomize reads.
set -euo pipefail
cd "$(dirname "$0")"
if [ -e secrets/k6.env ]; then exit; fi # the last one written
random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
hash() { printf %s "$1" | if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }
umask 077
mkdir -p secrets
superuser=$(random) owner=$(random) app=$(random) monitor=$(random) token=$(random)
cat >secrets/postgres.env <<X
POSTGRES_PASSWORD=$superuser
STRATA_OWNER_PASSWORD=$owner
STRATA_APP_PASSWORD=$app
STRATA_MONITOR_PASSWORD=$monitor
X
echo "DATA_SOURCE_PASS=$monitor" >secrets/postgres-exporter.env
echo "DATABASE_OWNER_URL=postgres://strata_owner:$owner@postgres:5432/strata?sslmode=disable" >secrets/strata-owner.env
cat >secrets/strata.env <<X
DATABASE_URL=postgres://strata_app:$app@postgres:5432/strata?sslmode=disable
API_TOKENS=demo:listings:write:$(hash "$token")
X
echo "GF_SECURITY_ADMIN_PASSWORD=$(random)" >secrets/grafana.env
echo "TOKEN=$token" >secrets/k6.env
