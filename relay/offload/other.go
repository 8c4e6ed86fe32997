//go:build !linux || !(amd64 || arm64 || riscv64 || loong64)

package offload

import "github.com/jingled/jingled/relay/turn"

// Open fails: only Linux has an offload, on 64-bit little-endian machines.
func Open(Config) (turn.Offloader, error) { return nil, ErrUnsupported }
