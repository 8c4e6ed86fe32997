package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// The bounds of hooks.
const (
	defaultHookTime = time.Minute
	maxHooks        = 4       // that run at once in an account; the others wait
	maxHookOutput   = 4 << 10 // bytes that go to the log
)

// Hook is a command that runs when a file has arrived or was sent. No shell is involved, and nothing of the peer is among
// its arguments: what there is to know stands in the environment, in JINGLED_PATH (of the file, on this machine), JINGLED_NAME,
// JINGLED_SIZE (bytes), JINGLED_DIRECTION ("in" or "out"), JINGLED_ACCOUNT, JINGLED_PEER, JINGLED_TRANSPORT,
// JINGLED_ENCRYPTION and JINGLED_HASH ("sha-256:hex", or empty).
type Hook struct {
	// Command is the program, as an absolute path, and its arguments. Empty: there is no hook.
	Command []string
	// Sent runs it for files that were sent, too.
	Sent bool
	// Timeout is how long it may run (default 1 min); then it is killed.
	Timeout time.Duration
}

func (h *Hook) validate() error {
	if len(h.Command) == 0 {
		return nil
	}
	if h.Timeout <= 0 {
		h.Timeout = defaultHookTime
	}
	if !filepath.IsAbs(h.Command[0]) {
		return fmt.Errorf("the command %q is not an absolute path", h.Command[0])
	}
	st, err := os.Stat(h.Command[0])
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a program", h.Command[0])
	}
	return err
}

// completed runs the hook for a transfer that is done. It does not wait for it.
func (a *account) completed(x *transfer, done *jingledv1.TransferDone) {
	h := a.d.cfg.Completed
	if len(h.Command) == 0 || !x.incoming && !h.Sent {
		return
	}
	a.mu.Lock()
	direction := "out"
	if x.incoming {
		direction = "in"
	}
	hash := ""
	for algo, sum := range done.GetHash() {
		hash = algo + ":" + sum
	}
	env := []string{
		"JINGLED_PATH=" + done.GetPath(), "JINGLED_NAME=" + x.name, "JINGLED_SIZE=" + strconv.FormatUint(done.GetBytes(), 10),
		"JINGLED_DIRECTION=" + direction, "JINGLED_ACCOUNT=" + a.cfg.JID.String(), "JINGLED_PEER=" + x.peer.String(),
		"JINGLED_TRANSPORT=" + done.GetTransport(), "JINGLED_ENCRYPTION=" + done.GetEncryption(), "JINGLED_HASH=" + hash,
	}
	a.mu.Unlock()
	// The end of the daemon waits for it: it is bounded.
	a.journals.tasks.Go(func() {
		a.hooks <- struct{}{}
		defer func() { <-a.hooks }()
		out, err := h.run(context.Background(), env)
		log := a.log.With("command", h.Command[0], "path", done.GetPath(), "output", string(out))
		if err != nil {
			log.Warn("the command for files failed", "err", err)
			return
		}
		log.Debug("the command for files has run")
	})
}

// run runs the command and returns the beginning of what it says.
func (h Hook) run(ctx context.Context, env []string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.Timeout, fmt.Errorf("it took longer than %s", h.Timeout))
	defer cancel()
	c := exec.CommandContext(ctx, h.Command[0], h.Command[1:]...)
	out := &bounded{}
	c.Env, c.Stdout, c.Stderr, c.Dir = append(os.Environ(), env...), out, out, os.TempDir()
	c.WaitDelay = time.Second // for what it has started and left behind
	err := c.Run()
	if ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return out.b, err
}

// bounded keeps the beginning of what is written.
type bounded struct{ b []byte }

// Write implements io.Writer; it never fails.
func (b *bounded) Write(p []byte) (int, error) {
	b.b = append(b.b, p[:min(len(p), maxHookOutput-len(b.b))]...)
	return len(p), nil
}
