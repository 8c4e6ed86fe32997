#!/usr/bin/env bash
# Writes the Go code of the API's schema, or with --check says whether what is there is what would be written.
# `make generate` and `make generate-check` build the programs that it uses, into bin/.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" != --check ]; then
	bin/buf lint
	bin/buf generate -o api
	exit 0
fi

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bin/buf lint
bin/buf generate -o "$tmp"
if ! diff -r -u --exclude='*.proto' --exclude=client api "$tmp" >"$tmp.diff"; then
	head -40 "$tmp.diff"
	rm -f "$tmp.diff"
	echo "The generated code in api/ is not that of the schema: run make generate."
	exit 1
fi
rm -f "$tmp.diff"
