package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/configfile"
	"github.com/jingled/jingled/internal/usage"
	"github.com/jingled/jingled/jid"
)

func newAccount(g *global) *cobra.Command {
	list := func(cmd *cobra.Command, _ []string) error {
		return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
			res, err := s.Daemon.ListAccounts(ctx, &jingledv1.ListAccountsRequest{})
			if err != nil {
				return s.cause(err)
			}
			for _, a := range res.GetAccounts() {
				p.account(a)
			}
			if len(res.GetAccounts()) == 0 {
				p.none("no accounts: jingle account add JID")
			}
			return nil
		})
	}
	c := &cobra.Command{
		Use:   "account",
		Short: "Show, add and remove the accounts of the daemon",
		Long: `Lists the accounts of a running daemon: where each stands, and where its password is kept. Its commands change them at
once and for good.`,
		Example: `  jingle account
  jingle account add alice@example.org
  jingle account remove alice@example.org`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usage.UnknownCommand(c, args[0])
			}
			return nil
		},
		RunE: list,
	}
	c.AddCommand(newAccountAdd(g), newAccountRemove(g), newAccountPassword(g), newAccountTrust(g), &cobra.Command{
		Use: "list", Aliases: []string{"status"}, Short: "List the accounts", Example: "  jingle account list", Args: cobra.NoArgs, RunE: list,
	})
	return c
}

func newAccountAdd(g *global) *cobra.Command {
	set := &jingledv1.AccountSettings{}
	c := &cobra.Command{
		Use:   "add JID",
		Short: "Log in with an account, now and whenever the daemon starts",
		Long: `Asks for the password and adds an account to the daemon. The password can also come from standard input or from
--password-file, but never from the command line, where others can see it. It is kept in the keyring of the desktop, or
where there is none in a file that only you can read. --connect, --proxy, --tls, --ca and --pin are kept with the account.

If the login is refused, nothing is kept.`,
		Example: `  jingle account add alice@example.org
  jingle account add alice@example.org/desk --calls-from everyone < password.txt`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := jid.Parse(args[0])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			set.Resource, set.Connect, set.Proxy, set.Tls, set.PinnedSha256 = g.resource, g.connect, g.proxy, g.tls, g.pin
			if g.ca != "" {
				b, err := os.ReadFile(g.ca)
				if err != nil {
					return &exitError{exitUsage, fmt.Errorf("--ca: %w", err)}
				}
				set.Certificates = string(b)
			}
			return g.onAccounts(cmd, func(ctx context.Context, s *session, p *printer) error {
				password, err := g.readPassword(cmd, j.Bare())
				if err != nil {
					return err
				}
				return runAccountAdd(ctx, cmd, s, p, &jingledv1.AddAccountRequest{Jid: j.String(), Password: password, Settings: set})
			})
		},
	}
	c.Flags().StringVar(&set.CallsFrom, "calls-from", "", "`WHO` may call: contacts or everyone (default contacts)")
	c.Flags().StringVar(&set.FilesFrom, "files-from", "", "`WHO` may send files: contacts or everyone (default contacts)")
	return c
}

func newAccountRemove(g *global) *cobra.Command {
	return &cobra.Command{
		Use:     "remove JID",
		Short:   "Log out, and forget the account and its password",
		Long:    "Logs out, and forgets the account and its password. Its history stays, and nothing changes on the server.",
		Example: "  jingle account remove alice@example.org",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.onAccounts(cmd, func(ctx context.Context, s *session, _ *printer) error {
				_, err := s.Accounts.RemoveAccount(ctx, &jingledv1.RemoveAccountRequest{Account: args[0]})
				return err
			})
		},
	}
}

func newAccountPassword(g *global) *cobra.Command {
	return &cobra.Command{
		Use:     "password JID",
		Short:   "Give the daemon another password for an account",
		Long:    "Asks for a password, as add does, and logs in with it. The password on the server stays as it is.",
		Example: "  jingle account password alice@example.org",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.onAccounts(cmd, func(ctx context.Context, s *session, p *printer) error {
				password, err := g.readPassword(cmd, jid.JID(args[0]))
				if err != nil {
					return err
				}
				w, err := s.watch(ctx)
				if err != nil {
					return err
				}
				defer w.close()
				res, err := s.Accounts.SetPassword(ctx, &jingledv1.SetPasswordRequest{Account: args[0], Password: password})
				if err != nil {
					return err
				}
				return s.settled(ctx, w, p, res.GetAccount())
			})
		},
	}
}

func newAccountTrust(g *global) *cobra.Command {
	var forget bool
	c := &cobra.Command{
		Use:   "trust JID [FINGERPRINT]",
		Short: "Trust the certificate of an account's server",
		Long: `Pins the certificate of an account's server: it is trusted whatever it says, and no other is. Without a fingerprint it
shows the one that the server has shown and asks; compare it with what the server's operator tells. --forget goes back to
certificates that an authority vouches for.`,
		Example: `  jingle account trust alice@example.org
  jingle account trust alice@example.org --forget`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if forget && len(args) > 1 {
				return exitf(exitUsage, "--forget needs no fingerprint")
			}
			return g.onAccounts(cmd, func(ctx context.Context, s *session, p *printer) error {
				w, err := s.watch(ctx)
				if err != nil {
					return err
				}
				defer w.close()
				pin := ""
				switch {
				case len(args) > 1:
					pin = args[1]
				case !forget:
					if pin, err = s.untrusted(ctx, cmd, args[0]); err != nil {
						return err
					}
				}
				return s.trust(ctx, w, p, args[0], pin)
			})
		},
	}
	c.Flags().BoolVar(&forget, "forget", false, "take back what was trusted")
	return c
}

// onAccounts runs a command against a running daemon. The flags that describe an account were read, and are for that.
func (g *global) onAccounts(cmd *cobra.Command, run func(context.Context, *session, *printer) error) error {
	if g.standalone {
		return exitf(exitUsage, `"account" is about the accounts of a running daemon, and goes without --standalone`)
	}
	plain := *g
	plain.jid, plain.passwordFile, plain.connect, plain.proxy, plain.tls, plain.ca, plain.pin, plain.resource = "", "", "", "", "", "", "", ""
	return plain.with(cmd, run)
}

func runAccountAdd(ctx context.Context, cmd *cobra.Command, s *session, p *printer, req *jingledv1.AddAccountRequest) error {
	w, err := s.watch(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	res, err := s.Accounts.AddAccount(ctx, req)
	if err != nil {
		return err
	}
	name := res.GetAccount().GetJid()
	err = s.settled(ctx, w, p, res.GetAccount())
	var refused *refusal
	switch {
	case err == nil || !errors.As(err, &refused):
		return err
	case refused.account.GetUntrustedSha256() != "":
		pin, ask := s.untrusted(ctx, cmd, name)
		if ask == nil {
			err = s.trust(ctx, w, p, name, pin)
			if !errors.As(err, &refused) {
				return err
			}
		}
	}
	// The account was no use, and would be tried again at every start.
	_, undo := s.Accounts.RemoveAccount(context.WithoutCancel(ctx), &jingledv1.RemoveAccountRequest{Account: name})
	return errors.Join(err, undo)
}

// refusal is an account that cannot log in without a change.
type refusal struct{ account *jingledv1.Account }

func (r *refusal) Error() string {
	return r.account.GetJid() + " cannot log in: " + clean(r.account.GetError())
}

// settled waits for an account to be online, or to be refused, and says so.
func (s *session) settled(ctx context.Context, w *watcher, p *printer, a *jingledv1.Account) error {
	name := a.GetJid()
	for {
		switch a.GetState() {
		case jingledv1.AccountState_ACCOUNT_STATE_ONLINE:
			p.account(a)
			return nil
		case jingledv1.AccountState_ACCOUNT_STATE_STOPPED:
			if a.GetError() != "" { // else it is the one before
				return &exitError{exitAuth, &refusal{a}}
			}
		case jingledv1.AccountState_ACCOUNT_STATE_OFFLINE:
			if a.GetError() == "" {
				break // it has not begun
			}
			return exitf(exitPeer, "%s is kept and will be tried again, but is not online: %s", name, clean(a.GetError()))
		}
		for {
			e, err := s.next(ctx, w)
			if err != nil {
				return err
			}
			if e.GetAccountChanged().GetJid() == name {
				a = e.GetAccountChanged()
				break
			}
		}
	}
}

func (s *session) trust(ctx context.Context, w *watcher, p *printer, name, pin string) error {
	res, err := s.Accounts.TrustCertificate(ctx, &jingledv1.TrustCertificateRequest{Account: name, Sha256: pin})
	if err != nil {
		return err
	}
	return s.settled(ctx, w, p, res.GetAccount())
}

// untrusted shows the certificate that an account's server has shown, and asks whether to trust it.
func (s *session) untrusted(ctx context.Context, cmd *cobra.Command, name string) (string, error) {
	res, err := s.Daemon.ListAccounts(ctx, &jingledv1.ListAccountsRequest{})
	if err != nil {
		return "", err
	}
	bare := jid.JID(name).Bare().String()
	for _, a := range res.GetAccounts() {
		if a.GetJid() != bare {
			continue
		}
		pin := a.GetUntrustedSha256()
		if pin == "" {
			return "", exitf(exitFailed, "the server of %s has shown no certificate that is not trusted", bare)
		}
		if f, ok := cmd.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
			return "", exitf(exitAuth, "the certificate is not trusted. If this is its SHA-256: jingle account trust %s %s", bare, pin)
		}
		fmt.Fprintf(cmd.ErrOrStderr(), "%s\nIts SHA-256 is\n  %s\nTrust it, and no other? [y/N] ", clean(a.GetError()), pin)
		line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 100)).ReadString('\n')
		if answer := strings.ToLower(strings.TrimSpace(line)); err == nil && (answer == "y" || answer == "yes") {
			return pin, nil
		}
		return "", exitf(exitAuth, "the certificate is not trusted")
	}
	return "", exitf(exitUsage, "the daemon has no account %s", bare)
}

// readPassword takes it from --password-file, from a terminal without showing it, or else from standard input.
func (g *global) readPassword(cmd *cobra.Command, account jid.JID) (string, error) {
	if g.passwordFile != "" {
		read, err := configfile.PasswordFile(g.passwordFile)
		if err == nil {
			var password string
			if password, err = read(); err == nil {
				return password, nil
			}
		}
		return "", &exitError{exitUsage, fmt.Errorf("--password-file: %w", err)}
	}
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return askPassword(f, cmd.ErrOrStderr(), fmt.Sprintf("Password of %s: ", account))
	}
	line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), 64<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return "", exitf(exitUsage, "there is no password on standard input")
	}
	return line, nil
}

// askPassword asks on a terminal. The echo is off before the question is there.
func askPassword(in *os.File, out io.Writer, question string) (password string, err error) {
	old, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, term.Restore(int(in.Fd()), old)) }()
	password, err = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, "").ReadPassword(question)
	if errors.Is(err, io.EOF) {
		return "", exitf(exitFailed, "interrupted")
	}
	return password, err
}

// account shows one of them.
func (p *printer) account(a *jingledv1.Account) {
	if p.json {
		p.object(struct {
			head
			State     string `json:"state"`
			JID       string `json:"jid,omitempty"`
			Error     string `json:"error,omitempty"`
			Origin    string `json:"origin"`
			Password  string `json:"password"`
			Pinned    string `json:"pinned_sha256,omitempty"`
			Untrusted string `json:"untrusted_sha256,omitempty"`
		}{head{Event: "account", Time: now(), Account: a.GetJid()}, accountState(a.GetState()), a.GetBoundJid(), a.GetError(),
			enum(a.GetOrigin().String(), "ACCOUNT_ORIGIN_"), a.GetPasswordPlace(), a.GetPinnedSha256(), a.GetUntrustedSha256()})
		return
	}
	text := clean(a.GetError())
	if text == "" {
		text = places[a.GetPasswordPlace()]
	}
	p.line("%s", strings.TrimRight(pad(a.GetJid(), 32)+" "+pad(accountState(a.GetState()), 10)+" "+text, " "))
}

// places says where a password is.
var places = map[string]string{
	"keyring": "password in the keyring", "credential": "password from systemd", "memory": "password not kept on this machine",
	"file": "password in a file of the state folder", "configuration": "password where the configuration says",
}
