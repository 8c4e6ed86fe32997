package relaynodes

import (
	"strings"
	"testing"

	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

var suite = codectest.Suite{
	Parse: func(e *xmltree.Element) (jingle.Payload, error) {
		switch e.Name.Local {
		case "channel":
			return codectest.Of(ParseChannel)(e)
		case "turn":
			return codectest.Of(ParseTurnCredentials)(e)
		}
		return codectest.Of(ParseServices)(e)
	},
	Same: []string{
		`<services xmlns='http://jabber.org/protocol/jinglenodes'/>`,
		`<services xmlns='http://jabber.org/protocol/jinglenodes'>
		   <relay policy='public' address='montague.lit' protocol='udp'/>
		   <tracker policy='roster' address='capulet.lit' protocol='tcp'/>
		   <turn policy='public' address='stun.capulet.lit' protocol='udp'/>
		   <stun policy='public' address='200.111.111.111' port='3857' protocol='udp'/></services>`,
		`<channel xmlns='http://jabber.org/protocol/jinglenodes#channel' protocol='udp'/>`,
		`<channel xmlns='http://jabber.org/protocol/jinglenodes#channel' component='1' id='e' host='200.20.2.10' localport='35800' remoteport='35802' protocol='udp' maxkbps='120' expire='60'/>`,
		`<turn xmlns='http://jabber.org/protocol/jinglenodes#turncredentials' protocol='udp'/>`,
		`<turn xmlns='http://jabber.org/protocol/jinglenodes#turncredentials' ttl='60000' uri='turn:200.20.2.10:1984?transport=udp' username='u' password='p='/>`,
	},
	Liberal: []string{
		`<channel xmlns='jabber:client' id='e' host='200.20.2.10' localport='35800' remoteport='35802' protocol='udp'/>`,
		`<turn ttl='60000' uri='turn:200.20.2.10' username='u' password='p='/>`,
		`<services xmlns='http://jabber.org/protocol/jinglenodes'><relay policy='secret' address='a'/><relay/><fax address='x'/></services>`,
	},
	Refused: []string{
		`<services xmlns='http://jabber.org/protocol/jinglenodes#channel'/>`,
		`<channel xmlns='http://jabber.org/protocol/jinglenodes'/>`,
		`<channel xmlns='http://jabber.org/protocol/jinglenodes#channel' localport='65536'/>`,
		`<channel xmlns='http://jabber.org/protocol/jinglenodes#channel' expire='-1'/>`,
		`<turn xmlns='http://jabber.org/protocol/jinglenodes#turncredentials' ttl='soon'/>`,
		`<services xmlns='http://jabber.org/protocol/jinglenodes'>` + strings.Repeat(`<relay address='a'/>`, 257) + `</services>`,
	},
}

func TestCodec(t *testing.T)      { suite.Run(t) }
func FuzzRelayNodes(f *testing.F) { suite.Fuzz(f) }

// What makes no sense does not spoil the rest.
func TestBadEntries(t *testing.T) {
	s, err := ParseServices(codectest.Element(t, `<services xmlns='http://jabber.org/protocol/jinglenodes'>
		<relay policy='secret' address='a'/><relay policy='public' address='b'/><stun policy='public' address='c' port='x'/></services>`))
	if err != nil || len(s.Services) != 1 || s.Services[0].Address != "b" {
		t.Errorf("got %+v, %v", s, err)
	}
}
