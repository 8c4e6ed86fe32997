package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/cobra"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon/configfile"
)

// joining is what the flags of join say.
type joining struct {
	mediaFlags
	nick, name, passwordFile     string
	showAddress, create, invited bool
	roomOnly                     bool
	invite, from                 []string
}

func newJoin(g *global) *cobra.Command {
	var j joining
	c := &cobra.Command{
		Use:   "join [ROOM]",
		Short: "Join a group call in a chat room, or begin one",
		Long: `Joins the call in a chat room. All who are in it are connected with each other directly, up to six; their voices are mixed
here, and their pictures kept apart. Without ROOM a new room is made for a call, and with --invited an invitation is waited for.

Everybody in the room of a call sees the address of everybody else, so a room that is there already is entered only with
--show-address. The command ends when the call ends for us: interrupt it to leave. On a terminal m mutes, v hides or
shows our video, and q leaves.`,
		Example: `  jingle join --invite bob@example.org --invite carol@example.org
  jingle join --invited --show-address --record call.ogg
  jingle join team@rooms.example.org --show-address --audio-in tone:440
  jingle join team@rooms.example.org --show-address --video-in me.ivf --record-video call.ivf`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			req, err := j.request(args)
			if err != nil {
				return err
			}
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error {
				return runJoin(ctx, s, p, g.account, req, &j)
			})
		},
	}
	f := c.Flags()
	f.StringVar(&j.nick, "nick", "", "our `NAME` in the room (default: the first part of our address)")
	f.StringVar(&j.passwordFile, "room-password-file", "", "`FILE` that holds the password of the room; - is standard input")
	f.BoolVar(&j.showAddress, "show-address", false, "enter also where everybody sees our address")
	f.BoolVar(&j.create, "create", false, "make the room if there is none")
	f.StringVar(&j.name, "name", "", "a `NAME` for a room that is made")
	f.StringArrayVar(&j.invite, "invite", nil, "invite this `JID`; may be repeated")
	f.BoolVar(&j.invited, "invited", false, "wait for an invitation, and follow it")
	f.StringArrayVar(&j.from, "from", nil, "follow an invitation of this `JID` only; may be repeated")
	f.BoolVar(&j.roomOnly, "no-call", false, "only enter the room")
	f.StringVar(&j.audioIn, "audio-in", "silence", "what to say: a WAV or Ogg/Opus `FILE`, tone:HZ or silence")
	f.StringVar(&j.record, "record", "", "record what is heard to this `FILE`, .ogg or .wav")
	f.BoolVar(&j.video, "video", false, "see the others, though there may be nothing to show them")
	f.StringVar(&j.videoIn, "video-in", "", "video to show to all: an IVF or H264 `FILE`, rtp:PORT or rtp:PORT/CODEC")
	f.StringVar(&j.recordVideo, "record-video", "", "record each of the others: `FILE` call.ivf becomes call-NICK.ivf, and rtp:PORT the ports PORT, PORT+2 and so on")
	f.DurationVar(&j.duration, "duration", 0, "leave after this time in the call, e.g. 30s (default: never)")
	f.StringVar(&j.ice, "ice", "all", "`POLICY` for addresses: all, or relay to hide ours")
	return c
}

func (j *joining) request(args []string) (*jingledv1.JoinRoomRequest, error) {
	req := &jingledv1.JoinRoomRequest{Nick: j.nick, Name: j.name, ShowAddress: j.showAddress, Create: j.create, Invite: j.invite}
	if _, err := addresses(slices.Concat(args, j.invite, j.from)); err != nil {
		return nil, err
	}
	switch {
	case len(args) > 0 && j.invited:
		return nil, exitf(exitUsage, "--invited goes without a room: the invitation names it")
	case len(j.from) > 0 && !j.invited:
		return nil, exitf(exitUsage, "--from goes with --invited")
	case j.roomOnly && len(args) == 0 && !j.invited:
		return nil, exitf(exitUsage, "--no-call needs a room")
	case len(args) > 0:
		req.Room = args[0]
	}
	if j.passwordFile != "" {
		read, err := configfile.PasswordFile(j.passwordFile)
		if err == nil {
			req.Password, err = read()
		}
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("--room-password-file: %w", err)}
		}
	}
	media, err := j.media()
	if !j.roomOnly {
		req.Media = media
	}
	return req, err
}

func runJoin(ctx context.Context, s *session, p *printer, account string, req *jingledv1.JoinRoomRequest, j *joining) error {
	var welcome []*jingledv1.Welcome
	if j.invited {
		welcome = append(welcome, &jingledv1.Welcome{Account: account, Calls: true, From: j.from})
	}
	w, err := s.watch(ctx, welcome...)
	if err != nil {
		return s.cause(err)
	}
	defer w.close()
	if account, err = s.online(ctx, w, account); err != nil {
		return err
	}
	req.Account = account
	if j.invited {
		p.ready(account)
		if req.Invitation, err = s.invitation(ctx, w, p, account, j.from); err != nil {
			return err
		}
	}
	res, err := s.Rooms.JoinRoom(ctx, req)
	if err != nil {
		return s.cause(err)
	}
	v := &roomView{account: account, room: res.GetRoom(), flags: j, people: make(map[string]*jingledv1.RoomOccupant)}
	return v.follow(ctx, s, w, p)
}

// invitation waits for one from those who are named, or anybody.
func (s *session) invitation(ctx context.Context, w *watcher, p *printer, account string, from []string) (string, error) {
	for {
		e, err := s.next(ctx, w)
		if err != nil {
			return "", err
		}
		if i := e.GetRoomInvited(); i != nil && !i.GetOver() && e.GetAccount() == account && comesFrom(from, i.GetFrom()) {
			p.show(e)
			return i.GetInvitation(), nil
		}
	}
}

// roomView is a room that the command line follows to its end.
type roomView struct {
	account, room string
	flags         *joining
	people        map[string]*jingledv1.RoomOccupant
	inCall, muted bool
	hidden        bool // our video
	timed         bool // the time in the call runs
}

// keys says which there are.
func (v *roomView) keys() string {
	if v.flags.videoIn != "" {
		return "keys: m mute, v hide or show our video, q leave"
	}
	return "keys: m mute, q leave"
}

// follow shows the room until we are out of it, and leaves it when the time is over or the user wants so.
func (v *roomView) follow(ctx context.Context, s *session, w *watcher, p *printer) error {
	interrupted := ctx.Done()
	ctx = context.WithoutCancel(ctx)
	keyboard := openKeyboard(p)
	defer keyboard.restore()
	var keys <-chan byte
	var over, patience <-chan time.Time
	leave := func() error {
		patience = time.After(hangUpTime)
		_, err := s.Rooms.LeaveRoom(ctx, &jingledv1.LeaveRoomRequest{Account: v.account, Room: v.room})
		if connect.CodeOf(err) == connect.CodeNotFound {
			return nil
		}
		return err
	}
	for {
		var e *jingledv1.Event
		var open bool
		var err error
		select {
		case e, open = <-w.events:
			if !open {
				return s.cause(errors.Join(errors.New("the daemon has stopped"), w.err))
			}
		case err := <-s.failed:
			return err
		case <-over:
			over, err = nil, leave()
		case <-interrupted:
			interrupted, err = nil, leave()
		case key := <-keys:
			err = v.press(ctx, s, p, key, leave)
		case <-patience:
			return exitf(exitFailed, "the room does not let us go")
		}
		if err != nil {
			return s.cause(err)
		}
		if e == nil || e.GetPeer() != v.room || e.GetAccount() != v.account || !ofRoom(e) {
			continue
		}
		p.show(e)
		switch b := e.GetBody().(type) {
		case *jingledv1.Event_RoomEntered:
			if keys = keyboard.keys; keys != nil && !b.RoomEntered.GetAgain() {
				p.line("%s", v.keys())
			}
		case *jingledv1.Event_RoomCall:
			if v.inCall = b.RoomCall.GetJoined(); !v.inCall {
				clear(v.people)
			}
			if v.flags.duration > 0 && v.inCall && !v.timed {
				v.timed = true
				over = time.After(v.flags.duration)
			}
		case *jingledv1.Event_RoomOccupant:
			if delete(v.people, b.RoomOccupant.GetRenamedFrom()); b.RoomOccupant.GetPresent() || b.RoomOccupant.GetConnected() {
				v.people[b.RoomOccupant.GetNick()] = b.RoomOccupant
			} else {
				delete(v.people, b.RoomOccupant.GetNick())
			}
		case *jingledv1.Event_RoomLeft:
			return endOfRoom(b.RoomLeft)
		}
		p.status(v.text())
	}
}

func (v *roomView) press(ctx context.Context, s *session, p *printer, key byte, leave func() error) error {
	switch key {
	case 'm':
		on := !v.muted
		if _, err := s.Rooms.ControlRoom(ctx, &jingledv1.ControlRoomRequest{Account: v.account, Room: v.room, Mute: &on}); err != nil {
			p.line("%s", message(err))
			return nil
		}
		v.muted = on
		p.status(v.text())
	case 'v':
		if v.flags.videoIn == "" {
			return nil
		}
		show := v.hidden
		if _, err := s.Rooms.ControlRoom(ctx, &jingledv1.ControlRoomRequest{Account: v.account, Room: v.room, SendVideo: &show}); err != nil {
			p.line("%s", message(err))
			return nil
		}
		v.hidden = !show
		p.status(v.text())
	case 'q':
		return leave()
	}
	return nil
}

// text is who is there, in one line.
func (v *roomView) text() string {
	var names []string
	for nick, o := range v.people {
		name := clean(nick)
		switch {
		case !o.GetPresent():
			name += " (is coming back)"
		case !o.GetInCall() && v.inCall:
			name += " (not in the call)"
		case !v.inCall:
		case o.GetMuted():
			name += " (muted)"
		case o.GetConnected():
		case o.GetText() != "":
			name += " (not heard)"
		default:
			name += " (connecting)"
		}
		if o.GetSeen() {
			name += " (seen)"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	us := "we"
	if v.muted {
		us += " (muted)"
	}
	if v.hidden {
		us += " (hidden)"
	}
	return "  here: " + strings.Join(append([]string{us}, names...), ", ")
}

// ofRoom reports whether an event is about a room.
func ofRoom(e *jingledv1.Event) bool {
	switch e.GetBody().(type) {
	case *jingledv1.Event_RoomEntered, *jingledv1.Event_RoomOccupant, *jingledv1.Event_RoomCall, *jingledv1.Event_RoomLeft:
		return true
	}
	return false
}

// endOfRoom gives the end its exit status.
func endOfRoom(l *jingledv1.RoomLeft) error {
	switch l.GetCause() {
	case "us":
		return nil
	case "service", "no_answer", "disconnected":
		return exitf(exitFailed, "%s", clean(l.GetText()))
	}
	return exitf(exitPeer, "%s", clean(l.GetText()))
}

func newRooms(g *global) []*cobra.Command {
	rooms := &cobra.Command{
		Use:   "rooms [SERVICE]",
		Short: "Show the chat rooms that we are in, or the public ones of a service or a server",
		Example: `  jingle rooms
  jingle rooms example.org`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := addresses(args); err != nil {
				return err
			}
			return g.with(cmd, func(ctx context.Context, s *session, p *printer) error { return runRooms(ctx, g, s, p, args) })
		},
	}
	leave := &cobra.Command{
		Use: "leave ROOM", Short: "Leave a chat room, and its call", Example: "  jingle leave team@rooms.example.org", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.with(cmd, func(ctx context.Context, s *session, _ *printer) error {
				_, err := s.Rooms.LeaveRoom(ctx, &jingledv1.LeaveRoomRequest{Account: g.account, Room: args[0]})
				return err
			})
		},
	}
	var reason string
	invite := &cobra.Command{
		Use: "invite ROOM JID...", Short: "Invite people into a chat room that we are in", Args: cobra.MinimumNArgs(2),
		Example: "  jingle invite team@rooms.example.org bob@example.org",
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := addresses(args); err != nil {
				return err
			}
			return g.with(cmd, func(ctx context.Context, s *session, _ *printer) error {
				_, err := s.Rooms.InviteToRoom(ctx, &jingledv1.InviteToRoomRequest{Account: g.account, Room: args[0], People: args[1:], Reason: reason})
				return err
			})
		},
	}
	invite.Flags().StringVar(&reason, "reason", "", "a `TEXT` for them")
	return []*cobra.Command{newJoin(g), rooms, leave, invite}
}

func runRooms(ctx context.Context, g *global, s *session, p *printer, args []string) error {
	if g.standalone {
		w, err := s.watch(ctx)
		if err != nil {
			return s.cause(err)
		}
		defer w.close()
		if _, err := s.online(ctx, w, g.account); err != nil {
			return err
		}
	}
	if len(args) > 0 {
		res, err := s.Rooms.FindRooms(ctx, &jingledv1.FindRoomsRequest{Account: g.account, Service: args[0]})
		if err != nil {
			return s.cause(err)
		}
		for _, r := range res.GetRooms() {
			p.answer(struct {
				head
				Name string `json:"name,omitempty"`
			}{p.head("room.found", g.account, r.GetRoom()), r.GetName()}, "%-40s %s", r.GetRoom(), clean(r.GetName()))
		}
		return nil
	}
	res, err := s.Rooms.ListRooms(ctx, &jingledv1.ListRoomsRequest{Account: g.account})
	if err != nil {
		return s.cause(err)
	}
	if len(res.GetRooms()) == 0 {
		p.none("we are in no room")
	}
	for _, r := range res.GetRooms() {
		var names []string
		for _, o := range r.GetOccupants() {
			names = append(names, o.GetNick())
		}
		text := ""
		if r.GetInCall() {
			text = ", in its call"
		}
		p.answer(struct {
			head
			Nick      string   `json:"nick"`
			InCall    bool     `json:"in_call"`
			Muted     bool     `json:"muted"`
			Occupants []string `json:"occupants"`
		}{p.head("room", r.GetAccount(), r.GetRoom()), r.GetNick(), r.GetInCall(), r.GetMuted(), names},
			"%s as %s%s, with %s", r.GetRoom(), clean(r.GetNick()), text, clean(strings.Join(names, ", ")))
	}
	return nil
}
