package sdp

import (
	"strings"

	"github.com/jingled/jingled/jingle"
)

// The directions of RFC 8866 section 6.7, which are attributes.
const (
	sendrecv = "sendrecv"
	sendonly = "sendonly"
	recvonly = "recvonly"
	inactive = "inactive"
)

// directionOf returns the direction that senders is to the party that has the role.
func directionOf(s jingle.Senders, role jingle.Role) string {
	switch send, receive := s.Sends(role), s.Sends(role.Peer()); {
	case send && receive:
		return sendrecv
	case send:
		return sendonly
	case receive:
		return recvonly
	}
	return inactive
}

// sendersOf returns who sends by the direction of the party that has the role.
func sendersOf(direction string, role jingle.Role) jingle.Senders {
	switch direction {
	case sendonly:
		return jingle.Senders(role.String())
	case recvonly:
		return jingle.Senders(role.Peer().String())
	case inactive:
		return jingle.SendersNone
	}
	return jingle.SendersBoth
}

// direction returns the direction of a media description; the session may have one for all.
func direction(m *Media, s *Session) string {
	for _, as := range []Attributes{m.Attributes, s.Attributes} {
		for _, a := range as {
			switch a.Key {
			case sendrecv, sendonly, recvonly, inactive:
				return a.Key
			}
		}
	}
	return sendrecv
}

// splitDirection reads what may follow the id of a header extension (RFC 8285 section 8), e.g. "/recvonly".
func splitDirection(s string) (id, dir string) {
	id, dir, _ = strings.Cut(s, "/")
	return id, dir
}
