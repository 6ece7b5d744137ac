#!/usr/bin/env bash
# Builds all that a release holds from what is committed: release.sh DIRECTORY [COMMIT]. Static binaries for four platforms, an image of
# both architectures of Linux as an OCI layout, an SBOM of each binary, checksums. Nothing in it depends on when, where or by whom it is built.
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd) commit=${2:-HEAD}
cd "$(dirname "$0")/.."
root=$PWD revision=$(git rev-parse "$commit^{commit}")
version=${VERSION:-$(git describe --tags --always "$revision")}
epoch=$(git show --no-patch --format=%ct "$revision")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
git archive "$revision" | tar -x -C "$tree"
cd "$tree"
rm -f "$out"/strata_* "$out"/SHA256SUMS

export CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local
BUILT=$(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ 2>/dev/null || date -u -r "$epoch" +%Y-%m-%dT%H:%M:%SZ)
export VERSION=$version REVISION=$revision BUILT
for platform in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64; do
  name=strata_${version}_${platform%/*}_${platform#*/}
  echo "$name ..."
  GOOS=${platform%/*} GOARCH=${platform#*/} GOAMD64=v1 GOARM64=v8.0 sh app/build.sh "$out/$name" -trimpath
  "$root/bin/cyclonedx-gomod" bin -json -noserial -notimestamp -version "$version" -output "$out/$name.cdx.json" "$out/$name"
  go version -m "$out/$name" | awk '$1 == "dep" && $3 != "" { print "pkg:golang/" $2 "@" $3 }' | while read -r module; do
    grep -qF "\"$module" "$out/$name.cdx.json" || { echo "the SBOM of $name leaves out $module" >&2; exit 1; }
  done
done
echo "strata_${version}_image.oci.tar ..."
(cd tools/image && go run -buildvcs=false . -output "$out/strata_${version}_image.oci.tar" -version "$version" -revision "$revision" -epoch "$epoch" \
  "amd64=$out/strata_${version}_linux_amd64" "arm64=$out/strata_${version}_linux_arm64") >"$out/strata_${version}_image.digest"
cd "$out"
for file in strata_*; do
  { command -v sha256sum >/dev/null && sha256sum "$file" || shasum -a 256 "$file"; }
done >SHA256SUMS
