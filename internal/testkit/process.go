package testkit

import (
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// output keeps what a process printed, up to a bound.
type output struct {
	mu  sync.Mutex
	buf []byte
}

// maxOutput is how much of a process's output is kept: its end tells why it failed.
const maxOutput = 1 << 20

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, p...)
	if over := len(o.buf) - maxOutput; over > 0 {
		o.buf = append(o.buf[:0], o.buf[over:]...)
	}
	return len(p), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return string(o.buf)
}

// process is a running program that ends with the test.
type process struct {
	cmd  *exec.Cmd
	out  *output
	done chan struct{} // closed when it has ended
	err  error         // how it has, after done
	once sync.Once
}

// start runs cmd. It is killed when this process dies, and by stop.
func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, out: new(output), done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	killWithParent(cmd)
	started := make(chan error)
	go func() {
		// Linux sends the death signal when the thread that forked ends, so that thread is held while the program runs.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(p.done)
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// stop ends the program, politely first, and waits until it is gone.
func (p *process) stop() {
	p.once.Do(func() {
		_ = interrupt(p.cmd)
		select {
		case <-p.done:
		case <-time.After(5 * time.Second):
		}
		kill(p.cmd) // also what it has left behind, which would keep its output open
		<-p.done
	})
}

// crash ends the program without a warning and waits until it is gone.
func (p *process) crash() {
	p.once.Do(func() {
		kill(p.cmd)
		<-p.done
	})
}

// ended reports whether the program has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// waitPorts waits until all TCP addresses take connections.
func (p *process) waitPorts(limit time.Duration, addrs ...string) error {
	deadline := time.Now().Add(limit)
	for _, addr := range addrs {
		for {
			c, err := net.DialTimeout("tcp", addr, time.Second)
			if err == nil {
				_ = c.Close()
				break
			}
			if p.ended() {
				return fmt.Errorf("it ended at once:\n%s", tail(p.out.String()))
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("nothing listens on %s after %s:\n%s", addr, limit, tail(p.out.String()))
			}
			// There is no event to wait for: a stranger opens its port when it likes.
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// logOnFailure adds what the program printed to the output of a failed test.
func (p *process) logOnFailure(t testing.TB, name string) {
	if t.Failed() {
		t.Logf("%s printed:\n%s", name, tail(p.out.String()))
	}
}

// tail returns the last lines of s.
func tail(s string) string {
	const n = 16 << 10
	if len(s) <= n {
		return s
	}
	s = s[len(s)-n:]
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		s = s[i+1:]
	}
	return "...\n" + s
}
