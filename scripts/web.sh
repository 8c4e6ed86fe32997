#!/usr/bin/env bash
# Bundles the web phone from web/src into web/dist, or with --check says whether what is there is what would be written.
# `make web` and `make web-check` build the bundler that it uses, into bin/.
set -euo pipefail
cd "$(dirname "$0")/.."

out=web/dist
if [ "${1:-}" = --check ]; then
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
# Older browsers are not asked for: light-dark() and WebRTC as it is used here are in all of these.
bin/esbuild --log-level=warning --bundle --minify --charset=utf8 --legal-comments=none --format=esm \
	--target=chrome123,firefox121,safari17.5 --outdir="$out" \
	phone=web/src/main.ts phone=web/src/phone.css
cp web/src/index.html web/src/icon.svg "$out"/

if [ "${1:-}" = --check ] && ! diff -rq "$out" web/dist; then
	echo "What is in web/dist is not made of web/src: run make web."
	exit 1
fi
