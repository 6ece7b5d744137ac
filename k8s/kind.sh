#!/usr/bin/env bash
# The cluster of kind.yaml with a registry beside it, and Strata in it: kind.sh up|down REGISTRY, as make kind and make kind-down call it.
set -euo pipefail
cd "$(dirname "$0")/.."
registry=$2 port=${2##*:}
container=strata-registry
for tool in docker kind kubectl; do
	command -v $tool >/dev/null || { echo "make kind needs $tool, which is not installed." >&2 && exit 1; }
done
docker info >/dev/null 2>&1 || { echo "make kind needs a running Docker engine." >&2 && exit 1; }

if [ "$1" = down ]; then
	kind delete cluster --name strata
	docker rm --force --volumes "$container" >/dev/null 2>&1 || true # its images are in a volume without a name
	exit
fi

docker inspect "$container" >/dev/null 2>&1 ||
	docker run --detach --restart unless-stopped --publish "127.0.0.1:$port:5000" --name "$container" registry:2 >/dev/null
kind get clusters 2>/dev/null | grep -qx strata || kind create cluster --config k8s/kind.yaml --wait 2m
docker network connect kind "$container" 2>/dev/null || true # it is there already
# Inside a node "localhost" is the node. Each is told where images of that name are.
for node in $(kind get nodes --name strata); do
	docker exec "$node" mkdir -p "/etc/containerd/certs.d/$registry"
	docker exec --interactive "$node" tee "/etc/containerd/certs.d/$registry/hosts.toml" >/dev/null <<<"[host.\"http://$container:5000\"]"
done
kubectl="kubectl --context kind-strata"
# By this Tilt knows where to push to.
$kubectl apply --filename=- >/dev/null <<X
apiVersion: v1
kind: ConfigMap
metadata:
  name: local-registry-hosting
  namespace: kube-public
data:
  localRegistryHosting.v1: |
    host: "$registry"
X

# The autoscaler asks it; a kind cluster comes without. The nodes' certificates are their own, which it must be told. Without it all works but scaling.
metrics_server=https://github.com/kubernetes-sigs/metrics-server/releases/download/v0.8.0/components.yaml
if ! $kubectl --namespace kube-system get deployment/metrics-server >/dev/null 2>&1; then
	if $kubectl apply --filename="$metrics_server" >/dev/null; then
		$kubectl --namespace kube-system patch deployment metrics-server --type=json \
			--patch='[{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--kubelet-insecure-tls"}]' >/dev/null
	else
		echo "metrics-server cannot be fetched: replicas will not follow the load." >&2
	fi
fi

k8s/overlays/kind/secrets.sh
docker build --quiet --file app/Dockerfile --build-arg VERSION="$(git describe --tags --always --dirty 2>/dev/null || echo unknown)" --tag strata:kind . >/dev/null
# A tag of the contents: the same image starts nothing anew, another one is rolled out.
image=$registry/strata:$(docker image inspect --format '{{.Id}}' strata:kind | cut -d : -f 2 | cut -c 1-12)
docker tag strata:kind "$image"
docker push --quiet "$image" >/dev/null
$kubectl --namespace strata delete job migrate seed --ignore-not-found >/dev/null # a Job cannot be changed
# On the server's side, since a board is larger than what kubectl would write into an annotation.
$kubectl kustomize k8s/overlays/kind | sed "s|$registry/strata:dev|$image|" | $kubectl apply --server-side --force-conflicts --filename=- >/dev/null
for workload in statefulset/postgres deployment/redis deployment/strata deployment/prometheus deployment/grafana; do
	$kubectl --namespace strata rollout status "$workload" --timeout=5m
done
$kubectl --namespace strata wait --for=condition=complete --timeout=5m job/seed
cat <<X

Boards  $kubectl --namespace strata port-forward service/grafana 3000
API     $kubectl --namespace strata port-forward service/proxy 8080
Load    k8s/overlays/kind/load.sh browse (or smoke, hot, writes)
X
