package httpupload_test

import (
	"bytes"
	"context"
	"os"
	"sync"
	"testing"

	"github.com/jingled/jingled/filetransfer/httpupload"
	"github.com/jingled/jingled/filetransfer/store"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/internal/testkit"
	"github.com/jingled/jingled/internal/xmpptest"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
	"github.com/jingled/jingled/xmpp/disco"
)

// TestServers uploads to Prosody's mod_http_file_share and to ejabberd's mod_http_upload, tells another account and fetches
// there.
func TestServers(t *testing.T) {
	for _, kind := range testkit.Kinds(t) {
		t.Run(string(kind), func(t *testing.T) { uploads(t, testkit.Uploading(t, kind, 2_000_000)) })
	}
}

func uploads(t *testing.T, srv *testkit.Server) {
	romeo, juliet := member(t, srv, "romeo"), member(t, srv, "juliet")
	info, err := disco.QueryInfo(t.Context(), romeo.client, jid.JID(testkit.UploadJID), "")
	if err != nil || !info.Has(httpupload.NS) {
		t.Fatalf("%+v, %v", info, err)
	}
	service := httpupload.Service{JID: jid.JID(testkit.UploadJID), MaxSize: httpupload.MaxSize(info.Forms)}
	if service.MaxSize != 2_000_000 {
		t.Errorf("largest file: %d", service.MaxSize)
	}
	for _, size := range []int{1, 1_500_000} {
		data := bytes.Repeat([]byte("prosody"), size/7+1)[:size]
		if _, err := romeo.m.Send(service, juliet.client.JID(), source("très cool.txt", data), false); err != nil {
			t.Fatal(err)
		}
		if done, ok := romeo.last().(transfers.Done); !ok {
			t.Fatalf("%+v", done)
		}
		done, ok := juliet.last().(transfers.Done)
		if !ok || done.Verified != "sha-256" || done.Transport != httpupload.NS {
			t.Fatalf("%+v", done)
		}
		if got, err := os.ReadFile(done.Path); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
	// What the service refuses, it refuses in words that are understood.
	if _, err := romeo.m.Send(httpupload.Service{JID: service.JID}, juliet.client.JID(), source("large", make([]byte, 2_000_001)), false); err != nil {
		t.Fatal(err)
	}
	if f, ok := romeo.last().(transfers.Failed); !ok || f.Text == "" {
		t.Errorf("%+v", f)
	}
}

type online struct {
	*account
	client *xmpp.Client
}

func member(t *testing.T, srv *testkit.Server, user string) *online {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	srv.AddUser(t, user, "pw")
	a := &account{t: t, events: make(chan transfers.Event, 1000)}
	folder, err := store.Open(t.TempDir(), store.Config{})
	must(err)
	files, err := transfers.New(transfers.Config{
		Transports: func(jid.JID, bool) []engine.TransportFactory { return nil },
		Events: func(e transfers.Event) {
			if o, ok := e.(transfers.Offered); ok {
				o.Transfer.Accept(folder)
			}
			a.events <- e
		}})
	must(err)
	client := xmpptest.Client(t, xmpptest.At(srv, user, "pw"))
	a.m, err = httpupload.NewManager(httpupload.Config{
		Request: func(to jid.JID, e *xmltree.Element, done func(*xmltree.Element, error)) {
			client.Request(to, "get", e, 0, done)
		},
		Send: client.Send, Transfers: files, Allow: loopback, RootCAs: srv.Pool(), UploadRootCAs: srv.Pool(),
	})
	must(err)
	client.HandleMessage(func(m *xmpp.Message) {
		if s, ok := httpupload.Find(m.Element); ok && !m.Outgoing() {
			if _, err := a.m.Offer(m.From, s); err != nil {
				t.Error(err)
			}
		}
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = files.Run(ctx) })
	wg.Go(func() { _ = a.m.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		_ = folder.Close()
	})
	xmpptest.Run(t, client)
	return &online{a, client}
}
