package main

import (
	"context"
	"errors"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
)

// watcher is an open stream of events.
type watcher struct {
	events chan *jingledv1.Event
	err    error // valid once events is closed
	cancel context.CancelFunc
	done   chan struct{}
}

// watch opens the stream and waits for its first event, so that nothing that is asked for afterwards can be missed.
func (s *session) watch(ctx context.Context, welcome ...*jingledv1.Welcome) (*watcher, error) {
	// An interrupt ends what waits, but not the stream: the end of a call that is hung up comes by it.
	begin := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(begin))
	defer context.AfterFunc(begin, cancel)()
	stream, err := s.Events.Watch(ctx, &jingledv1.WatchRequest{Welcome: welcome})
	if err != nil {
		cancel()
		return nil, err
	}
	if !stream.Receive() {
		cancel()
		return nil, errors.Join(stream.Err(), stream.Close())
	}
	w := &watcher{events: make(chan *jingledv1.Event), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		defer close(w.events)
		for stream.Receive() {
			select {
			case w.events <- stream.Msg().GetEvent():
			case <-ctx.Done():
			}
		}
		w.err = stream.Err()
		_ = stream.Close()
	}()
	return w, nil
}

// close ends the stream; its goroutine sees that by the context.
func (w *watcher) close() {
	w.cancel()
	<-w.done
}

// next waits for an event. It reports the end of a standalone daemon as its error.
func (s *session) next(ctx context.Context, w *watcher) (*jingledv1.Event, error) {
	select {
	case e, ok := <-w.events:
		if ok {
			return e, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if w.err != nil && connect.CodeOf(w.err) != connect.CodeCanceled {
			return nil, w.err
		}
		select {
		case err := <-s.failed:
			return nil, err
		default:
			return nil, errors.New("the daemon has stopped")
		}
	case err := <-s.failed:
		return nil, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// online waits until the account can be used, and returns its bare address.
func (s *session) online(ctx context.Context, w *watcher, name string) (string, error) {
	res, err := s.Daemon.ListAccounts(ctx, &jingledv1.ListAccountsRequest{})
	if err != nil {
		return "", s.cause(err)
	}
	bare := jid.JID(name).Bare().String()
	if name != "" {
		j, err := jid.Parse(name)
		if err != nil {
			return "", &exitError{exitUsage, err}
		}
		bare = j.Bare().String()
	}
	accounts := res.GetAccounts()
	switch {
	case len(accounts) == 0:
		return "", errors.New("the daemon has no account: add one with jingle account add JID")
	case bare == "" && len(accounts) > 1:
		return "", exitf(exitUsage, "the daemon has %d accounts: say which one with --account", len(accounts))
	case bare == "":
		bare = accounts[0].GetJid()
	}
	for _, a := range accounts {
		if a.GetJid() == bare {
			return bare, s.waitOnline(ctx, w, a)
		}
	}
	return "", exitf(exitUsage, "the daemon has no account %s", bare)
}

func (s *session) waitOnline(ctx context.Context, w *watcher, a *jingledv1.Account) error {
	for {
		switch a.GetState() {
		case jingledv1.AccountState_ACCOUNT_STATE_ONLINE:
			return nil
		case jingledv1.AccountState_ACCOUNT_STATE_STOPPED:
			// A standalone daemon says the same with an error that has a type.
			select {
			case err := <-s.failed:
				return err
			default:
			}
			if s.failed == nil {
				return exitf(exitAuth, "%s cannot log in: %s", a.GetJid(), a.GetError())
			}
		}
		e, err := s.next(ctx, w)
		if err != nil {
			return err
		}
		if c := e.GetAccountChanged(); c.GetJid() == a.GetJid() {
			a = c
		}
	}
}

// cause prefers the reason why a standalone daemon ended over the failed request that showed it.
func (s *session) cause(err error) error {
	select {
	case e := <-s.failed:
		return e
	default:
		return err
	}
}
