package main

import (
	"bufio"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/jingled/jingled/relay"
	"github.com/jingled/jingled/relay/credentials"
)

func newCredentials(g *global) *cobra.Command {
	c := &cobra.Command{
		Use:   "credentials",
		Short: "Make credentials, users and secrets",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	c.AddCommand(newIssue(g), newUser(g), newSecret())
	return c
}

func newIssue(g *global) *cobra.Command {
	var ttl time.Duration
	var asJSON bool
	c := &cobra.Command{
		Use:   "issue [USER]",
		Short: "Make a time-limited credential with the configured secret",
		Long: `Makes a time-limited credential as XMPP users get one (draft-uberti-behave-turn-rest), from the secret in the
configuration. No relay needs to run. USER is who limits and records count.`,
		Example: `  jingle-relay credentials issue romeo@example.org --ttl 1h`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := relay.Load(g.config)
			if err != nil {
				return err
			}
			r, err := relay.New(cfg, nil) // binds nothing
			if err != nil {
				return err
			}
			is, err := r.Issue(strings.Join(args, ""), ttl)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), map[string]any{"username": is.Username, "password": is.Password, "expires": is.Expires})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "username: %s\npassword: %s\nexpires:  %s\n", is.Username, is.Password, is.Expires.Local().Format(time.DateTime))
			return err
		},
	}
	c.Flags().DurationVar(&ttl, "ttl", 0, "how long it is good (default: credentials.ttl)")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func newUser(g *global) *cobra.Command {
	var realm string
	c := &cobra.Command{
		Use:   "user NAME",
		Short: "Make the entry of a long-lived user for the configuration",
		Long: `Reads a password from the terminal or from standard input and prints the user's entry for the configuration. It holds
keys that only work at this realm, not the password.`,
		Example: `  jingle-relay credentials user camera1 --realm example.org < password.txt`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if realm == "" {
				cfg, err := relay.Load(g.config)
				if err != nil {
					return fmt.Errorf("give --realm, or a configuration that has one: %w", err)
				}
				realm = cfg.TURNRealm()
			}
			password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			u, err := credentials.NewUser(args[0], realm, password)
			if err != nil {
				return err
			}
			if _, err := credentials.NewStatic([]credentials.User{u}); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "# for the realm %q\n[[credentials.user]]\nname = %q\nmd5 = %q\nsha256 = %q\n", realm, u.Name, u.MD5, u.SHA256)
			return err
		},
	}
	c.Flags().StringVar(&realm, "realm", "", "`REALM` of the relay (default: the configuration's)")
	return c
}

// readPassword reads one line, without echo if somebody types it.
func readPassword(in io.Reader, prompt io.Writer) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(prompt, "password: ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(prompt)
		return string(b), err
	}
	line, err := bufio.NewReader(io.LimitReader(in, 4096)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	line = strings.TrimRight(line, "\r\n")
	if line == "" {
		return "", errors.New("no password was given on standard input")
	}
	return line, nil
}

func newSecret() *cobra.Command {
	return &cobra.Command{
		Use:   "secret",
		Short: "Make a secret to share with the XMPP server",
		Long: `Prints a new random secret. To rotate: put the new one first in credentials.secrets and reload; give it to the XMPP
server; drop the old one after credentials.ttl.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var b [32]byte
			if _, err := rand.Read(b[:]); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), base64.RawURLEncoding.EncodeToString(b[:]))
			return err
		},
	}
}
