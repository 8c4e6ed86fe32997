package daemon

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer/thumbnail"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
)

func TestThumbnails(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	img := image.NewRGBA(image.Rect(0, 0, 600, 300))
	for i := range img.Pix {
		img.Pix[i] = 200
	}
	img.Set(0, 0, color.White)
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "photo.png")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: path}); err != nil {
		t.Fatal(err)
	}
	e := bob.await("a picture", func(e *jingledv1.Event) bool { return e.GetTransferThumbnail() != nil })
	pic := e.GetTransferThumbnail()
	got, err := png.Decode(bytes.NewReader(pic.GetData()))
	if err != nil || got.Bounds().Dx() != 128 || pic.GetWidth() != 128 || pic.GetHeight() != 64 || pic.GetMediaType() != "image/png" {
		t.Errorf("%v, %v", pic, err)
	}
	// Nobody else gets it.
	acc := alice.accounts[0]
	acc.pictures.mu.Lock()
	var cid string
	for k := range acc.pictures.kept {
		cid = k.cid
	}
	acc.pictures.mu.Unlock()
	ask := func(from *actor) *xmltree.Element {
		reply := make(chan *xmltree.Element, 1)
		from.accounts[0].client.Request(acc.client.JID(), "get", thumbnail.Bits{CID: cid}.Element(), 10*time.Second,
			func(e *xmltree.Element, _ error) { reply <- e })
		return <-reply
	}
	carol := act(t, srv, "carol", nil)
	if ask(bob) == nil || ask(carol) != nil {
		t.Error("the picture is for bob alone")
	}
	if _, err := bob.EndTransfer(t.Context(), &jingledv1.EndTransferRequest{Sid: e.GetSid()}); err != nil {
		t.Fatal(err)
	}
	alice.await("the end", isEnd)
	if _, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: bob.jid.String(), Path: path, NoThumbnail: true}); err != nil {
		t.Fatal(err)
	}
	e = bob.await("an offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil })
	acc = bob.accounts[0]
	acc.mu.Lock()
	if th := acc.transfers[e.GetSid()].t.File().Thumbnails; len(th) > 0 {
		t.Errorf("%v", th)
	}
	acc.mu.Unlock()
	if _, err := bob.EndTransfer(t.Context(), &jingledv1.EndTransferRequest{Sid: e.GetSid()}); err != nil {
		t.Fatal(err)
	}
	alice.await("the end", isEnd)
}

func TestPicturesAreBounded(t *testing.T) {
	var p pictures
	now := time.Now()
	for i := range 3 * maxPictures {
		p.keep(jid.JID("bob@example.org/x"), thumbnail.Picture{Data: []byte{byte(i), byte(i >> 8)}}, now)
	}
	if len(p.kept) > maxPictures {
		t.Errorf("%d are kept", len(p.kept))
	}
	cid := p.keep("bob@example.org/x", thumbnail.Picture{Data: []byte("new")}, now)
	if _, ok := p.find("bob@example.org/y", cid, now); !ok {
		t.Error("the newest is gone")
	}
	if _, ok := p.find("bob@example.org/y", cid, now.Add(2*pictureLife)); ok {
		t.Error("it is kept for ever")
	}
}
