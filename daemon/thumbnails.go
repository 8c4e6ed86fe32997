package daemon

import (
	"io"
	"strings"
	"sync"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/thumbnail"
	"github.com/jingled/jingled/filetransfer/transfers"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp"
)

const (
	// maxPictures bounds the small pictures that are kept for those who may fetch them, pictureLife how long.
	maxPictures = 128
	pictureLife = time.Hour
	// pictureTime is how long a peer may take to tell its own.
	pictureTime = 20 * time.Second
)

// pictures are small pictures of what we have offered. Only who was offered the file gets its picture.
type pictures struct {
	mu   sync.Mutex
	kept map[offeredPicture]keptPicture
}

type offeredPicture struct {
	to  jid.JID // bare
	cid string
}

type keptPicture struct {
	thumbnail.Picture
	until time.Time
}

func (p *pictures) keep(to jid.JID, pic thumbnail.Picture, now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, v := range p.kept {
		if now.After(v.until) || len(p.kept) >= maxPictures {
			delete(p.kept, k) // any one, if there are too many: it is only missed
		}
	}
	if p.kept == nil {
		p.kept = make(map[offeredPicture]keptPicture)
	}
	cid := thumbnail.CID(pic.Data)
	p.kept[offeredPicture{to.Bare(), cid}] = keptPicture{pic, now.Add(pictureLife)}
	return cid
}

func (p *pictures) find(to jid.JID, cid string, now time.Time) (thumbnail.Picture, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.kept[offeredPicture{to.Bare(), cid}]
	return k.Picture, ok && now.Before(k.until)
}

// depict adds a small picture to what is offered, if it is an image that can be read (XEP-0264 section 3).
func (a *account) depict(src *transfers.Source, peer jid.JID) {
	if !strings.HasPrefix(src.MediaType, "image/") {
		return
	}
	f, err := src.Open()
	if err != nil {
		return // whoever sends it will say so
	}
	pic, err := thumbnail.Make(f, src.Size)
	closeQuietly(f)
	if err != nil {
		a.log.Debug("no small picture", "of", src.Name, "err", err)
		return
	}
	w, h := uint16(pic.Width), uint16(pic.Height)
	src.Extra = append(src.Extra, filetransfer.Thumbnail{URI: "cid:" + a.pictures.keep(peer, pic, time.Now()),
		MediaType: pic.MediaType, Width: &w, Height: &h}.Element())
}

func closeQuietly(c io.Closer) { _ = c.Close() }

// tellBits answers who asks for a small picture (XEP-0231 section 3).
func (a *account) tellBits(iq *xmpp.IQ) {
	b, err := thumbnail.ParseBits(iq.Payload)
	pic, ok := a.pictures.find(iq.From, b.CID, time.Now())
	if iq.Type != "get" || err != nil || !ok {
		iq.Fail(&jingle.StanzaError{Type: "cancel", Condition: "item-not-found"})
		return
	}
	iq.Reply(thumbnail.Bits{CID: b.CID, MediaType: pic.MediaType, MaxAge: int(pictureLife.Seconds()), Data: pic.Data}.Element())
}

// look asks for the small picture of an offered file and tells clients when it has come.
func (a *account) look(x *transfer, t *transfers.Transfer) {
	for _, th := range t.File().Thumbnails {
		cid, ok := strings.CutPrefix(th.URI, "cid:")
		if !ok { // nothing is fetched from the web unasked
			continue
		}
		a.client.Request(t.Peer(), "get", thumbnail.Bits{CID: cid}.Element(), pictureTime, func(e *xmltree.Element, err error) {
			if err != nil {
				a.log.Debug("small picture", "err", err)
				return
			}
			a.journals.tasks.Go(func() { a.shown(x, t, cid, e) })
		})
		return // one is enough
	}
}

// shown tells of a picture, if it is the one that was named and the offer is still there.
func (a *account) shown(x *transfer, t *transfers.Transfer, cid string, e *xmltree.Element) {
	b, err := thumbnail.ParseBits(e)
	if err != nil || b.CID != cid || strings.HasPrefix(cid, "sha1+") && thumbnail.CID(b.Data) != cid {
		a.log.Debug("a small picture is not the one that was named", "err", err)
		return
	}
	pic, err := thumbnail.Clean(b.Data)
	if err != nil {
		a.log.Debug("small picture", "err", err)
		return
	}
	select {
	case <-t.Done():
		return
	default:
	}
	a.publishTransfer(x, &jingledv1.Event{Body: &jingledv1.Event_TransferThumbnail{TransferThumbnail: &jingledv1.TransferThumbnail{
		MediaType: pic.MediaType, Width: uint32(pic.Width), Height: uint32(pic.Height), Data: pic.Data}}})
}
