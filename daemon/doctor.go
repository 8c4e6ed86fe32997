package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/ice/extdisco"
	"github.com/jingled/jingled/ice/probe"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/carbons"
	"github.com/jingled/jingled/xmpp/disco"
)

const (
	examination  = time.Minute      // all of it
	probeTime    = 6 * time.Second  // one server
	askTime      = 5 * time.Second  // one question to the XMPP server or a device
	loginTime    = 15 * time.Second // for a login that is under way
	maxStun      = 4
	maxProbed    = 8 // TURN servers and transports
	maxExamined  = 16
	nobodyToHelp = "Tell the operator of your XMPP server: "
)

// doctor examines one account.
type doctor struct {
	a    *account
	send func(*jingledv1.Finding) error
	err  error // of send
}

// Examine looks at everything that calls and files need, and tells what to do where it is not right.
func (d *Daemon) Examine(ctx context.Context, req *jingledv1.ExamineRequest, send func(*jingledv1.ExamineResponse) error) error {
	a, err := d.account(req.GetAccount())
	if err != nil {
		return err
	}
	var peer jid.JID
	if req.GetPeer() != "" {
		if peer, err = jid.Parse(req.GetPeer()); err != nil {
			return connect.NewError(connect.CodeInvalidArgument, err)
		}
	}
	if len(req.GetStunServers()) > maxStun {
		return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("at most %d STUN servers", maxStun))
	}
	for _, s := range req.GetStunServers() {
		if _, _, err := net.SplitHostPort(s); err != nil {
			return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("stun_servers: %q is not HOST:PORT", s))
		}
	}
	d.mu.Lock()
	running := d.life != nil
	d.mu.Unlock()
	if !running {
		return connect.NewError(connect.CodeUnavailable, errors.New("the daemon does not run"))
	}
	ctx, cancel := context.WithTimeout(ctx, examination)
	defer cancel()
	x := &doctor{a: a, send: func(f *jingledv1.Finding) error { return send(&jingledv1.ExamineResponse{Finding: f}) }}
	online := x.login(ctx)
	var services []extdisco.Service
	if online {
		services = x.server(ctx)
	}
	if online || len(req.GetStunServers()) > 0 {
		x.network(ctx, services, req.GetStunServers())
	}
	if peer != "" && online {
		x.peer(ctx, peer)
	}
	return x.err
}

// say tells a finding. details are names and values.
func (x *doctor) say(verdict jingledv1.Verdict, check, subject, text, advice string, details ...string) {
	if x.err != nil {
		return
	}
	f := &jingledv1.Finding{Check: check, Verdict: verdict, Subject: subject, Text: text, Advice: advice}
	for i := 0; i+1 < len(details); i += 2 {
		if f.Details == nil {
			f.Details = make(map[string]string)
		}
		f.Details[details[i]] = details[i+1]
	}
	x.err = x.send(f)
}

const (
	fine    = jingledv1.Verdict_VERDICT_OK
	note    = jingledv1.Verdict_VERDICT_NOTE
	problem = jingledv1.Verdict_VERDICT_PROBLEM
)

// login waits a while for a login that is under way.
func (x *doctor) login(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, loginTime)
	defer cancel()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		s := x.a.client.State()
		acc := x.a.describe(s)
		switch {
		case acc.GetState() == jingledv1.AccountState_ACCOUNT_STATE_ONLINE:
			x.say(fine, "login", "Login", "Logged in as "+acc.GetBoundJid()+".", "", "jid", acc.GetBoundJid())
			return true
		case acc.GetState() == jingledv1.AccountState_ACCOUNT_STATE_STOPPED, s.State == xmpp.Offline && s.Err != nil, ctx.Err() != nil:
			x.refused(s.Err, acc)
			return false
		}
		select {
		case <-look.C:
		case <-ctx.Done():
		}
	}
}

func (x *doctor) refused(err error, acc *jingledv1.Account) {
	text, advice := "The server has not answered yet.", "Wait a moment, and try again."
	if err != nil {
		text, advice = err.Error()+".", ""
	}
	if why, ok := errors.AsType[*xmpp.Error](err); ok {
		text, advice = why.Message+".", why.Advice
		if why.Addr != "" {
			text = why.Message + " (" + why.Addr + ")."
		}
		switch {
		case acc.GetUntrustedSha256() != "" && x.a.cfg.tunnel == nil:
			advice = fmt.Sprintf("If %s is the fingerprint that the server's operator tells: jingle account trust %s", acc.GetUntrustedSha256(), acc.GetJid())
		case errors.Is(err, xmpp.ErrAuth), errors.Is(err, xmpp.ErrPassword):
			advice = "Give it the right password: jingle account password " + acc.GetJid()
		case errors.Is(err, xmpp.ErrHostNotFound), errors.Is(err, xmpp.ErrUnreachable):
			advice = strings.TrimSpace(stopped(why.Advice) + " Check that this machine is online, and that its firewall lets TCP out to the server.")
		}
	}
	if !strings.Contains(advice, "jingle account") {
		advice = stopped(advice)
	}
	x.say(problem, "login", "Login", text, advice, "state", strings.ToLower(strings.TrimPrefix(acc.GetState().String(), "ACCOUNT_STATE_")))
}

// stopped is a sentence with its full stop, unless it is none.
func stopped(s string) string {
	if s == "" || strings.ContainsAny(s[len(s)-1:], ".?!") {
		return s
	}
	return s + "."
}

// server looks at what the account's server has for calls and files, and returns its STUN and TURN servers.
func (x *doctor) server(ctx context.Context) []extdisco.Service {
	domain := jid.JID(x.a.cfg.JID.Domain())
	ask, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	info, err := disco.QueryInfo(ask, x.a.client, domain, "")
	if err != nil {
		x.say(note, "server.features", "Server", "The server does not say what it can do: "+err.Error()+".", "")
	}
	if x.a.cfg.tunnel == nil {
		if info.Has(carbons.NS) {
			x.say(fine, "server.carbons", "Several devices", "A call that is taken on one device stops ringing on the others (XEP-0280).", "")
		} else {
			x.say(note, "server.carbons", "Several devices", "The server has no carbons (XEP-0280): a call taken elsewhere goes on ringing here.",
				nobodyToHelp+"it should have XEP-0280, Message Carbons.")
		}
	}
	found, cancel2 := context.WithTimeout(ctx, discoverTime)
	defer cancel2()
	x.a.findProxies(found)
	x.a.findServices(found)
	x.a.relays.mu.Lock()
	services, proxies, uploads := slices.Clone(x.a.relays.services), len(x.a.relays.proxies), len(x.a.relays.uploads)
	x.a.relays.mu.Unlock()
	var stun, turn int
	for _, s := range services {
		if strings.HasPrefix(s.Type, "stun") {
			stun++
		} else {
			turn++
		}
	}
	const help = nobodyToHelp + "it should tell of a TURN server by XEP-0215 (Prosody: mod_external_services or mod_turn_external, ejabberd: mod_stun_disco). jingle-relay is one."
	switch {
	case turn > 0:
		x.say(fine, "server.services", "Relays", fmt.Sprintf("The server names %s and %s (XEP-0215).", count(stun, "STUN server"), count(turn, "TURN server")), "",
			"stun", strconv.Itoa(stun), "turn", strconv.Itoa(turn))
	case stun > 0:
		x.say(note, "server.services", "Relays", "The server names STUN servers, but no TURN server: calls between some networks cannot connect.", help,
			"stun", strconv.Itoa(stun), "turn", "0")
	default:
		x.say(problem, "server.services", "Relays", "The server names no STUN and no TURN server: most calls between different networks cannot connect.", help,
			"stun", "0", "turn", "0")
	}
	if proxies > 0 {
		x.say(fine, "server.proxy", "File proxy", "The server has a proxy for files between people behind NATs (XEP-0065).", "")
	} else {
		x.say(note, "server.proxy", "File proxy", "The server has no proxy for files (XEP-0065): between some networks they go slowly, through the server.",
			nobodyToHelp+"it should have a SOCKS5 proxy (Prosody: mod_proxy65, ejabberd: mod_proxy65). jingle-relay is one.")
	}
	if uploads > 0 {
		x.say(fine, "server.upload", "Uploads", "Files can be left on the server for people who are not online (XEP-0363).", "")
	} else {
		x.say(note, "server.upload", "Uploads", "The server takes no uploads (XEP-0363): files reach only people who are online.", "")
	}
	return services
}

func count(n int, what string) string {
	switch n {
	case 0:
		return "no " + what
	case 1:
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// relayTried is a TURN server and what became of it.
type relayTried struct {
	service extdisco.Service
	addr    string
	network string // udp, tcp, tls
	found   probe.Relay
	err     error
}

// network looks at STUN and TURN.
func (x *doctor) network(ctx context.Context, services []extdisco.Service, more []string) {
	var stun []string
	var tried []*relayTried
	for _, s := range services {
		addr, network := endpoint(s)
		switch s.Type {
		case "stun":
			if !slices.Contains(stun, addr) && len(stun) < maxStun {
				stun = append(stun, addr)
			}
		case "turn", "turns":
			same := func(r *relayTried) bool { return r.addr == addr && r.network == network }
			if !slices.ContainsFunc(tried, same) && len(tried) < maxProbed {
				tried = append(tried, &relayTried{service: s, addr: addr, network: network})
			}
		}
	}
	stun = append(stun, more...)
	for _, r := range tried { // TURN servers are STUN servers too
		if r.network == "udp" && !slices.Contains(stun, r.addr) && len(stun) < 2*maxStun {
			stun = append(stun, r.addr)
		}
	}
	var wg sync.WaitGroup
	for _, r := range tried {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, probeTime)
			defer cancel()
			r.found, r.err = probe.TryRelay(ctx, probe.RelayConfig{Addr: r.addr, Transport: r.network,
				Username: r.service.Username, Password: r.service.Password, Proxy: x.a.proxy()})
		})
	}
	var nat probe.NAT
	natErr := errNoServer
	if len(stun) > 0 {
		nat, natErr = probe.LookAtNAT(ctx, stun...)
	}
	wg.Wait()
	x.sayNAT(nat, natErr, stun)
	for _, r := range tried {
		x.sayRelay(r, natErr == nil)
	}
	x.sum(nat, natErr, tried)
}

var errNoServer = errors.New("no server")

// endpoint is where a service is and how it is spoken to.
func endpoint(s extdisco.Service) (addr, network string) {
	port, network := int(s.Port), s.Transport
	if network == "" {
		network = "udp"
	}
	if s.Type == "turns" || s.Type == "stuns" {
		network = "tls"
		if port == 0 {
			port = 5349
		}
	}
	if port == 0 {
		port = 3478
	}
	return net.JoinHostPort(s.Host, strconv.Itoa(port)), network
}

func (x *doctor) sayNAT(n probe.NAT, err error, asked []string) {
	if errors.Is(err, errNoServer) {
		return // the server names none, which was said
	}
	if err != nil {
		text := fmt.Sprintf("No STUN server answers by UDP (asked: %s): %s.", strings.Join(asked, ", "), why(err))
		advice := "Let UDP out of this network, if its firewall is yours."
		if errors.Is(err, probe.ErrClosed) || errors.Is(err, probe.ErrHost) || errors.Is(err, probe.ErrProtocol) {
			advice = nobodyToHelp + "the STUN server that it names does not work."
		}
		x.say(problem, "stun", "STUN", text, advice, "error", err.Error())
		return
	}
	details := []string{"server", n.Server.String(), "local", n.Local.String(), "mapped", n.Mapped.String(),
		"round_trip_ms", strconv.FormatInt(n.RTT.Milliseconds(), 10), "mapping", n.Mapping.String(), "filtering", n.Filtering.String()}
	if !n.Translated() {
		x.say(fine, "stun", "STUN", fmt.Sprintf("Others see this machine as %s, which is its own address.", n.Mapped.Addr()), "", details...)
	} else {
		x.say(fine, "stun", "STUN", fmt.Sprintf("Others see this machine, %s, as %s: a NAT is in between.", n.Local.Addr(), n.Mapped.Addr()), "", details...)
	}
	switch {
	case !n.Translated() && n.Filtering == probe.EndpointIndependent:
		x.say(fine, "nat", "NAT", "There is no NAT and no firewall that keeps packets out.", "", details...)
	case !n.Translated():
		x.say(fine, "nat", "NAT", "There is no NAT. What comes in may be filtered, which calls cope with.", "", details...)
	case n.Mapping == probe.EndpointIndependent:
		x.say(fine, "nat", "NAT", "The NAT uses one port for all peers ("+filters[n.Filtering]+"): direct calls work with most people.", "", details...)
	case n.Mapping == probe.Unknown:
		x.say(note, "nat", "NAT", "How the NAT behaves is not known: that takes a STUN server with RFC 5780, or two servers.",
			"Name another STUN server with --stun HOST:PORT.", details...)
	default:
		x.say(note, "nat", "NAT", "The NAT uses another port for each peer (a symmetric NAT): direct calls work only with people on open networks, all others need a relay.",
			"If the router is yours, see whether it has a setting such as \"full cone\" or \"endpoint-independent\" NAT.", details...)
	}
}

// filters says what a NAT lets in.
var filters = map[probe.Behavior]string{
	probe.Unknown:                 "what it lets in is not known",
	probe.EndpointIndependent:     "and lets everybody in",
	probe.AddressDependent:        "and lets those in who were sent to",
	probe.AddressAndPortDependent: "and lets those in who were sent to, from the same port",
}

// why says in a few words what a probe has met.
func why(err error) string {
	switch {
	case errors.Is(err, probe.ErrNoAnswer):
		return "nothing comes back"
	case errors.Is(err, probe.ErrClosed):
		return "the port is closed"
	}
	return strings.TrimSuffix(err.Error(), ".")
}

func (x *doctor) sayRelay(r *relayTried, udp bool) {
	subject := fmt.Sprintf("TURN by %s at %s", strings.ToUpper(r.network), r.addr)
	details := []string{"address", r.addr, "transport", r.network}
	if r.err == nil {
		details = append(details, "relayed", r.found.Relayed.String(), "setup_ms", strconv.FormatInt(r.found.Setup.Milliseconds(), 10))
		switch {
		case r.found.Carried:
			x.say(fine, "turn", subject, fmt.Sprintf("It lends an address after %d ms, and carries packets.", r.found.Setup.Milliseconds()), "", details...)
		case udp && r.found.Tried:
			x.say(problem, "turn", subject, fmt.Sprintf("It lends the address %s, but a packet sent there did not come through.", r.found.Relayed),
				nobodyToHelp+"the firewall before the TURN server must let UDP in to the ports of its relayed addresses (49152 to 65535 by default), and behind a NAT the server must know its public address.", details...)
		default:
			x.say(fine, "turn", subject, fmt.Sprintf("It lends an address after %d ms.", r.found.Setup.Milliseconds()), "", details...)
		}
		return
	}
	details = append(details, "error", r.err.Error())
	var refused *probe.Refused
	switch {
	case errors.Is(r.err, probe.ErrCredentials):
		x.say(problem, "turn", subject, "It refuses the user and password that the XMPP server gives out.",
			nobodyToHelp+"XMPP server and TURN server must have the same secret and the same time.", details...)
	case errors.As(r.err, &refused) && refused.Code == 486:
		x.say(problem, "turn", subject, "It lends no more addresses to this account: its quota is reached.", "End other calls, or wait some minutes.", details...)
	case errors.As(r.err, &refused):
		x.say(problem, "turn", subject, fmt.Sprintf("It refuses: %d %s.", refused.Code, strings.TrimSuffix(clip(refused.Reason), ".")),
			nobodyToHelp+"the TURN server that it names refuses its users.", details...)
	case errors.Is(r.err, probe.ErrTLS):
		x.say(problem, "turn", subject, "No encrypted connection: "+why(r.err)+".", nobodyToHelp+"the TURN server needs a certificate for its name that clients trust.", details...)
	case errors.Is(r.err, probe.ErrNoRoute):
		x.say(note, "turn", subject, "This machine has no way there, for instance as it has no IPv6, or no IPv4.", "", details...)
	case errors.Is(r.err, probe.ErrNoAnswer):
		x.say(problem, "turn", subject, "Nothing comes back from there.",
			"If other servers answer, tell the operator of your XMPP server. Otherwise a firewall of this network keeps "+strings.ToUpper(r.network)+" in.", details...)
	case errors.Is(r.err, probe.ErrClosed):
		x.say(problem, "turn", subject, "The port is closed.", nobodyToHelp+"the TURN server that it names does not run there.", details...)
	default:
		x.say(problem, "turn", subject, "It cannot be used: "+why(r.err)+".", nobodyToHelp+"the TURN server that it names does not work.", details...)
	}
}

// clip keeps a stranger's words short and on one line.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	return s[:min(len(s), 100)]
}

// sum says what all of it means for calls.
func (x *doctor) sum(n probe.NAT, natErr error, tried []*relayTried) {
	var udpTried, udpWorks, silent, streams, relay bool
	if natErr == nil {
		udpTried, udpWorks = true, true
	} else if !errors.Is(natErr, errNoServer) {
		udpTried, silent = true, errors.Is(natErr, probe.ErrNoAnswer)
	}
	for _, r := range tried {
		works := r.err == nil && (r.found.Carried || !r.found.Tried || natErr != nil)
		relay = relay || works
		switch {
		case r.network != "udp":
			streams = streams || works
		case works:
			udpTried, udpWorks = true, true
		case errors.Is(r.err, probe.ErrNoAnswer):
			udpTried, silent = true, true
		}
	}
	if udpTried && !udpWorks && silent && streams {
		x.say(note, "udp", "UDP", "UDP is blocked in this network, as in some offices and hotels. TCP is not.",
			"Calls go through the relay by TCP, where sound can stutter. If the firewall is yours, let UDP out.")
	}
	const subject = "Calls"
	switch {
	case relay && !udpWorks:
		x.say(fine, "calls", subject, "Calls can connect from here, through a relay.", "")
	case relay:
		x.say(fine, "calls", subject, "Calls can connect from here, directly or through a relay.", "")
	case errors.Is(natErr, errNoServer):
		x.say(problem, "calls", subject, "From here calls connect only with people in the same network, or where the other side has a relay.", "See above: a TURN server is needed.")
	case natErr != nil:
		x.say(problem, "calls", subject, "From here calls do not get out: no STUN or TURN server works.", "See above.")
	case !n.Translated() || n.Mapping == probe.EndpointIndependent:
		x.say(note, "calls", subject, "From here calls connect with most people, but not with all: no relay works.", "See above: a TURN server is needed.")
	default:
		x.say(problem, "calls", subject, "From here many calls cannot connect: no relay works, and the NAT needs one.", "See above: a TURN server is needed.")
	}
}
