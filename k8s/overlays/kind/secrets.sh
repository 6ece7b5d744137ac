#!/usr/bin/env bash
# Makes up the Secrets of the kind overlay, once for each clone of the repository: files that git ignores and kustomize reads.
set -euo pipefail
cd "$(dirname "$0")"
if [ -e secrets/k6.env ]; then exit; fi # the last one written
random() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }
umask 077
mkdir -p secrets
superuser=$(random) owner=$(random) app=$(random) redis=$(random) token=$(random)
cat >secrets/postgres.env <<X
POSTGRES_PASSWORD=$superuser
STRATA_OWNER_PASSWORD=$owner
STRATA_APP_PASSWORD=$app
X
cat >secrets/postgres-exporter.env <<X
DATA_SOURCE_NAME=postgres://postgres:$superuser@postgres:5432/strata?sslmode=disable
X
echo "REDIS_PASSWORD=$redis" >secrets/redis.env
echo "DATABASE_OWNER_URL=postgres://strata_owner:$owner@postgres:5432/strata?sslmode=disable" >secrets/strata-owner.env
cat >secrets/strata.env <<X
DATABASE_URL=postgres://strata_app:$app@postgres:5432/strata?sslmode=disable
REDIS_URL=redis://:$redis@redis:6379/0
API_TOKENS=demo:$token
X
echo "TOKEN=$token" >secrets/k6.env
