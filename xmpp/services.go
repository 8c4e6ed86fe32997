package xmpp

import (
	"context"
	"strings"

	"github.com/jingled/jingled/ice/extdisco"
	"github.com/jingled/jingled/jid"
)

// ExternalServices asks a server for its STUN and TURN servers and the like (XEP-0215 section 3), all of them if typ is
// ""; server "" is our own. Where credentials are needed and are not given at once, they are asked for as well; a
// service whose credentials are refused is left out. The caller checks each with [extdisco.Service.Valid].
func (c *Client) ExternalServices(ctx context.Context, server jid.JID, typ string) ([]extdisco.Service, error) {
	if server == "" {
		server = jid.JID(c.Account().Domain())
	}
	reply, err := c.Query(ctx, server, "get", extdisco.Services{Type: typ}.Element())
	if err != nil {
		return nil, err
	}
	if reply == nil {
		return nil, nil
	}
	got, err := extdisco.ParseServices(reply)
	if err != nil {
		return nil, err
	}
	out := make([]extdisco.Service, 0, len(got.List))
	for _, s := range got.List {
		if s.NeedsCredentials() {
			if s, err = c.credentials(ctx, server, s); ctx.Err() != nil {
				return nil, ctx.Err()
			} else if err != nil {
				c.log.Debug("no credentials for a service", "type", s.Type, "host", s.Host, "err", err)
				continue
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// credentials asks for those of one service (section 3.3).
func (c *Client) credentials(ctx context.Context, server jid.JID, s extdisco.Service) (extdisco.Service, error) {
	ask := extdisco.Credentials{List: []extdisco.Service{{Type: s.Type, Host: s.Host, Port: s.Port}}}
	reply, err := c.Query(ctx, server, "get", ask.Element())
	if err != nil {
		return s, err
	}
	if reply == nil {
		return s, errNoCredentials
	}
	got, err := extdisco.ParseCredentials(reply)
	if err != nil {
		return s, err
	}
	for _, g := range got.List {
		if g.Type == s.Type && strings.EqualFold(g.Host, s.Host) && (g.Port == s.Port || g.Port == 0) && g.Username != "" {
			s.Username, s.Password, s.Expires = g.Username, g.Password, g.Expires
			return s, nil
		}
	}
	return s, errNoCredentials
}
