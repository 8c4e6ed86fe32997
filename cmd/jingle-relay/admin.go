package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/jingled/jingled/internal/terminal"
	"github.com/jingled/jingled/relay"
)

func newStatus(g *global) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "status",
		Short: "Show how the running relay does",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := g.client().Status(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), s)
			}
			return printStatus(cmd.OutOrStdout(), s)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(terminal.JSON{Writer: w}) // users choose their names
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func printStatus(out io.Writer, s relay.Status) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(k, format string, args ...any) { fmt.Fprintf(w, k+"\t"+format+"\n", args...) }
	state := "serving"
	if s.Draining {
		state = "draining"
		if !s.DrainEnds.IsZero() {
			state += " until " + s.DrainEnds.Local().Format(time.DateTime)
		}
	}
	row("state", "%s since %s (version %s)", state, s.Started.Local().Format(time.DateTime), s.Version)
	row("listening", "%s", strings.Join(s.Listening, ", "))
	row("sessions", "%d (%d allocations, %d made since the start)", s.Sessions, s.TURN.Allocations, s.TURN.AllocationsTotal)
	t := s.TURN
	row("relayed", "%d packets, %s to peers; %d packets, %s to clients", t.PacketsToPeer, size(t.BytesToPeer), t.PacketsToClient, size(t.BytesToClient))
	row("dropped", "%d without permission, %d over a rate, %d by full receive buffers, %d malformed", t.DroppedPermission, t.DroppedBandwidth, t.ReceiveBufferDrops, t.DroppedMalformed)
	row("refused", "%d wrong credentials, %d unauthenticated over the rate", t.AuthFailures, t.DroppedRate)
	if p := s.SOCKS5; p != nil {
		row("bytestreams", "%d now, %d waiting, %d since the start, %s", p.Streams, p.Pending, p.StreamsTotal, size(p.Bytes))
	}
	if x := s.XMPP; x != nil {
		joined := yes(x.Connected, "joined", "not joined")
		if x.Problem != "" {
			joined += " (" + terminal.Clean(x.Problem) + ")"
		}
		row("XMPP server", "%s, %d requests answered", joined, x.Answered)
	}
	if s.Fleet != nil {
		row("fleet", "%s", yes(*s.Fleet, "limits are shared", "the store is away; limits hold here alone"))
	}
	row("bans", "%d", s.Bans)
	return w.Flush()
}

func yes(b bool, then, otherwise string) string {
	if b {
		return then
	}
	return otherwise
}

func size(n uint64) string {
	units := []string{"B", "kB", "MB", "GB", "TB", "PB", "EB"}
	f, i := float64(n), 0
	for f >= 1000 && i < len(units)-1 {
		f, i = f/1000, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// selector reads what kick, ban and unban name.
func selector(user, address string, args []string) (relay.Selector, error) {
	s := relay.Selector{User: user}
	if address != "" {
		p, err := relay.ParseAddress(address)
		if err != nil {
			return s, &usageError{fmt.Errorf("%q is not an address or a prefix", address)}
		}
		s.Address = p
	}
	if len(args) == 1 {
		s.ID = args[0]
	}
	return s, nil
}

func newKick(g *global) *cobra.Command {
	var user, address string
	var all bool
	c := &cobra.Command{
		Use:   "kick [ID]",
		Short: "End sessions of the running relay",
		Long:  "Ends one session by its ID as top shows it, or those of a user or an address. Who is kicked may come back; see ban.",
		Example: `  jingle-relay kick t42
  jingle-relay kick --user romeo@example.org
  jingle-relay kick --address 198.51.100.0/24`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := selector(user, address, args)
			if err != nil {
				return err
			}
			s.All = all
			n, err := g.client().Kick(cmd.Context(), s)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d ended\n", n)
			return err
		},
	}
	c.Flags().StringVar(&user, "user", "", "sessions of this `USER`")
	c.Flags().StringVar(&address, "address", "", "sessions of this client `ADDRESS` or prefix")
	c.Flags().BoolVar(&all, "all", false, "every session")
	return c
}

func newBan(g *global) *cobra.Command {
	var user, address string
	var d time.Duration
	c := &cobra.Command{
		Use:   "ban",
		Short: "Keep a user or an address out for a time",
		Long:  "Keeps a user or an address out of the whole fleet for a time, and ends their sessions on this relay.",
		Example: `  jingle-relay ban --user mallory@example.org --for 24h
  jingle-relay ban --address 198.51.100.7 --for 1h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := selector(user, address, nil)
			if err != nil {
				return err
			}
			n, err := g.client().Ban(cmd.Context(), s, d)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "banned until %s, %d ended\n", time.Now().Add(d).Format(time.DateTime), n)
			return err
		},
	}
	c.Flags().StringVar(&user, "user", "", "`USER` to keep out")
	c.Flags().StringVar(&address, "address", "", "`ADDRESS` or prefix to keep out")
	c.Flags().DurationVar(&d, "for", 24*time.Hour, "how long")
	return c
}

func newUnban(g *global) *cobra.Command {
	var user, address string
	c := &cobra.Command{
		Use:   "unban",
		Short: "Let a user or an address in again",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := selector(user, address, nil)
			if err != nil {
				return err
			}
			return g.client().Unban(cmd.Context(), s)
		},
	}
	c.Flags().StringVar(&user, "user", "", "`USER` to let in")
	c.Flags().StringVar(&address, "address", "", "`ADDRESS` or prefix to let in, as bans shows it")
	return c
}

func newBans(g *global) *cobra.Command {
	return &cobra.Command{
		Use:   "bans",
		Short: "List who is kept out",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := g.client().Bans(cmd.Context())
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "WHO\tUNTIL")
			for _, b := range list {
				fmt.Fprintf(w, "%s\t%s\n", terminal.Clean(b.User+b.Address), b.Until.Local().Format(time.DateTime))
			}
			return w.Flush()
		},
	}
}

func newDrain(g *global) *cobra.Command {
	var stop bool
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "drain",
		Short: "Take no new sessions, and end when the last one has ended",
		Long: `The relay takes no new sessions: TURN clients are told of the alternates of drain.alternates, or refused. It ends when
the last session has ended, or after --timeout. --stop takes it back.`,
		Example: `  jingle-relay drain --timeout 1h
  jingle-relay drain --stop`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.client().Drain(cmd.Context(), !stop, timeout)
		},
	}
	c.Flags().BoolVar(&stop, "stop", false, "take sessions again")
	c.Flags().DurationVar(&timeout, "timeout", 0, "end after this time in any case (0: never)")
	return c
}

func newTop(g *global) *cobra.Command {
	var every time.Duration
	var once, asJSON bool
	var n int
	c := &cobra.Command{
		Use:   "top",
		Short: "Show the busiest sessions",
		Long:  "Shows the busiest sessions until it is interrupted. What is not a terminal gets them once.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, out := g.client(), cmd.OutOrStdout()
			if f, ok := out.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
				once = true // there is no screen to draw on
			}
			before := map[string]relay.Session{}
			var last time.Time
			for {
				list, err := client.Sessions(cmd.Context())
				if err != nil {
					return err
				}
				now := time.Now()
				if asJSON {
					return printJSON(out, list)
				}
				if !last.IsZero() || once {
					if err := printTop(out, list, before, now.Sub(last), n, !once); err != nil || once {
						return err
					}
				}
				last = now
				clear(before)
				for _, s := range list {
					before[s.ID] = s
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(every):
				}
			}
		},
	}
	c.Flags().DurationVar(&every, "every", 2*time.Second, "how often to look")
	c.Flags().BoolVar(&once, "once", false, "look once; rates are then over the session's life")
	c.Flags().BoolVar(&asJSON, "json", false, "print all sessions once, as JSON")
	c.Flags().IntVarP(&n, "lines", "n", 30, "at most so many sessions")
	return c
}

// printTop prints sessions with their rates, the busiest first.
func printTop(out io.Writer, list []relay.Session, before map[string]relay.Session, since time.Duration, n int, screen bool) error {
	type row struct {
		relay.Session
		up, down float64 // bits per second
	}
	var rows []row
	var up, down float64
	for _, s := range list {
		b, known := before[s.ID]
		span := since
		if !known {
			span = time.Since(s.Started)
		}
		sec := max(span.Seconds(), 0.001)
		r := row{s, float64(s.BytesUp-min(b.BytesUp, s.BytesUp)) * 8 / sec, float64(s.BytesDown-min(b.BytesDown, s.BytesDown)) * 8 / sec}
		up, down = up+r.up, down+r.down
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b row) int {
		if x, y := a.up+a.down, b.up+b.down; x != y {
			return yesInt(x < y)
		}
		return strings.Compare(a.ID, b.ID)
	})
	if screen {
		fmt.Fprint(out, "\x1b[H\x1b[2J")
	}
	fmt.Fprintf(out, "%d sessions, %s up, %s down\n", len(list), rate(up), rate(down))
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tUSER\tCLIENT\tVIA\tAGE\tUP\tDOWN\tBYTES UP\tBYTES DOWN\tDROPPED")
	for _, r := range rows[:min(n, len(rows))] {
		via := r.Transport
		if r.Kind == "socks5" {
			via = "socks5"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d\n", r.ID, terminal.Clean(r.User), r.Client, via,
			time.Since(r.Started).Round(time.Second), rate(r.up), rate(r.down), size(r.BytesUp), size(r.BytesDown), r.Dropped)
	}
	return w.Flush()
}

func yesInt(b bool) int {
	if b {
		return 1
	}
	return -1
}

func rate(bits float64) string {
	switch {
	case bits >= 1e9:
		return fmt.Sprintf("%.1f Gbit/s", bits/1e9)
	case bits >= 1e6:
		return fmt.Sprintf("%.1f Mbit/s", bits/1e6)
	}
	return fmt.Sprintf("%.0f kbit/s", bits/1e3)
}
