package relay

import (
	"net/netip"
	"time"

	"github.com/jingled/jingled/relay/socks5"
	"github.com/jingled/jingled/relay/turn"
)

// turnObserver and socksObserver hear from the parts; both only post.
type turnObserver struct{ o *observer }

func (t turnObserver) Started(i turn.Info)                   { t.o.started(turnSession(i)) }
func (t turnObserver) Ended(i turn.Info, why turn.EndReason) { t.o.ended(turnSession(i), why.String()) }
func (t turnObserver) Refused(user string, client netip.AddrPort, code int) {
	t.o.access.post(line{Time: time.Now(), Event: "refused", Code: code, Session: Session{Kind: "turn", User: user, Client: client}})
}

type socksObserver struct{ o *observer }

func (s socksObserver) Started(i socks5.Info) { s.o.started(socksSession(i)) }
func (s socksObserver) Ended(i socks5.Info, why socks5.EndReason) {
	s.o.ended(socksSession(i), string(why))
}
