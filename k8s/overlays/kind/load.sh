#!/usr/bin/env bash
# Runs a load test in the cluster of KUBE_CONTEXT, else in that of make kind, and shows its result: load.sh SCENARIO. Environment variables of loadtest/lib/settings.js win.
set -euo pipefail
scenario=${1:-browse} name=k6-${1:-browse}-$(date +%s)
case $scenario in
smoke) defaults="RATE=20 DURATION=15s LISTINGS=2000 HOT=500" ;; # does everything work?
browse) defaults="RATE=200 DURATION=2m" ;;                      # visitors of a portal
hot) defaults="RATE=400 DURATION=2m HOT=20" ;;                  # everybody looks at the same few
writes) defaults="RATE=200 DURATION=2m WRITES=0.05" ;;          # sellers are busy, too
*) echo "load.sh: no scenario $scenario; there are smoke, browse, hot and writes" >&2 && exit 2 ;;
esac
for default in $defaults; do
	variable=${default%%=*}
	if [ -z "${!variable:-}" ]; then declare "$variable=${default#*=}"; fi
done
settings=()
for variable in RATE DURATION SEED LISTINGS HOT WRITES STRATEGY; do
	if [ -n "${!variable:-}" ]; then settings+=("$variable=${!variable}"); fi
done
echo "$scenario: ${settings[*]}"
kubectl="kubectl --context ${KUBE_CONTEXT:-kind-strata} --namespace strata"
$kubectl create job "$name" --from=cronjob/k6 --dry-run=client --output=json |
	kubectl set env --local --filename=- --output=json "${settings[@]}" |
	$kubectl create --filename=- --output=name
$kubectl wait --for=condition=complete --timeout=15m "job/$name" >/dev/null 2>&1 &
complete=$!
$kubectl wait --for=condition=failed --timeout=15m "job/$name" >/dev/null 2>&1 &
failed=$!
trap 'kill $complete $failed 2>/dev/null || true' EXIT
wait -n $complete $failed || true
$kubectl logs "job/$name"
test "$($kubectl get job "$name" --output='jsonpath={.status.succeeded}')" = 1
