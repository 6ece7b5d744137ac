#!/bin/sh
# Makes a cluster of the six nodes once they all answer; does nothing where there is one already.
set -eu
nodes=""
for i in 0 1 2 3 4 5; do
	host=redis-$i.redis
	until address=$(getent hosts "$host" | cut -d ' ' -f 1) && [ -n "$address" ] && redis-cli -h "$address" ping >/dev/null; do sleep 1; done
	nodes="$nodes $address:6379"
done
if redis-cli -h redis-0.redis cluster info | grep -q '^cluster_state:ok'; then exit; fi
# shellcheck disable=SC2086 # a list of words
redis-cli --cluster create $nodes --cluster-replicas 1 --cluster-yes
