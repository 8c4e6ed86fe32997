package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/jmi"
	"github.com/jingled/jingled/xmpp/disco"
)

// peer looks at a person or a device. It shows us to nobody.
func (x *doctor) peer(ctx context.Context, peer jid.JID) {
	a, bare := x.a, peer.Bare()
	who := bare.String()
	if bare != a.cfg.JID && !x.known(bare) {
		return
	}
	var devices []jid.JID
	for _, r := range a.client.Resources(bare) {
		if (peer.IsBare() || r.JID == peer) && r.JID != a.client.JID() {
			devices = append(devices, r.JID)
		}
	}
	if len(devices) == 0 {
		text, advice := who+" is not online, as far as you may see.", "Files can wait on the server (jingle send --via http), if it takes uploads."
		if bare == a.cfg.JID {
			text, advice = "No other device of this account is online.", ""
		}
		x.say(note, "peer", who, text, advice)
		return
	}
	x.say(fine, "peer", who, fmt.Sprintf("%s is online with %s.", who, count(len(devices), "device")), "")
	for _, d := range devices[:min(len(devices), maxExamined)] {
		x.device(ctx, d)
	}
}

// known looks at the subscription, and reports whether we can see who is online.
func (x *doctor) known(bare jid.JID) bool {
	who := bare.String()
	i, listed := x.a.client.Contact(bare)
	switch {
	case x.a.client.Blocked().Blocks(bare):
		x.say(problem, "peer", who, who+" is blocked.", "jingle unblock "+who)
		return false
	case !listed:
		x.say(note, "peer", who, who+" is not on the contact list. A call reaches such people only if they take calls of strangers, and files only while they wait for them.",
			"jingle contacts add "+who)
		return false
	case !i.Subscription.WeSee():
		text := who + " does not show you when online."
		if i.Asked {
			text = who + " has not answered yet whether you may see when they are online."
		}
		x.say(note, "peer", who, text+" Calls ring all the same; files need to know a device.", "jingle contacts add "+who+" asks (again).")
		return false
	case !i.Subscription.SeesUs():
		x.say(note, "peer", who, who+" does not see when you are online, and so may refuse calls as those of a stranger.",
			"Let them see it: jingle contacts add "+who)
	}
	return true
}

// device says what one client can do with us.
func (x *doctor) device(ctx context.Context, full jid.JID) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	caps, err := x.a.client.Capabilities(ctx, full)
	if err != nil {
		x.say(note, "peer.device", full.String(), "It does not say what it can do: "+clip(err.Error())+".", "")
		return
	}
	name, typ := identity(caps.Info)
	if name = clip(name); name == "" {
		name = "The program"
	}
	can := abilities(caps.Info)
	var does, lacks []string
	for what, able := range map[string]bool{"audio calls": can.GetAudio(), "video calls": can.GetVideo(), "files": can.GetFiles()} {
		if able {
			does = append(does, what)
		} else {
			lacks = append(lacks, what)
		}
	}
	slices.Sort(does)
	slices.Sort(lacks)
	details := []string{"client", name, "client_type", clip(typ), "audio", fmt.Sprint(can.GetAudio()), "video", fmt.Sprint(can.GetVideo()),
		"files", fmt.Sprint(can.GetFiles()), "encrypted", fmt.Sprint(caps.Has(ice.NSFingerprint)), "rings_everywhere", fmt.Sprint(caps.Has(jmi.NS))}
	if len(does) == 0 {
		x.say(note, "peer.device", full.String(), name+" takes neither calls nor files.",
			"Ask them to use another client: Conversations, Dino, Gajim, Monal or Movim, for instance.", details...)
		return
	}
	text := name + " takes " + strings.Join(does, ", ")
	if len(lacks) > 0 {
		text += ", but no " + strings.Join(lacks, ", ")
	}
	x.sayDevice(full, text, can.GetAudio(), caps.Info, details)
}

func (x *doctor) sayDevice(full jid.JID, text string, calls bool, info *disco.Info, details []string) {
	switch {
	case calls && !info.Has(ice.NSFingerprint):
		x.say(note, "peer.device", full.String(), text+". It does not tell that it can encrypt calls.",
			"Calls without encryption are refused unless call_encryption in the configuration allows them.", details...)
	case calls && !info.Has(jmi.NS):
		x.say(fine, "peer.device", full.String(), text+". A call rings on this device only (no XEP-0353).", "", details...)
	default:
		x.say(fine, "peer.device", full.String(), text+".", "", details...)
	}
}
