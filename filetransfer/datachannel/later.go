package datachannel

import (
	"sync"
	"time"
)

// later flushes what waits to be sent, a while after it began to wait.
type later struct {
	due    chan struct{}
	closed chan struct{}
	once   sync.Once
}

// newLater runs until stop is called. flush is called with the lock held; its error is dropped, as the next write has it too.
func newLater(after time.Duration, lock sync.Locker, flush func() error) *later {
	l := &later{due: make(chan struct{}, 1), closed: make(chan struct{})}
	go func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		for {
			select {
			case <-l.due:
			case <-l.closed:
				return
			}
			timer.Reset(after)
			select {
			case <-timer.C:
			case <-l.closed:
				return
			}
			lock.Lock()
			_ = flush()
			lock.Unlock()
		}
	}()
	return l
}

// waits tells that something does now.
func (l *later) waits() {
	select {
	case l.due <- struct{}{}:
	default:
	}
}

func (l *later) stop() { l.once.Do(func() { close(l.closed) }) }
