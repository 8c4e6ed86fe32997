package daemon

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/invite"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/muc"
)

// JoinRoom enters a room.
func (d *Daemon) JoinRoom(ctx context.Context, req *jingledv1.JoinRoomRequest) (*jingledv1.JoinRoomResponse, error) {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return nil, err
	}
	if err := errors.Join(checkMedia(req.GetMedia()), checkRoomMedia(req.GetMedia()), checkPeople(req.GetInvite())); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	if a.client.State().State != xmpp.Online {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("%s is not connected", a.cfg.JID))
	}
	var accepted *roomInvitation
	if id := req.GetInvitation(); id != "" {
		if accepted = a.dropInvitation(func(i *roomInvitation) bool { return i.id == id }); accepted == nil {
			return nil, connect.NewError(connect.CodeNotFound, errors.New("there is no such invitation, or it does not hold any more"))
		}
		if req.GetPassword() == "" {
			req.Password = accepted.to.Password
		}
	}
	address, err := a.roomAddress(ctx, req, accepted)
	if err != nil {
		return nil, err
	}
	if req.GetMedia() != nil {
		a.awaitRelays(ctx)
	}
	r, err := a.openRoom(address, req)
	if err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	r.accept = accepted
	if err := a.enterRoom(r); err != nil {
		r.discard()
		return nil, err
	}
	return &jingledv1.JoinRoomResponse{Room: address.String()}, nil
}

// entering is how the room is entered that there is.
func (r *room) entering() muc.Config {
	cfg := muc.Config{Room: r.address, Nick: r.req.GetNick(), Password: r.req.GetPassword(), Extra: r.presence(nil),
		ShowAddress: r.req.GetShowAddress()}
	if cfg.Nick == "" {
		cfg.Nick = r.account.cfg.JID.Local()
	}
	return cfg
}

// enterRoom begins to enter a room.
func (a *account) enterRoom(r *room) error {
	cfg := r.entering()
	if r.req.GetCreate() || r.req.GetRoom() == "" && r.accept == nil {
		cfg.Create = &muc.Creation{Name: r.req.GetName(), MembersOnly: true, NonAnonymous: r.conf != nil}
	}
	a.mu.Lock()
	life := a.life
	switch {
	case a.stopping || life == nil:
		a.mu.Unlock()
		return connect.NewError(connect.CodeUnavailable, errors.New("the daemon is stopping"))
	case a.groups[r.address] != nil:
		a.mu.Unlock()
		return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("we are in %s already", r.address))
	}
	a.groups[r.address] = r
	a.mu.Unlock()
	if err := a.rooms.Join(cfg); err != nil {
		a.mu.Lock()
		delete(a.groups, r.address)
		a.mu.Unlock()
		return connect.NewError(connect.CodeInvalidArgument, err)
	}
	a.media.Go(func() { r.run(life) })
	return nil
}

// discard frees a room that was never entered.
func (r *room) discard() {
	if r.mixer != nil {
		r.stop()
		if err := errors.Join(<-r.mixed, r.video.close()); err != nil {
			r.account.log.Debug("sound and pictures", "err", err)
		}
	}
}

// roomAddress is the room that a request means, or a new one.
func (a *account) roomAddress(ctx context.Context, req *jingledv1.JoinRoomRequest, accepted *roomInvitation) (jid.JID, error) {
	if req.GetRoom() != "" {
		address, err := jid.Parse(req.GetRoom())
		if err == nil && (!address.IsBare() || address.Local() == "") {
			err = fmt.Errorf("%q is not the address of a room, such as talk@rooms.example.org", req.GetRoom())
		}
		if err != nil {
			return "", connect.NewError(connect.CodeInvalidArgument, err)
		}
		return address, nil
	}
	if accepted != nil {
		return accepted.to.Room, nil
	}
	service, err := a.roomService(ctx)
	if err != nil {
		return "", err
	}
	return jid.JID(strings.ToLower(rand.Text()[:16]) + "@" + service.String()), nil
}

// roomService finds where our server has its rooms.
func (a *account) roomService(ctx context.Context) (jid.JID, error) {
	services, err := muc.Services(ctx, a.client, jid.JID(a.cfg.JID.Domain()))
	if err != nil {
		return "", connect.NewError(connect.CodeUnavailable, fmt.Errorf("the server does not say where its rooms are: %w", err))
	}
	if len(services) == 0 {
		return "", connect.NewError(connect.CodeUnavailable, fmt.Errorf("%s has no rooms: name one that is elsewhere", a.cfg.JID.Domain()))
	}
	return services[0], nil
}

func checkPeople(people []string) error {
	for _, p := range people {
		if _, err := jid.Parse(p); err != nil {
			return err
		}
	}
	return nil
}

// group finds the room that a request means.
func (d *Daemon) group(account, name string) (*room, error) {
	a, err := d.account(account)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.groups[jid.JID(name)]; r != nil {
		return r, nil
	}
	return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("we are not in the room %s", name))
}

// LeaveRoom leaves a room and its call.
func (d *Daemon) LeaveRoom(_ context.Context, req *jingledv1.LeaveRoomRequest) (*jingledv1.LeaveRoomResponse, error) {
	r, err := d.group(req.GetAccount(), req.GetRoom())
	if err != nil {
		return nil, err
	}
	r.inbox.post(r.leave)
	return &jingledv1.LeaveRoomResponse{}, nil
}

// InviteToRoom asks people into a room.
func (d *Daemon) InviteToRoom(_ context.Context, req *jingledv1.InviteToRoomRequest) (*jingledv1.InviteToRoomResponse, error) {
	r, err := d.group(req.GetAccount(), req.GetRoom())
	if err != nil {
		return nil, err
	}
	if err := checkPeople(req.GetPeople()); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	r.inbox.post(func() { r.invitePeople(req.GetPeople(), req.GetReason()) })
	return &jingledv1.InviteToRoomResponse{}, nil
}

// DeclineInvitation tells who has invited us that we do not come.
func (d *Daemon) DeclineInvitation(_ context.Context, req *jingledv1.DeclineInvitationRequest) (*jingledv1.DeclineInvitationResponse, error) {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return nil, err
	}
	i := a.dropInvitation(func(i *roomInvitation) bool { return i.id == req.GetInvitation() })
	if i == nil {
		return nil, connect.NewError(connect.CodeNotFound, errors.New("there is no such invitation, or it does not hold any more"))
	}
	if i.call != "" {
		a.say(i.to.From, newCallID(), &invite.Message{Kind: invite.Reject, ID: i.call})
	} else if st := i.to.Declined(""); st != nil {
		if err := a.client.Send(st); err != nil {
			return nil, connect.NewError(connect.CodeUnavailable, err)
		}
	}
	return &jingledv1.DeclineInvitationResponse{}, nil
}

// ControlRoom mutes us in a room's call, or hides us.
func (d *Daemon) ControlRoom(_ context.Context, req *jingledv1.ControlRoomRequest) (*jingledv1.ControlRoomResponse, error) {
	r, err := d.group(req.GetAccount(), req.GetRoom())
	if err != nil {
		return nil, err
	}
	if r.mixer == nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("we are not in the call of this room"))
	}
	if req.SendVideo != nil && (r.video == nil || r.video.fan == nil) {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("we show no video in this call"))
	}
	if req.Mute != nil {
		r.inbox.post(func() { r.mute(req.GetMute()) })
	}
	if req.SendVideo != nil {
		r.inbox.post(func() { r.pause(!req.GetSendVideo()) })
	}
	return &jingledv1.ControlRoomResponse{}, nil
}

// ListRooms lists the rooms that we are in.
func (d *Daemon) ListRooms(_ context.Context, req *jingledv1.ListRoomsRequest) (*jingledv1.ListRoomsResponse, error) {
	accounts, err := d.some(req.GetAccount())
	if err != nil {
		return nil, err
	}
	out := &jingledv1.ListRoomsResponse{}
	for _, a := range accounts {
		a.mu.Lock()
		var rooms []*room
		for _, r := range a.groups {
			rooms = append(rooms, r)
		}
		a.mu.Unlock()
		for _, r := range rooms {
			out.Rooms = append(out.Rooms, r.describe())
		}
	}
	slices.SortFunc(out.Rooms, func(x, y *jingledv1.Room) int { return strings.Compare(x.GetRoom(), y.GetRoom()) })
	return out, nil
}

func (r *room) describe() *jingledv1.Room {
	self, _ := r.account.rooms.Self(r.address)
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &jingledv1.Room{Account: r.account.cfg.JID.String(), Room: r.address.String(), Nick: self.Resource(), InCall: r.inCall, Muted: r.muted}
	for _, o := range r.people {
		out.Occupants = append(out.Occupants, o)
	}
	slices.SortFunc(out.Occupants, func(x, y *jingledv1.RoomOccupant) int { return strings.Compare(x.GetNick(), y.GetNick()) })
	return out
}

// FindRooms asks a service, or those of a server, for their public rooms.
func (d *Daemon) FindRooms(ctx context.Context, req *jingledv1.FindRoomsRequest) (*jingledv1.FindRoomsResponse, error) {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return nil, err
	}
	service := jid.JID(req.GetService())
	if service == "" {
		if service, err = a.roomService(ctx); err != nil {
			return nil, err
		}
	} else if _, err := jid.Parse(req.GetService()); err != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, err)
	}
	services, err := muc.Services(ctx, a.client, service) // of a server
	if err != nil || len(services) == 0 {
		services = []jid.JID{service}
	}
	out := &jingledv1.FindRoomsResponse{}
	var mute []error // those of services that do not answer
	for _, s := range services {
		rooms, err := muc.Rooms(ctx, a.client, s)
		if err != nil {
			a.log.Info("a service does not tell its rooms", "service", s.String(), "err", err)
			mute = append(mute, fmt.Errorf("%s does not tell its rooms: %w", s, err))
			continue
		}
		for _, i := range rooms {
			out.Rooms = append(out.Rooms, &jingledv1.FoundRoom{Room: i.JID.String(), Name: i.Name})
		}
	}
	if len(mute) == len(services) {
		return nil, connect.NewError(connect.CodeUnavailable, errors.Join(mute...))
	}
	return out, nil
}
