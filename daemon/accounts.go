package daemon

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/secrets"
	"github.com/jingled/jingled/daemon/state"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
)

const (
	maxAccounts    = 256
	maxCertificate = 256 << 10       // bytes of PEM
	unlockTime     = 2 * time.Minute // for a person to unlock the keyring
)

// drive runs an account until it ends for good, ctx ends, or it is stopped.
func (d *Daemon) drive(ctx context.Context, a *account) error {
	defer close(a.ended)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.stopped, cancel)()
	defer context.AfterFunc(ctx, a.stop)() // whoever waits for a password is told as well
	a.keepAccount()
	err := a.run(ctx)
	if err != nil && !a.cfg.FailFast {
		a.log.Error("account stopped", "err", err)
		return nil
	}
	return err
}

// begin runs an account that has come while the daemon runs; d.mu is held.
func (d *Daemon) begin(a *account) {
	d.lent.Add(1)
	life := d.life
	go func() {
		defer d.lent.Done()
		_ = d.drive(life, a) // it is logged, and the account tells it
	}()
}

// halt stops an account and waits until all that it started has ended.
func (a *account) halt(ctx context.Context) error {
	a.stop()
	select {
	case <-a.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// askPassword is the password of an account that brings none of its own. It may wait for a person.
func (a *account) askPassword() (string, error) {
	var password string
	at, err := unlocked(a.stopped, func() (at secrets.Place, err error) {
		password, at, err = a.d.cfg.Secrets.Get(a.cfg.JID)
		return at, err
	})
	switch {
	case errors.Is(err, secrets.ErrNotFound):
		return "", fmt.Errorf("there is none: give it one with jingle account password %s", a.cfg.JID)
	case err != nil:
		return "", err
	}
	a.kept(at)
	a.log.Info("the password is kept", "place", string(at))
	return password, nil
}

// unlocked does something with a keyring, which may ask a person, but does not wait longer than ctx or two minutes. What f
// writes may be read only if there is no error.
func unlocked(ctx context.Context, f func() (secrets.Place, error)) (secrets.Place, error) {
	ctx, cancel := context.WithTimeout(ctx, unlockTime)
	defer cancel()
	type result struct {
		at  secrets.Place
		err error
	}
	got := make(chan result, 1)
	go func() {
		at, err := f()
		got <- result{at, err}
	}()
	select {
	case r := <-got:
		return r.at, r.err
	case <-ctx.Done():
		return "", fmt.Errorf("the keyring does not answer, unlock it: %w", ctx.Err())
	}
}

// keepPassword keeps one of a request, and gives an error its code.
func (d *Daemon) keepPassword(ctx context.Context, j jid.JID, password string) (secrets.Place, error) {
	at, err := unlocked(ctx, func() (secrets.Place, error) { return d.cfg.Secrets.Set(j, password) })
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return at, connect.NewError(connect.CodeDeadlineExceeded, err)
	case errors.Is(err, secrets.ErrBadPassword):
		return at, connect.NewError(connect.CodeInvalidArgument, err)
	case err != nil:
		return at, connect.NewError(connect.CodeInternal, fmt.Errorf("the password could not be kept: %w", err))
	}
	return at, nil
}

// kept notes where the password is.
func (a *account) kept(at secrets.Place) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.place = at
}

// describeOrigin says where an account and its password come from, and whom it trusts.
func (a *account) describeOrigin(acc *jingledv1.Account) {
	acc.PinnedSha256 = a.cfg.PinnedSHA256
	a.mu.Lock()
	acc.PasswordPlace = string(a.place)
	a.mu.Unlock()
	switch {
	case a.cfg.tunnel != nil:
		acc.Origin = jingledv1.AccountOrigin_ACCOUNT_ORIGIN_TUNNEL
	case a.cfg.added:
		acc.Origin = jingledv1.AccountOrigin_ACCOUNT_ORIGIN_ADDED
	default:
		acc.Origin = jingledv1.AccountOrigin_ACCOUNT_ORIGIN_CONFIGURATION
	}
	if a.cfg.Password != nil {
		acc.PasswordPlace = "configuration"
	}
}

// restore adds to the configuration what was set while a daemon ran before.
func (d *Daemon) restore() error {
	if d.state == nil {
		return nil
	}
	all, err := d.state.AccountSettings(context.Background())
	if err != nil {
		return err
	}
	for _, kept := range all {
		set := &jingledv1.AccountSettings{}
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(kept.Settings), set); err != nil {
			return fmt.Errorf("the settings of %s: %w", kept.JID, err)
		}
		if a := d.configured(jid.JID(kept.JID)); a != nil {
			a.amend(set)
			continue
		}
		if !kept.Added {
			continue // it was taken out of the configuration
		}
		a, err := fromSettings(jid.JID(kept.JID), set)
		if err != nil {
			return fmt.Errorf("the account %s: %w", kept.JID, err)
		}
		d.cfg.Accounts = append(d.cfg.Accounts, a)
	}
	return nil
}

func (d *Daemon) configured(j jid.JID) *Account {
	for i := range d.cfg.Accounts {
		if d.cfg.Accounts[i].JID == j {
			return &d.cfg.Accounts[i]
		}
	}
	return nil
}

// amend applies what was set for an account of the configuration, which goes first.
func (c *Account) amend(set *jingledv1.AccountSettings) {
	if c.PinnedSHA256 == "" {
		c.PinnedSHA256, c.settings = set.GetPinnedSha256(), set
	}
}

// fromSettings makes an account of what a request says.
func fromSettings(j jid.JID, set *jingledv1.AccountSettings) (Account, error) {
	if set == nil {
		set = &jingledv1.AccountSettings{}
	}
	a := Account{JID: j.Bare(), Resource: set.GetResource(), Connect: set.GetConnect(), Proxy: set.GetProxy(),
		TLS: xmpp.TLSMode(set.GetTls()), PinnedSHA256: set.GetPinnedSha256(), settings: set, added: true,
		Calls: Policy{From: Audience(set.GetCallsFrom())}, Files: Policy{From: Audience(set.GetFilesFrom())}}
	if a.Resource == "" {
		a.Resource = j.Resource()
	}
	if a.JID.Local() == "" {
		return a, fmt.Errorf("%q is not the address of an account, such as alice@example.org", j)
	}
	if a.Proxy != "" && a.Proxy != "none" {
		// What is set here is kept where no secret is.
		if u, err := url.Parse(a.Proxy); err != nil || u.User != nil {
			return a, errors.New("proxy: an address without user and password; those can stand in the environment")
		}
	}
	for _, p := range []Policy{a.Calls, a.Files} {
		if p.From == Listed {
			return a, errors.New("calls_from, files_from: contacts or everyone")
		}
		if err := p.validate(); err != nil {
			return a, fmt.Errorf("calls_from, files_from: %w", err)
		}
	}
	if pem := set.GetCertificates(); len(pem) > maxCertificate {
		return a, fmt.Errorf("certificates: more than %d bytes", maxCertificate)
	} else if pem != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM([]byte(pem)) {
			return a, errors.New("certificates: there is none in PEM form")
		}
		a.RootCAs = pool
	}
	return a, nil
}

// AddAccount logs in with an account and keeps it.
func (d *Daemon) AddAccount(ctx context.Context, req *jingledv1.AddAccountRequest) (*jingledv1.AddAccountResponse, error) {
	j, err := jid.Parse(req.GetJid())
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	cfg, err := fromSettings(j, proto.CloneOf(req.GetSettings()))
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	done, err := d.edit(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	d.mu.Lock()
	err = d.mayAdd(cfg.JID)
	d.mu.Unlock()
	if err != nil {
		return nil, err
	}
	a, err := newAccount(d, cfg)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	at, err := d.keepPassword(ctx, cfg.JID, req.GetPassword())
	if err != nil {
		return nil, errors.Join(err, a.discard())
	}
	a.kept(at)
	if err := d.keepSettings(ctx, cfg); err != nil {
		return nil, errors.Join(err, a.discard(), d.forget(cfg.JID))
	}
	d.mu.Lock()
	if err = d.mayAdd(cfg.JID); err == nil {
		d.accounts = append(slices.Clip(d.accounts), a) // readers keep the old one
		d.begin(a)
	}
	d.mu.Unlock()
	if err != nil { // a tunnel was quicker, or the daemon is stopping
		return nil, errors.Join(err, a.discard(), d.forget(cfg.JID))
	}
	return &jingledv1.AddAccountResponse{Account: a.describe(a.client.State())}, nil
}

// forget takes back what was kept for an account that does not come after all. Its request may be over.
func (d *Daemon) forget(j jid.JID) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := unlocked(ctx, func() (secrets.Place, error) { return "", d.cfg.Secrets.Delete(j) })
	if d.state != nil {
		err = errors.Join(err, d.state.RemoveAccount(ctx, j.String()))
	}
	return err
}

// mayAdd reports why there can be no account of this address; d.mu is held.
func (d *Daemon) mayAdd(bare jid.JID) error {
	switch {
	case d.life == nil || d.life.Err() != nil: // not yet, or not any more
		return connect.NewError(connect.CodeUnavailable, errors.New("the daemon does not run"))
	case len(d.accounts) >= maxAccounts:
		return connect.NewError(connect.CodeResourceExhausted, fmt.Errorf("there are %d accounts already", maxAccounts))
	}
	for _, other := range d.accounts {
		if other.cfg.JID == bare {
			return connect.NewError(connect.CodeAlreadyExists, fmt.Errorf("the daemon has the account %s already", bare))
		}
	}
	return nil
}

// RemoveAccount forgets an account.
func (d *Daemon) RemoveAccount(ctx context.Context, req *jingledv1.RemoveAccountRequest) (*jingledv1.RemoveAccountResponse, error) {
	done, err := d.edit(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	a, err := d.editable(req.GetAccount())
	if err != nil {
		return nil, err
	}
	if !a.cfg.added {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%s stands in the configuration: take it out there", a.cfg.JID))
	}
	// First what would bring it back.
	if d.state != nil {
		if err := d.state.RemoveAccount(ctx, a.cfg.JID.String()); err != nil {
			return nil, connect.NewError(connect.CodeInternal, err)
		}
	}
	if err := a.halt(ctx); err != nil {
		return nil, err
	}
	d.leave(a)
	// Last, so that the account cannot have written another token.
	_, forgotten := unlocked(ctx, func() (secrets.Place, error) {
		return "", errors.Join(d.cfg.Secrets.Delete(a.cfg.JID), d.cfg.Secrets.Delete(tokenName(a.cfg.JID)))
	})
	a.publish("", "", &jingledv1.Event{Body: &jingledv1.Event_AccountRemoved{AccountRemoved: &jingledv1.AccountRemoved{}}})
	if forgotten != nil {
		return nil, connect.NewError(connect.CodeInternal, fmt.Errorf("the account is gone, but its password was not deleted: %w", forgotten))
	}
	return &jingledv1.RemoveAccountResponse{}, nil
}

// SetPassword keeps another password and logs in with it.
func (d *Daemon) SetPassword(ctx context.Context, req *jingledv1.SetPasswordRequest) (*jingledv1.SetPasswordResponse, error) {
	done, err := d.edit(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	a, err := d.editable(req.GetAccount())
	if err != nil {
		return nil, err
	}
	if a.cfg.Password != nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("the configuration says where the password of %s is: change it there", a.cfg.JID))
	}
	at, err := d.keepPassword(ctx, a.cfg.JID, req.GetPassword())
	if err != nil {
		return nil, err
	}
	if a, err = d.again(ctx, a, a.cfg); err != nil {
		return nil, err
	}
	a.kept(at)
	return &jingledv1.SetPasswordResponse{Account: a.describe(a.client.State())}, nil
}

// TrustCertificate pins the certificate of an account's server.
func (d *Daemon) TrustCertificate(ctx context.Context, req *jingledv1.TrustCertificateRequest) (*jingledv1.TrustCertificateResponse, error) {
	pin := strings.ToLower(strings.ReplaceAll(req.GetSha256(), ":", ""))
	if b, err := hex.DecodeString(pin); err != nil || pin != "" && len(b) != 32 {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("sha256: 64 digits in hex, with or without colons"))
	}
	done, err := d.edit(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	a, err := d.editable(req.GetAccount())
	if err != nil {
		return nil, err
	}
	cfg := a.cfg
	if cfg.PinnedSHA256 != "" && cfg.settings.GetPinnedSha256() == "" {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("the configuration pins the certificate of %s: change it there", cfg.JID))
	}
	set := &jingledv1.AccountSettings{}
	if cfg.settings != nil {
		set = proto.CloneOf(cfg.settings)
	}
	set.PinnedSha256 = pin
	cfg.settings, cfg.PinnedSHA256 = set, pin
	if err := d.keepSettings(ctx, cfg); err != nil {
		return nil, err
	}
	if a, err = d.again(ctx, a, cfg); err != nil {
		return nil, err
	}
	return &jingledv1.TrustCertificateResponse{Account: a.describe(a.client.State())}, nil
}

// edit lets one change of accounts go on at a time.
func (d *Daemon) edit(ctx context.Context) (done func(), err error) {
	select {
	case d.editing <- struct{}{}:
		return func() { <-d.editing }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// editable finds an account that a request wants to change.
func (d *Daemon) editable(name string) (*account, error) {
	if name == "" {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("say which account"))
	}
	a, err := d.account(name)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	running := d.life != nil && d.life.Err() == nil
	d.mu.Unlock()
	switch {
	case !running:
		return nil, connect.NewError(connect.CodeUnavailable, errors.New("the daemon does not run"))
	case a.cfg.tunnel != nil:
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%s is logged in by another program", a.cfg.JID))
	}
	return a, nil
}

// keepSettings writes an account's settings down.
func (d *Daemon) keepSettings(ctx context.Context, cfg Account) error {
	if d.state == nil {
		return nil
	}
	text, err := protojson.Marshal(cfg.settings)
	if err == nil {
		err = d.state.SetAccount(ctx, state.AccountSettings{JID: cfg.JID.String(), Added: cfg.added, Settings: string(text)})
	}
	if err != nil {
		return connect.NewError(connect.CodeInternal, fmt.Errorf("the account could not be written down: %w", err))
	}
	return nil
}

// again puts an account with other settings in the place of one, which ends with its calls and transfers.
func (d *Daemon) again(ctx context.Context, old *account, cfg Account) (*account, error) {
	cfg.FailFast = false
	a, err := newAccount(d, cfg)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if err := old.halt(ctx); err != nil {
		return nil, errors.Join(err, a.discard())
	}
	d.mu.Lock()
	if d.life == nil || d.life.Err() != nil {
		d.mu.Unlock()
		return nil, errors.Join(connect.NewError(connect.CodeUnavailable, errors.New("the daemon does not run")), a.discard())
	}
	defer d.mu.Unlock()
	var all []*account
	for _, other := range d.accounts {
		if other == old {
			other = a
		}
		all = append(all, other)
	}
	d.accounts = all
	d.begin(a)
	return a, nil
}

// leave takes an account that has ended off the list.
func (d *Daemon) leave(a *account) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var rest []*account
	for _, other := range d.accounts {
		if other != a {
			rest = append(rest, other)
		}
	}
	d.accounts = rest
}
