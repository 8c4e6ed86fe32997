package conformance

import (
	"encoding/xml"
	"maps"
	"slices"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/filetransfer/ibb"
	"github.com/jingled/jingled/filetransfer/s5b"
	"github.com/jingled/jingled/filetransfer/si"
	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/extdisco"
	"github.com/jingled/jingled/ice/telepathy"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/dtmf"
	"github.com/jingled/jingled/jingle/invite"
	"github.com/jingled/jingled/jingle/jet"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/jingle/muji"
	"github.com/jingled/jingled/jingle/pub"
	"github.com/jingled/jingled/jingle/relaynodes"
	"github.com/jingled/jingled/jingle/rtp"
	"github.com/jingled/jingled/jingle/transfer"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/caps"
	"github.com/jingled/jingled/xmpp/disco"
)

// codec reads an element and writes it back.
type codec func(*xmltree.Element) (*xmltree.Element, error)

// codecs are those of all packages, by the name of the outermost element that they read.
type codecs map[xml.Name]codec

// registry has every payload that can stand in <jingle/>.
func registry() *jingle.Registry {
	var reg jingle.Registry
	for _, register := range []func(*jingle.Registry){
		rtp.Register, dtmf.Register, ice.Register, telepathy.Register, filetransfer.Register, s5b.Register, ibb.Register,
		si.Register, transfer.Register, muji.Register, pub.Register, jet.Register,
	} {
		register(&reg)
	}
	return &reg
}

// payloads are the names of what registry knows, as far as it may stand on its own.
var payloads = []xml.Name{
	{Space: rtp.NS, Local: "description"},
	{Space: rtp.NSRetractedVideo, Local: "description"},
	{Space: rtp.NSInfo, Local: "active"},
	{Space: rtp.NSInfo, Local: "hold"},
	{Space: rtp.NSInfo, Local: "mute"},
	{Space: rtp.NSInfo, Local: "ringing"},
	{Space: rtp.NSInfo, Local: "unhold"},
	{Space: rtp.NSInfo, Local: "unmute"},
	{Space: dtmf.NS, Local: "dtmf"},
	{Space: ice.NSUDP, Local: "transport"},
	{Space: ice.NSICE, Local: "transport"},
	{Space: ice.NSRawUDP, Local: "transport"},
	{Space: ice.NSDataChannel, Local: "transport"},
	{Space: telepathy.NS, Local: "transport"},
	{Space: telepathy.NSInfo, Local: "message"},
	{Space: telepathy.NSInfoText, Local: "message"},
	{Space: filetransfer.NS, Local: "description"},
	{Space: filetransfer.NS, Local: "checksum"},
	{Space: filetransfer.NS, Local: "received"},
	{Space: filetransfer.NS4, Local: "description"},
	{Space: filetransfer.NS4, Local: "checksum"},
	{Space: filetransfer.NS4, Local: "received"},
	{Space: filetransfer.NS3, Local: "description"},
	{Space: filetransfer.NS3, Local: "checksum"},
	{Space: filetransfer.NS3, Local: "received"},
	{Space: filetransfer.NS3, Local: "abort"},
	{Space: filetransfer.NSThumbs, Local: "thumbnail"},
	{Space: filetransfer.NSThumbs0, Local: "thumbnail"},
	{Space: hashes.NS, Local: "hash"},
	{Space: hashes.NS, Local: "hash-used"},
	{Space: hashes.NS1, Local: "hash"},
	{Space: hashes.NS0, Local: "hash"},
	{Space: s5b.NS, Local: "transport"},
	{Space: s5b.NSBytestreams, Local: "query"},
	{Space: ibb.NS, Local: "transport"},
	{Space: ibb.NSIBB, Local: "open"},
	{Space: ibb.NSIBB, Local: "data"},
	{Space: ibb.NSIBB, Local: "close"},
	{Space: si.NS, Local: "si"},
	{Space: transfer.NS, Local: "transfer"},
	{Space: muji.NS, Local: "muji"},
	{Space: pub.NS, Local: "jinglepub"},
	{Space: jet.NS, Local: "security"},
}

func allCodecs() codecs {
	reg := registry()
	c := make(codecs)
	add := func(ns, local string, f codec) { c[xml.Name{Space: ns, Local: local}] = f }
	for _, name := range payloads {
		if !reg.Known(name.Space, name.Local) {
			panic("no codec for " + name.Space + " " + name.Local)
		}
		c[name] = func(e *xmltree.Element) (*xmltree.Element, error) { return written(reg.Parse(e)) }
	}
	add(jingle.NS, "jingle", func(e *xmltree.Element) (*xmltree.Element, error) {
		return written(jingle.ParseMessage(e, reg))
	})
	add(jingle.NS, "reason", func(e *xmltree.Element) (*xmltree.Element, error) {
		return jingle.ParseReason(e).Element(), nil
	})
	for _, ns := range []string{"", "jabber:client"} {
		add(ns, "error", func(e *xmltree.Element) (*xmltree.Element, error) {
			return jingle.ParseStanzaError(e).Element(ns), nil
		})
	}
	for _, k := range jmi.Kinds {
		add(jmi.NS, string(k), func(e *xmltree.Element) (*xmltree.Element, error) { return written(jmi.ParseMessage(e, reg)) })
	}
	for _, k := range []invite.Kind{invite.Invite, invite.Retract, invite.Accept, invite.Reject, invite.Left} {
		add(invite.NS, string(k), func(e *xmltree.Element) (*xmltree.Element, error) { return written(invite.Parse(e, reg)) })
	}
	add(extdisco.NS, "services", plain(extdisco.ParseServices))
	add(extdisco.NS, "credentials", plain(extdisco.ParseCredentials))
	add(relaynodes.NS, "services", plain(relaynodes.ParseServices))
	add(relaynodes.NSChannel, "channel", plain(relaynodes.ParseChannel))
	add(relaynodes.NSTurn, "turn", plain(relaynodes.ParseTurnCredentials))
	add(pub.NS, "start", plain(pub.ParseStart))
	add(pub.NS, "starting", plain(pub.ParseStarting))
	add(ice.NSFingerprint, "fingerprint", plain(ice.ParseFingerprint))
	inDescription := func(e *xmltree.Element) *xmltree.Element {
		return xmltree.New(rtp.NS, "description").Set("media", "audio").Add(e)
	}
	description := c[xml.Name{Space: rtp.NS, Local: "description"}]
	add(rtp.NS, "encryption", within(description, inDescription))
	add(rtp.NS, "payload-type", within(description, inDescription))
	add(rtp.NSSources, "source", within(description, inDescription))
	add(rtp.NSSources, "ssrc-group", within(description, inDescription))
	add(rtp.NSZRTP, "zrtp-hash", within(description, func(e *xmltree.Element) *xmltree.Element {
		return inDescription(xmltree.New(rtp.NS, "encryption").Add(e))
	}))
	add(jingle.NSGrouping, "group", within(c[xml.Name{Space: jingle.NS, Local: "jingle"}], func(e *xmltree.Element) *xmltree.Element {
		return xmltree.New(jingle.NS, "jingle").Set("action", "session-info").Set("sid", "1").Add(e)
	}))
	add(disco.NSInfo, "query", plain(disco.ParseInfo))
	add(disco.NSItems, "query", plain(disco.ParseItems))
	add(caps.NS, "c", func(e *xmltree.Element) (*xmltree.Element, error) {
		found, ok := caps.Find(xmltree.New("", "presence").Add(e))
		if !ok {
			return nil, &xmltree.Error{Element: "c", Problem: "is not found"}
		}
		return found.Element(), nil
	})
	return c
}

// partOfOthers are namespaces that are read as parts of what codecs has, and never stand on their own.
var partOfOthers = []string{
	jingle.NSErrors, jingle.NSStanzas, rtp.NSErrors, rtp.NSFeedback, rtp.NSHeaderExtensions, rtp.NSCategory,
	rtp.NSRetractedVideoErrors, filetransfer.NSErrors, ice.NSSCTP, si.NSFile, si.NSFeatureNeg, disco.NSData,
	jet.TypeOMEMO, jmi.NSHints,
}

// within reads an element as a part of another.
func within(c codec, wrap func(*xmltree.Element) *xmltree.Element) codec {
	return func(e *xmltree.Element) (*xmltree.Element, error) {
		got, err := c(wrap(e))
		if err != nil {
			return nil, err
		}
		for {
			if got == nil || got.Name == e.Name {
				return got, nil
			}
			got = got.First()
		}
	}
}

// namespaces returns those of which there are codecs, without those of the stanzas.
func (c codecs) namespaces() []string {
	set := map[string]bool{}
	for n := range maps.Keys(c) {
		set[n.Space] = n.Space != "" && n.Space != "jabber:client"
	}
	maps.DeleteFunc(set, func(_ string, keep bool) bool { return !keep })
	return slices.Sorted(maps.Keys(set))
}

func plain[T jingle.Payload](parse func(*xmltree.Element) (T, error)) codec {
	return func(e *xmltree.Element) (*xmltree.Element, error) { return written(parse(e)) }
}

func written[T jingle.Payload](v T, err error) (*xmltree.Element, error) {
	if err != nil {
		return nil, err
	}
	return v.Element(), nil
}
