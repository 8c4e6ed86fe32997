package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/jet/pinned"
)

// errNoIdentities says that nobody could be known again.
var errNoIdentities = errors.New("this daemon keeps no identities: give it a state folder")

// ListIdentities tells whose certificates are trusted, our own included, and which were refused.
func (d *Daemon) ListIdentities(_ context.Context, req *jingledv1.ListIdentitiesRequest) (*jingledv1.ListIdentitiesResponse, error) {
	accounts, err := d.some(req.GetAccount())
	if err != nil {
		return nil, err
	}
	peer := jid.JID("")
	if req.GetPeer() != "" {
		if peer, err = jid.Parse(req.GetPeer()); err != nil {
			return nil, connect.NewError(connect.CodeInvalidArgument, err)
		}
	}
	out := &jingledv1.ListIdentitiesResponse{}
	for _, a := range accounts {
		for _, i := range a.trust.list() {
			if peer == "" || i.GetPeer() == peer.Bare().String() {
				out.Identities = append(out.Identities, i)
			}
		}
	}
	return out, nil
}

// list has our own identity first.
func (t *trust) list() []*jingledv1.Identity {
	if t.keys == nil {
		return nil
	}
	account := t.account.cfg.JID.String()
	entry := func(peer jid.JID, f pinned.Fingerprint, s jingledv1.IdentityState) *jingledv1.Identity {
		return &jingledv1.Identity{Account: account, Peer: peer.String(), Fingerprint: f.Words(), State: s}
	}
	var rest []*jingledv1.Identity
	for _, u := range t.refused() {
		rest = append(rest, entry(u.peer, u.identity, jingledv1.IdentityState_IDENTITY_STATE_REFUSED))
	}
	t.mu.Lock()
	for peer, fs := range t.pins {
		for _, f := range fs {
			rest = append(rest, entry(peer, f, jingledv1.IdentityState_IDENTITY_STATE_TRUSTED))
		}
	}
	t.mu.Unlock()
	slices.SortFunc(rest, func(x, y *jingledv1.Identity) int {
		return strings.Compare(x.GetPeer()+x.GetState().String()+x.GetFingerprint(), y.GetPeer()+y.GetState().String()+y.GetFingerprint())
	})
	return append([]*jingledv1.Identity{entry(t.account.cfg.JID, t.own, jingledv1.IdentityState_IDENTITY_STATE_OWN)}, rest...)
}

// identified finds what a request about an identity means. An empty fingerprint gives nil.
func (d *Daemon) identified(account, who, fingerprint string) (*account, jid.JID, *pinned.Fingerprint, error) {
	a, err := d.account(account)
	if err != nil {
		return nil, "", nil, err
	}
	if a.trust.keys == nil {
		return nil, "", nil, connect.NewError(connect.CodeFailedPrecondition, errNoIdentities)
	}
	peer, err := jid.Parse(who)
	if err != nil {
		return nil, "", nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if fingerprint == "" {
		return a, peer.Bare(), nil, nil
	}
	f, err := pinned.ParseFingerprint(fingerprint)
	if err != nil {
		return nil, "", nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	return a, peer.Bare(), &f, nil
}

// TrustIdentity takes an identity for a person's.
func (d *Daemon) TrustIdentity(_ context.Context, req *jingledv1.TrustIdentityRequest) (*jingledv1.TrustIdentityResponse, error) {
	a, peer, f, err := d.identified(req.GetAccount(), req.GetPeer(), req.GetFingerprint())
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("which fingerprint?"))
	}
	if err := a.trust.pin(peer, *f); err != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, err)
	}
	return &jingledv1.TrustIdentityResponse{}, nil
}

// ForgetIdentity takes an identity for nobody's.
func (d *Daemon) ForgetIdentity(_ context.Context, req *jingledv1.ForgetIdentityRequest) (*jingledv1.ForgetIdentityResponse, error) {
	a, peer, f, err := d.identified(req.GetAccount(), req.GetPeer(), req.GetFingerprint())
	if err != nil {
		return nil, err
	}
	found, err := a.trust.forget(peer, f)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	if !found {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("no such identity of %s is trusted", peer))
	}
	return &jingledv1.ForgetIdentityResponse{}, nil
}

// tellUntrusted tells clients of an identity that was refused.
func (a *account) tellUntrusted(u untrusted) {
	a.publish(u.peer, "", &jingledv1.Event{Body: &jingledv1.Event_IdentityRefused{
		IdentityRefused: &jingledv1.IdentityRefused{Fingerprint: u.identity.Words()}}})
}
