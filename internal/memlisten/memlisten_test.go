package memlisten_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/jingled/jingled/internal/memlisten"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDialAndAccept(t *testing.T) {
	var l net.Listener = memlisten.New()
	defer l.Close()
	if l.Addr().Network() != "memory" || l.Addr().String() == "" {
		t.Errorf("%v", l.Addr())
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 10 {
			c, err := l.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(c, "hello")
			_ = c.Close()
		}
	})
	for range 10 {
		c, err := l.(*memlisten.Listener).Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); err != nil || string(b) != "hello" {
			t.Errorf("%q, %v", b, err)
		}
		_ = c.Close()
	}
	wg.Wait()
}

func TestClose(t *testing.T) {
	l := memlisten.New()
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept: %v", err)
		}
	})
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if _, err := l.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("dial: %v", err)
	}
}

func TestNobodyAccepts(t *testing.T) {
	l := memlisten.New()
	defer l.Close()
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	if _, err := l.Dial(ctx); !errors.Is(err, reason) {
		t.Error(err)
	}
}
