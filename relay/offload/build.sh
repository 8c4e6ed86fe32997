#!/bin/sh
# Compiles turn.c to the object that is embedded: with Debian's clang and llvm (bookworm: version 14) and libbpf-dev.
# Without debugging information but BTF, and without the path of the tree, the result is the same wherever it is built.
#	./build.sh [output]
set -eu
cd "$(dirname "$0")"
out=${1:-turn.o}
${CLANG:-clang} -O2 -g -target bpf -mcpu=v3 -Wall -Werror -I"/usr/include/$(uname -m)-linux-gnu" -ffile-prefix-map="$PWD"=. -c turn.c -o "$out"
${STRIP:-llvm-strip} -g "$out"
