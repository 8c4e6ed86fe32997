#!/usr/bin/env bash
# Builds the Debian packages of jingled and of jingle-relay into dist/. ARCH is amd64 or arm64 (default: this machine's).
set -euo pipefail
cd "$(dirname "$0")/.."
GO=${GO:-go}
HOST=$("$GO" env GOHOSTARCH)
export ARCH=${ARCH:-$HOST}
export VERSION=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo 0)}
# A Debian version begins with a digit; the hash of a commit may, too.
case $VERSION in [0-9]*.*) ;; v[0-9]*.*) VERSION=${VERSION#v} ;; *) VERSION=0~$VERSION ;; esac
export CGO_ENABLED=0
build() { GOARCH=$1 "$GO" build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o bin/ ./cmd/jingle ./cmd/jingled ./cmd/jingle-relay; }
mkdir -p dist/man
build "$HOST" # the programs write their manual pages themselves
bin/jingled man --dir dist/man >/dev/null
for program in jingle jingle-relay; do
	"bin/$program" man --dir dist/man >/dev/null
	for shell in bash zsh fish; do
		"bin/$program" completion "$shell" >"dist/$program.$shell"
	done
done
[ "$ARCH" = "$HOST" ] || build "$ARCH"
[ -x bin/nfpm ] || "$GO" build -modfile=tools/nfpm/go.mod -o bin/nfpm github.com/goreleaser/nfpm/v2/cmd/nfpm
for package in jingled relay; do
	bin/nfpm package --config "packaging/$package/nfpm.yaml" --packager deb --target dist/
done
