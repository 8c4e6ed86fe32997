#!/bin/sh
# Prints the packages whose tests run with a server of other people, for which JINGLED_SERVER chooses.
set -eu
cd "$(dirname "$0")/.."
./scripts/gofiles.sh | grep '_test\.go$' |
	xargs grep -lE 'testkit\.(Each|EachWith|Kinds|Chosen)\(' | xargs -n1 dirname | sort -u | tr '\n' ' '
