package caps

import (
	"container/list"
	"sync"

	"github.com/jingled/jingled/xmpp/disco"
)

// DefaultCacheSize is how many answers a [Cache] keeps unless told otherwise.
const DefaultCacheSize = 1000

// Cache keeps disco#info answers by their hash. Only [Cache.Add] puts something in, and only what passes [Verify], so
// that nobody can speak for the software of somebody else. The zero value is ready. It is safe for concurrent use.
type Cache struct {
	Size int // how many answers to keep; 0 means DefaultCacheSize
	// Added, if set, is called with each answer that [Cache.Add] has taken and did not have, e.g. to keep it for the next
	// run. It is set before the first use.
	Added func(Caps, *disco.Info)

	mu      sync.Mutex
	entries map[key]*list.Element
	recent  list.List // front: used last; values are *entry
}

type key struct{ hash, ver string }

type entry struct {
	key  key
	info *disco.Info
}

// Get returns the answer that stands behind c, or nil. It must not be changed.
func (s *Cache) Get(c Caps) *disco.Info {
	if c.Hash == "" {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[key{c.Hash, c.Ver}]
	if e == nil {
		return nil
	}
	s.recent.MoveToFront(e)
	return e.Value.(*entry).info
}

// Add verifies an answer and keeps it. The error is that of [Verify]; the answer is then good for the entity that gave
// it and for nobody else.
func (s *Cache) Add(c Caps, info *disco.Info) error {
	if err := Verify(info, c); err != nil {
		return err
	}
	if s.put(key{c.Hash, c.Ver}, info) && s.Added != nil {
		s.Added(c, info)
	}
	return nil
}

// put keeps a verified answer, and reports whether it is a new one.
func (s *Cache) put(k key, info *disco.Info) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[k]; e != nil {
		s.recent.MoveToFront(e)
		return false
	}
	if s.entries == nil {
		s.entries = make(map[key]*list.Element)
	}
	s.entries[k] = s.recent.PushFront(&entry{k, info})
	size := s.Size
	if size <= 0 {
		size = DefaultCacheSize
	}
	for len(s.entries) > size {
		old := s.recent.Back()
		delete(s.entries, s.recent.Remove(old).(*entry).key)
	}
	return true
}
