#!/bin/sh
# Give the module another path, in every file that names it: tools/module.sh PATH [FOLDER]. FOLDER is a checkout; this one by default.
# A path that others can `go get` begins with a host's name, so with a dot: github.com/you/strata.
set -eu

new=${1:-}
cd "${2:-$(dirname "$0")/..}"

if ! printf %s "$new" | grep -Eq '^[a-z0-9-]+(\.[a-z0-9-]+)+(/[A-Za-z0-9][A-Za-z0-9._~-]*)+$'; then
	echo "module: \"$new\" is no module path such as example.com/strata: a host with a dot, a slash and a name" >&2
	exit 2
fi
old=$(awk '$1 == "module" { print $2; exit }' go.mod)
quoted=$(printf %s "$old" | sed 's/[.]/\\./g')

# The module's own folders, so that nothing else that begins with the same letters is touched.
folders=$(git ls-files '*.go' | sed -n 's|/.*||p' | sort -u | paste -sd '|' -)

git ls-files -z '*go.mod' | xargs -0 sed -i -E "s#^module $quoted(/|\$)#module $new\1#"
git ls-files -z '*.go' | xargs -0 sed -i -E "s#\"$quoted/($folders)(/|\")#\"$new/\1\2#g; s#\"$quoted/\"#\"$new/\"#g"
gofmt -w $(git ls-files '*.go') # the order of imports follows their paths
echo "The module is $new; it was $old."
