package turn

import (
	"sync"
	"sync/atomic"

	"github.com/jingled/jingled/relay/turn/alloc"
)

// moved remembers which shard owns the allocation of a client that moved (RFC 8016): the kernel spreads clients over
// the loops' sockets by their address, so a moved client's packets may come in at another loop.
type moved struct {
	n  atomic.Int64 // spares loops the lock while nobody moves
	mu sync.RWMutex
	m  map[alloc.FiveTuple]uint16
}

func (m *moved) find(ft alloc.FiveTuple) (uint16, bool) {
	if m.n.Load() == 0 {
		return 0, false
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	i, ok := m.m[ft]
	return i, ok
}

func (m *moved) set(ft alloc.FiveTuple, shard uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.m == nil {
		m.m = map[alloc.FiveTuple]uint16{}
	}
	m.m[ft] = shard
	m.n.Store(int64(len(m.m)))
}

func (m *moved) forget(ft alloc.FiveTuple) {
	if m.n.Load() == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.m, ft)
	m.n.Store(int64(len(m.m)))
}
