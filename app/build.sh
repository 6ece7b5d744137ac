#!/bin/sh
# Builds the service as it is shipped, from the project's root: app/build.sh OUTPUT [FLAG...]. VERSION, REVISION and BUILT (when its source was committed) name it.
#
# grpcnotrace takes golang.org/x/net/trace out of gRPC. Nobody looks at its pages, and they are made by html/template, which calls methods
# whose names the linker cannot know: it would have to keep every exported method of every type that is reached, which is 11 MB.
# -s -w leaves out symbol table and DWARF, a third of the size, which neither stack traces nor pprof need.
set -eu
output=$1
shift
CGO_ENABLED=0 exec go build -buildvcs=false -tags grpcnotrace -ldflags "-s -w -X main.version=${VERSION:-development} -X main.revision=${REVISION:-} -X main.built=${BUILT:-}" "$@" -o "$output" ./app
