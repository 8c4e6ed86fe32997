package daemon

import "sync"

// tasks counts goroutines, so that their end can be waited for. Other than with a sync.WaitGroup more can begin while
// somebody waits.
type tasks struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0 again
}

// Go runs f on a goroutine of its own.
func (t *tasks) Go(f func()) {
	t.mu.Lock()
	if t.n++; t.n == 1 {
		t.idle = make(chan struct{})
	}
	t.mu.Unlock()
	go func() {
		defer t.done()
		f()
	}()
}

func (t *tasks) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 {
		close(t.idle)
	}
}

// Wait returns when nothing runs.
func (t *tasks) Wait() {
	for {
		t.mu.Lock()
		n, idle := t.n, t.idle
		t.mu.Unlock()
		if n == 0 {
			return
		}
		<-idle
	}
}
