// Package daemon is Jingled itself, to be embedded in a Go program: accounts, their calls and their file transfers,
// and the services of the local API without a transport.
//
//	d, err := daemon.New(daemon.Config{Accounts: []daemon.Account{{JID: "alice@example.org", Password: pw}}})
//	sub, err := d.Subscribe(0) // before Run, so that no event is missed
//	go d.Run(ctx)
//	e, err := sub.Next(ctx) // in a loop: AccountChanged says when she is online
//	res, err := d.StartCall(ctx, &jingledv1.StartCallRequest{Peer: "bob@example.org"})
//
// The program examples/embed-go is all of it. Requests and events are the messages of package api/jingled/v1, so that what
// is embedded and what goes over the socket is the same. There is no global state: a process may have several daemons.
package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/daemon/tunnel"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp/caps"
)

// APIMinor is the minor version of jingled.v1 that is served.
const APIMinor = 3

// Daemon is made by [New] and driven by [Daemon.Run]. Its methods may be called from any goroutine.
type Daemon struct {
	cfg   Config
	hub   hub
	state *state.Store // nil: no history is kept
	// up and down are the limits of all files; nil: none.
	up, down *rate.Limiter
	caps     *caps.Cache
	lent     sync.WaitGroup // accounts of tunnels, and those that came after Run began

	editing chan struct{} // holds one token: whoever changes accounts

	mu       sync.Mutex
	accounts []*account // is replaced, never changed
	life     context.Context
	tunnels  map[string]*tunnel.Tunnel // by the names that their hosts know
	welcomes map[*Subscription][]welcome
}

// New checks the configuration, opens the state and returns a daemon that is not connected yet. It has to be closed. If
// another daemon has the state, the error wraps [state.ErrInUse].
func New(cfg Config) (*Daemon, error) {
	cfg.Accounts = slices.Clone(cfg.Accounts)
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("daemon: %w", err)
	}
	d := &Daemon{cfg: cfg, up: transfers.NewLimiter(cfg.UploadLimit), down: transfers.NewLimiter(cfg.DownloadLimit), editing: make(chan struct{}, 1), tunnels: make(map[string]*tunnel.Tunnel), welcomes: make(map[*Subscription][]welcome)}
	d.hub.instance = rand.Text()
	if cfg.StateDir != "" {
		if d.state, err = state.Open(cfg.StateDir, state.Config{}); err != nil {
			return nil, fmt.Errorf("daemon: %w", err)
		}
	}
	d.caps = d.newCaps()
	if err := d.restore(); err != nil {
		return nil, errors.Join(fmt.Errorf("daemon: %w", err), d.Close())
	}
	for _, a := range d.cfg.Accounts {
		acc, err := newAccount(d, a)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("daemon: account %s: %w", a.JID, err), d.Close())
		}
		d.accounts = append(d.accounts, acc)
	}
	return d, nil
}

// Close frees what [New] has opened. It is called after Run has returned, or in place of it.
func (d *Daemon) Close() error {
	if d.state == nil {
		return nil
	}
	return d.state.Close()
}

// Run connects every account and serves until ctx ends; then it ends calls and transfers, says goodbye, and returns
// nil when all that it started has ended. An account that cannot log in stays stopped and does not end the others,
// unless it is to fail fast.
func (d *Daemon) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	d.mu.Lock()
	d.life = ctx
	accounts := d.accounts
	d.mu.Unlock()
	for _, a := range accounts {
		g.Go(func() error { return d.drive(ctx, a) })
	}
	g.Go(func() error {
		// Calls look for another path at once, before they notice that the old one is gone.
		agent.Watch(ctx, func() {
			for _, a := range d.all() {
				a.networkChanged()
			}
		})
		return nil
	})
	err := g.Wait()
	d.mu.Lock()
	d.life = nil // whoever opens a tunnel now sees that it is too late
	d.mu.Unlock()
	d.lent.Wait()
	return err
}

// Subscribe returns a stream of events: from now on, or those after the event numbered since. Each welcome admits
// what the policies would refuse for as long as the subscription is open.
func (d *Daemon) Subscribe(since uint64, welcomes ...*jingledv1.Welcome) (*Subscription, error) {
	var ws []welcome
	for _, w := range welcomes {
		in := welcome{account: jid.JID(w.GetAccount()).Bare(), calls: w.GetCalls(), files: w.GetFiles(), policy: Policy{From: Listed}}
		if len(w.GetFrom()) == 0 {
			in.policy.From = Everyone
		}
		for _, f := range w.GetFrom() {
			j, err := jid.Parse(f)
			if err != nil {
				return nil, connect.NewError(connect.CodeInvalidArgument, err)
			}
			in.policy.List = append(in.policy.List, j)
		}
		ws = append(ws, in)
	}
	var s *Subscription
	s = d.hub.subscribe(since, func() {
		d.mu.Lock()
		delete(d.welcomes, s)
		d.mu.Unlock()
		d.attend()
	})
	d.attend()
	if len(ws) > 0 {
		d.mu.Lock()
		d.welcomes[s] = ws
		d.mu.Unlock()
		for _, a := range d.all() {
			a.greet()
		}
	}
	return s, nil
}

// attend has every account look whether it is in use.
func (d *Daemon) attend() {
	for _, a := range d.all() {
		a.attend()
	}
}

// admitted returns the policies of the subscriptions for one account.
func (d *Daemon) admitted(account jid.JID) []welcome {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []welcome
	for _, ws := range d.welcomes {
		for _, w := range ws {
			if w.account == "" || w.account == account {
				out = append(out, w)
			}
		}
	}
	return out
}

// account finds the account that a request means.
func (d *Daemon) account(name string) (*account, error) {
	if name == "" {
		switch all := d.all(); len(all) {
		case 1:
			return all[0], nil
		case 0:
			return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("there is no account"))
		}
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("there are several accounts: say which one"))
	}
	j, err := jid.Parse(name)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	for _, a := range d.all() {
		if a.cfg.JID == j.Bare() {
			return a, nil
		}
	}
	return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("there is no account %s", j.Bare()))
}

// some returns the named account, or all of them for an empty name.
func (d *Daemon) some(name string) ([]*account, error) {
	if name == "" {
		return d.all(), nil
	}
	a, err := d.account(name)
	if err != nil {
		return nil, err
	}
	return []*account{a}, nil
}
