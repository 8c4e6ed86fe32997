#!/usr/bin/env bash
# Writes the Go code of the API's schema, or with --check says whether what is there is what would be written, and whether
# the schema still has all that clients of the released one use. With --release the schema becomes the released one: that
# is a step of making a release, and never mends a check that fails.
# `make generate` and `make generate-check` build the programs that it uses, into bin/.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" = --release ]; then
	bin/buf lint
	bin/buf breaking --against api/baseline.binpb
	bin/buf build --exclude-source-info -o api/baseline.binpb
	exit 0
fi

if [ "${1:-}" != --check ]; then
	bin/buf lint
	bin/buf generate -o api
	exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bin/buf lint
if ! bin/buf breaking --against api/baseline.binpb; then
	echo "The schema breaks clients: add, and keep what is there as it is."
	exit 1
fi
bin/buf generate -o "$tmp"
if ! diff -r -u --exclude='*.proto' --exclude=client --exclude=baseline.binpb api "$tmp" >"$tmp.diff"; then
	head -40 "$tmp.diff"
	rm -f "$tmp.diff"
	echo "The generated code in api/ is not that of the schema: run make generate."
	exit 1
fi
rm -f "$tmp.diff"
