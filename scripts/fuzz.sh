#!/usr/bin/env bash
# Runs every fuzz target of the given packages (default: all) for FUZZTIME each, one after the other.
# Minimising is kept short: it stalls a target for up to a minute and finds nothing.
# It goes on after a failure, so that one run shows all of them, and fails at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

FUZZTIME=${FUZZTIME:-60s}
GO=${GO:-go}
[ $# -gt 0 ] || set -- ./...

# go test -list prints a package's targets and then the package.
targets=$("$GO" test -list '^Fuzz' "$@" | awk '
	/^Fuzz/ { names[n++] = $1; next }
	/^ok/   { for (i = 0; i < n; i++) print $2, names[i]; n = 0; next }
	        { n = 0 }')

if [ -z "$targets" ]; then
	echo "no fuzz targets in: $*"
	exit 0
fi

failed=()
while read -r pkg name; do
	echo "== $pkg $name ($FUZZTIME)"
	"$GO" test -run '^$' -fuzz "^$name\$" -fuzztime "$FUZZTIME" -fuzzminimizetime 5x -parallel 1 "$pkg" || failed+=("$pkg $name")
done <<<"$targets"

if [ ${#failed[@]} -gt 0 ]; then
	printf 'failed: %s\n' "${failed[@]}"
	exit 1
fi
echo "all fuzz targets clean"
