// Command tunnel-go is an XMPP client on mellium that keeps its stream and lets jingled do calls and files by a stanza
// tunnel. Calls of contacts are answered with a tone, files of contacts are taken into a folder.
//
//	tunnel-go JID FOLDER HOST:PORT CAFILE < password
//
// It talks to the jingled behind $JINGLED_SOCKET. docs/embedding.md explains what goes where.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	"mellium.im/sasl"
	"mellium.im/xmpp"
	"mellium.im/xmpp/jid"

	"github.com/jingled/jingled/api/client"
	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/xmltree"
)

const (
	nsClient = "jabber:client"
	nsDisco  = "http://jabber.org/protocol/disco#info"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: tunnel-go JID FOLDER HOST:PORT CAFILE < password")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address, folder, server, ca string) error {
	session, err := login(ctx, address, server, ca)
	if err != nil {
		return err
	}
	api := client.Dial(os.Getenv("JINGLED_SOCKET"))
	defer api.Close()
	stream, err := api.Tunnels.OpenTunnel(ctx, &jingledv1.OpenTunnelRequest{Jid: session.LocalAddr().String()})
	if err != nil {
		return err
	}
	if !stream.Receive() {
		return errors.Join(errors.New("no tunnel"), stream.Err())
	}
	h := &host{session: session, api: api, ready: stream.Msg().GetReady(), asked: map[string]bool{}}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.receive(ctx) })
	g.Go(func() error { return h.answer(ctx, folder) })
	g.Go(func() error {
		for stream.Receive() {
			if err := h.send(ctx, stream.Msg().GetStanza()); err != nil {
				return err
			}
		}
		return errors.Join(errors.New("jingled is gone"), stream.Err())
	})
	if err := h.write(ctx, xmltree.New(nsClient, "presence")); err != nil { // from now on others see us
		return err
	}
	return g.Wait()
}

// login makes the stream that stays ours.
func login(ctx context.Context, address, server, ca string) (*xmpp.Session, error) {
	password, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return nil, err
	}
	me, err := jid.Parse(address)
	if err != nil {
		return nil, err
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", server)
	if err != nil {
		return nil, err
	}
	return xmpp.NewClientSession(ctx, me, conn,
		xmpp.StartTLS(&tls.Config{ServerName: me.Domain().String(), RootCAs: roots, MinVersion: tls.VersionTLS12}),
		xmpp.SASL("", strings.TrimSpace(password), sasl.ScramSha256, sasl.ScramSha1),
		xmpp.BindResource())
}

// host is between the server and jingled.
type host struct {
	session *xmpp.Session
	api     *client.Client
	ready   *jingledv1.TunnelReady

	mu    sync.Mutex
	asked map[string]bool // ids of jingled's requests
}

// receive reads the stream itself: Session.Serve would answer requests that jingled is to answer.
func (h *host) receive(ctx context.Context) error {
	r := h.session.TokenReader()
	defer r.Close()
	for {
		tok, err := r.Token()
		if err != nil {
			return err
		}
		start, ok := tok.(xml.StartElement)
		if !ok {
			continue
		}
		e, err := xmltree.Read(start, r, xmltree.Limits{Bytes: 4 << 20})
		if err != nil {
			return err
		}
		switch {
		case h.handsOver(e):
			_, err = h.api.Tunnels.PushStanzas(ctx, &jingledv1.PushStanzasRequest{Tunnel: h.ready.GetTunnel(), Stanzas: []string{e.String()}})
		case e.Is(nsClient, "iq") && (e.Attr("type") == "get" || e.Attr("type") == "set"):
			err = h.write(ctx, h.reply(e))
		}
		if err != nil {
			return err
		}
	}
}

// handsOver decides which stanzas are jingled's.
func (h *host) handsOver(e *xmltree.Element) bool {
	if !e.Is(nsClient, "iq") {
		return e.Is(nsClient, "message") || e.Is(nsClient, "presence")
	}
	if t := e.Attr("type"); t == "get" || t == "set" {
		return e.First() != nil && slices.Contains(h.ready.GetRequests(), e.First().Name.Space)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	ours := h.asked[e.Attr("id")]
	delete(h.asked, e.Attr("id"))
	return ours
}

// reply answers for this client: what it is and can do, with what jingled can do.
func (h *host) reply(e *xmltree.Element) *xmltree.Element {
	out := xmltree.New(nsClient, "iq").SetOpt("to", e.Attr("from")).Set("id", e.Attr("id"))
	if e.First().Is(nsDisco, "query") {
		q := xmltree.New(nsDisco, "query").SetOpt("node", e.First().Attr("node"))
		q.Add(xmltree.New(nsDisco, "identity").Set("category", "client").Set("type", "pc").Set("name", "tunnel-go"))
		for _, f := range append([]string{nsDisco}, h.ready.GetFeatures()...) {
			q.Add(xmltree.New(nsDisco, "feature").Set("var", f))
		}
		return out.Set("type", "result").Add(q)
	}
	const nsStanzas = "urn:ietf:params:xml:ns:xmpp-stanzas"
	return out.Set("type", "error").Add(xmltree.New(nsClient, "error").Set("type", "cancel").
		Add(xmltree.New(nsStanzas, "service-unavailable")))
}

// send passes a stanza of jingled on and remembers what it asks.
func (h *host) send(ctx context.Context, text string) error {
	e, err := xmltree.Parse([]byte(text), xmltree.Limits{})
	if err != nil {
		return err
	}
	if t := e.Attr("type"); e.Is(nsClient, "iq") && (t == "get" || t == "set") {
		h.mu.Lock()
		h.asked[e.Attr("id")] = true
		h.mu.Unlock()
	}
	return h.write(ctx, e)
}

func (h *host) write(ctx context.Context, e *xmltree.Element) error {
	return h.session.Send(ctx, xml.NewDecoder(strings.NewReader(e.String())))
}

// answer takes every call and every file.
func (h *host) answer(ctx context.Context, folder string) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	stream, err := h.api.Events.Watch(ctx, &jingledv1.WatchRequest{})
	if err != nil {
		return err
	}
	for stream.Receive() {
		e := stream.Msg().GetEvent()
		if e.GetCallIncoming() != nil {
			_, err = h.api.Calls.AnswerCall(ctx, &jingledv1.AnswerCallRequest{Account: e.GetAccount(), Sid: e.GetSid(),
				Media: &jingledv1.Media{AudioIn: "tone:440"}})
		}
		if e.GetTransferOffered() != nil {
			_, err = h.api.Transfers.AcceptFile(ctx, &jingledv1.AcceptFileRequest{Account: e.GetAccount(), Sid: e.GetSid(), Dir: folder})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	return stream.Err()
}
