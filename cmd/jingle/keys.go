package main

import (
	"context"
	"errors"
	"os"
	"sync"

	"golang.org/x/term"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// keysHelp is shown when the keys begin to work.
const keysHelp = "keys: 0-9 * # send digits, m mute, h hold, q hang up, ? help"

// keyboard is the terminal's keys, one by one, while a call is followed. Without a terminal there are none.
type keyboard struct {
	keys    <-chan byte
	restore func()
}

// typed is what is read from the terminal. A read cannot be interrupted, so there is one reader as long as the program runs,
// and what is typed while nobody listens is lost.
var typed = sync.OnceValue(func() <-chan byte {
	out := make(chan byte)
	go func() {
		var b [1]byte
		for {
			n, err := os.Stdin.Read(b[:])
			if err != nil {
				return
			}
			if n == 1 {
				out <- b[0]
			}
		}
	}()
	return out
})

// openKeyboard lets keys through at once, without echo, if there is a terminal on both sides and the events are for people.
func openKeyboard(p *printer) *keyboard {
	none := &keyboard{restore: func() {}}
	fd := int(os.Stdin.Fd())
	if !p.tty || !term.IsTerminal(fd) {
		return none
	}
	restore, err := eachKey(fd)
	if err != nil {
		return none
	}
	return &keyboard{keys: typed(), restore: restore}
}

// errHungUp says that a key asked for the end.
var errHungUp = errors.New("hung up by a key")

// press does what a key stands for. Its error is errHungUp, or of a request.
func (c *conversation) press(ctx context.Context, s *session, p *printer, key byte) error {
	control := func(req *jingledv1.ControlCallRequest) error {
		req.Account, req.Sid = c.account, c.sid
		_, err := s.Calls.ControlCall(ctx, req)
		return err
	}
	switch {
	case key == 'q':
		return errHungUp
	case !c.connected: // nobody to send it to
	case key >= '0' && key <= '9', key == '*', key == '#', key >= 'A' && key <= 'D':
		if _, err := s.Calls.SendDtmf(ctx, &jingledv1.SendDtmfRequest{Account: c.account, Sid: c.sid, Digits: string(key)}); err != nil {
			return err
		}
		p.line("sent %c", key)
	case key == 'm':
		on := !c.muted
		if err := control(&jingledv1.ControlCallRequest{Mute: &on}); err != nil {
			return err
		}
		c.muted = on
		p.line("%s", map[bool]string{true: "muted; m speaks again", false: "not muted"}[on])
	case key == 'h':
		on := !c.held
		if err := control(&jingledv1.ControlCallRequest{Hold: &on}); err != nil {
			return err
		}
		c.held = on
		p.line("%s", map[bool]string{true: "on hold; h goes on", false: "not on hold"}[on])
	case key == 't' && c.sentOn != "":
		c.sentOn = ""
		if _, err := s.Calls.FollowTransfer(ctx, &jingledv1.FollowTransferRequest{Account: c.account, Sid: c.sid}); err != nil {
			return err
		}
	case key == '?':
		p.line(keysHelp)
	}
	return nil
}
