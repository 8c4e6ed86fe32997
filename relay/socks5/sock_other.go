//go:build !linux

package socks5

import (
	"net"
	"sync"
)

const kernelCounts = false

// tcpBytes is not known here; progress is then what has been moved.
func tcpBytes(*net.TCPConn) (received, acked uint64, ok bool) { return 0, 0, false }

var buffers = sync.Pool{New: func() any { return new([pacedChunk]byte) }}

// move copies what comes next, up to limit bytes.
func move(dst, src *net.TCPConn, limit int64) (int64, error) {
	b := buffers.Get().(*[pacedChunk]byte)
	defer buffers.Put(b)
	n, err := src.Read(b[:min(limit, pacedChunk)])
	if n > 0 {
		if _, werr := dst.Write(b[:n]); werr != nil {
			return int64(n), werr
		}
	}
	return int64(n), err
}
