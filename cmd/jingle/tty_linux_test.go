package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// terminals are commands of scripts for programs that have a terminal.
func terminals(of func(*testscript.TestScript) *jobs) map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		// tty NAME PROGRAM ARGS...: starts a program on a terminal of its own, whose output goes to NAME.out.
		"tty": func(ts *testscript.TestScript, _ bool, args []string) {
			of(ts).startOnTTY(ts, args[0], args[1], args[2:])
		},
		// type NAME KEYS: presses keys there.
		"type": func(ts *testscript.TestScript, _ bool, args []string) {
			_, err := io.WriteString(of(ts).get(ts, args[0]).tty, args[1])
			ts.Check(err)
		},
		// enter NAME TEXT, or enter NAME -f FILE: types a line, that of a file.
		"enter": func(ts *testscript.TestScript, _ bool, args []string) {
			text := args[1]
			if text == "-f" {
				text = strings.TrimSpace(ts.ReadFile(args[2]))
			}
			_, err := io.WriteString(of(ts).get(ts, args[0]).tty, text+"\r")
			ts.Check(err)
		},
	}
}

// openTTY makes a terminal: what is written to ours is typed, and what is read from it is shown.
func openTTY() (ours, theirs *os.File, err error) {
	ours, err = os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, err
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		theirs, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		_ = ours.Close()
	}
	return ours, theirs, err
}

func (j *jobs) startOnTTY(ts *testscript.TestScript, name, program string, args []string) {
	ours, theirs, err := openTTY()
	ts.Check(err)
	path, err := exec.LookPath(program)
	ts.Check(err)
	cmd := j.command(ts, path, args)
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(name+".err"), nil, 0o600))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, theirs
	ts.Check(cmd.Start())
	_ = theirs.Close()
	one := &job{cmd: cmd, ended: make(chan error, 1), tty: ours}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		_, _ = io.Copy(out, ours) // until nobody has the terminal any more
		_ = out.Close()
	}()
	go func() {
		err := cmd.Wait()
		<-shown
		_ = ours.Close()
		one.ended <- err
	}()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.byID[name] = one
}
