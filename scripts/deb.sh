#!/usr/bin/env bash
# Builds the Debian package of jingle-relay into dist/. ARCH is amd64 (default) or arm64.
set -euo pipefail
cd "$(dirname "$0")/.."
GO=${GO:-go}
export ARCH=${ARCH:-amd64}
export VERSION=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo 0)}
# A Debian version begins with a digit.
case $VERSION in [0-9]*) ;; v[0-9]*) VERSION=${VERSION#v} ;; *) VERSION=0~$VERSION ;; esac
export CGO_ENABLED=0
mkdir -p dist/man
"$GO" build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o bin/jingle-relay ./cmd/jingle-relay
bin/jingle-relay man --dir dist/man >/dev/null
bin/jingle-relay completion bash >dist/jingle-relay.bash
if [ "$ARCH" != amd64 ]; then
	GOARCH=$ARCH "$GO" build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o bin/jingle-relay ./cmd/jingle-relay
fi
[ -x bin/nfpm ] || "$GO" build -modfile=tools/nfpm/go.mod -o bin/nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm
bin/nfpm package --config packaging/relay/nfpm.yaml --packager deb --target dist/
