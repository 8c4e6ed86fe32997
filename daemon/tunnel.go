package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/tunnel"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

// maxTunnels bounds the accounts whose streams others own.
const maxTunnels = 64

// OpenTunnel has an account for as long as ctx lasts, whose stream its caller owns: what is given to send is to be sent by
// that stream, and what it receives for us comes by PushStanzas.
func (d *Daemon) OpenTunnel(ctx context.Context, req *jingledv1.OpenTunnelRequest, send func(*jingledv1.OpenTunnelResponse) error) error {
	full, err := jid.Parse(req.GetJid())
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	t, err := tunnel.New(full)
	if err != nil {
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	defer t.Close()
	if err := d.mayOpenTunnel(full.Bare()); err != nil {
		return err
	}
	a, err := newAccount(d, Account{JID: full.Bare(), tunnel: t})
	if err != nil {
		return connect.NewError(connect.CodeInternal, err)
	}
	name := rand.Text()
	life, err := d.enterTunnel(name, t, a)
	if err != nil {
		t.Close()
		return errors.Join(err, a.discard())
	}
	defer d.leaveTunnel(name, a)
	ready := &jingledv1.TunnelReady{Tunnel: name, Features: a.features(), Requests: a.client.Requests()}
	life, stop := context.WithCancel(life)
	defer stop()
	ended := make(chan error, 1)
	go func() {
		a.keepAccount()
		err := a.run(life)
		t.Close()
		ended <- err
	}()
	err = send(&jingledv1.OpenTunnelResponse{Message: &jingledv1.OpenTunnelResponse_Ready{Ready: ready}})
	if err == nil {
		err = forward(ctx, t, send)
	}
	t.Close()
	stop()
	return errors.Join(err, <-ended)
}

// discard frees what an account holds that was never among the others. Nobody is told, as another one of its address may be.
func (a *account) discard() error {
	a.stop()
	return a.files.run(a.stopped)
}

// forward gives the host what it is to send, until one of both goes away.
func forward(ctx context.Context, t *tunnel.Tunnel, send func(*jingledv1.OpenTunnelResponse) error) error {
	for {
		stanza, err := t.Next(ctx)
		if errors.Is(err, tunnel.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := send(&jingledv1.OpenTunnelResponse{Message: &jingledv1.OpenTunnelResponse_Stanza{Stanza: stanza}}); err != nil {
			return err
		}
	}
}

// enterTunnel adds an account while the daemon runs. The context ends when it stops.
func (d *Daemon) enterTunnel(name string, t *tunnel.Tunnel, a *account) (context.Context, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.mayEnter(a.cfg.JID); err != nil {
		return nil, err
	}
	d.accounts = append(slices.Clip(d.accounts), a) // readers keep the old one
	d.tunnels[name] = t
	d.lent.Add(1)
	return d.life, nil
}

// mayOpenTunnel says early what enterTunnel would say, before anything is made.
func (d *Daemon) mayOpenTunnel(bare jid.JID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mayEnter(bare)
}

// mayEnter reports why there can be no tunnel for this account; d.mu is held.
func (d *Daemon) mayEnter(bare jid.JID) error {
	if len(d.tunnels) >= maxTunnels {
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("there are %d tunnels already", maxTunnels))
	}
	return d.mayAdd(bare)
}

func (d *Daemon) leaveTunnel(name string, a *account) {
	d.leave(a)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.tunnels, name)
	d.lent.Done()
}

// all returns the accounts that there are now. The slice is not changed any more.
func (d *Daemon) all() []*account {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.accounts
}

// PushStanzas takes what a tunnel's host has received.
func (d *Daemon) PushStanzas(_ context.Context, req *jingledv1.PushStanzasRequest) (*jingledv1.PushStanzasResponse, error) {
	d.mu.Lock()
	t := d.tunnels[req.GetTunnel()]
	d.mu.Unlock()
	if t == nil {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("there is no such tunnel, or it has ended"))
	}
	switch err := t.Push(req.GetStanzas()...); {
	case errors.Is(err, tunnel.ErrBusy):
		return nil, connect.NewError(connect.CodeResourceExhausted, err)
	case errors.Is(err, tunnel.ErrClosed):
		return nil, connect.NewError(connect.CodeNotFound, err)
	case err != nil:
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return &jingledv1.PushStanzasResponse{}, nil
}

// borrowOnce makes a client use a tunnel, which is the only stream that it will ever have.
func borrowOnce(t *tunnel.Tunnel) func(context.Context) (xmpp.Stream, error) {
	return func(ctx context.Context) (xmpp.Stream, error) {
		select {
		case <-t.Done():
			<-ctx.Done() // the account ends with its tunnel
			return nil, context.Cause(ctx)
		default:
			return t, nil
		}
	}
}

// tunnelBackoff has nothing to wait for.
var tunnelBackoff = xmpp.Backoff{Min: time.Millisecond, Max: time.Millisecond}
