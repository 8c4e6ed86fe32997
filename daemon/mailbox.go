package daemon

import "sync"

// mailbox is what a goroutine has to do next. Posting never waits.
type mailbox struct {
	mu    sync.Mutex
	queue []func()
	wake  chan struct{} // has one place
}

func newMailbox() *mailbox { return &mailbox{wake: make(chan struct{}, 1)} }

func (m *mailbox) post(f func()) {
	m.mu.Lock()
	m.queue = append(m.queue, f)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// run does what is there.
func (m *mailbox) run() {
	m.mu.Lock()
	queue := m.queue
	m.queue = nil
	m.mu.Unlock()
	for _, f := range queue {
		f()
	}
}
