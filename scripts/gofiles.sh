#!/bin/sh
# Prints the project's Go files, whether committed yet or not.
set -eu
cd "$(dirname "$0")/.."
find . -name '*.go' -not -path './bin/*' -not -path './dist/*' -not -path '*/node_modules/*' -not -path './.*/*' | sort
