package httpupload

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jingled/jingled/filetransfer"
	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// The namespaces of slots (XEP-0363), out-of-band URLs (XEP-0066), shared files (XEP-0447) and what they are made of.
const (
	NS         = "urn:xmpp:http:upload:0"
	NSOOB      = "jabber:x:oob"
	NSShare    = "urn:xmpp:sfs:0"
	NSMetadata = "urn:xmpp:file:metadata:0"
	NSURLData  = "http://jabber.org/protocol/url-data"
	nsFallback = "urn:xmpp:fallback:0"
	nsClient   = "jabber:client"
)

const (
	maxURL     = 4096
	maxHeader  = 4096 // bytes of a header's value
	maxHeaders = 8
	maxList    = 64
)

// Request asks for a slot (XEP-0363 section 4). It implements [jingle.Payload].
type Request struct {
	Name        string
	Size        int64
	ContentType string // "" where absent
}

// Element implements [jingle.Payload].
func (r Request) Element() *xmltree.Element {
	return xmltree.New(NS, "request").Set("filename", r.Name).Set("size", strconv.FormatInt(r.Size, 10)).
		SetOpt("content-type", r.ContentType)
}

// Slot is where to put a file and where it can be got. It implements [jingle.Payload].
type Slot struct {
	Put, Get string
	// Header has those headers of the PUT that XEP-0363 section 4 allows, without line breaks; others are not read.
	Header http.Header
}

// allowedHeaders are the only ones that may be asked for (XEP-0363 section 4).
var allowedHeaders = []string{"Authorization", "Cookie", "Expires"}

// Element implements [jingle.Payload].
func (s Slot) Element() *xmltree.Element {
	put := xmltree.New(NS, "put").Set("url", s.Put)
	for _, name := range allowedHeaders {
		for _, v := range s.Header.Values(name) {
			put.Add(xmltree.New(NS, "header").Set("name", name).AddText(v))
		}
	}
	return xmltree.New(NS, "slot").Add(put, xmltree.New(NS, "get").Set("url", s.Get))
}

// ParseSlot reads a <slot/>. Both addresses are https.
func ParseSlot(e *xmltree.Element) (Slot, error) {
	if !e.Is(NS, "slot") {
		return Slot{}, &xmltree.Error{Element: "slot", Problem: "is not a <slot/> of " + NS}
	}
	s := Slot{Header: http.Header{}}
	put, get := e.Child(NS, "put"), e.Child(NS, "get")
	if put == nil || get == nil {
		return Slot{}, &xmltree.Error{Element: "slot", Problem: "has not both <put/> and <get/>"}
	}
	s.Put, s.Get = put.Attr("url"), get.Attr("url")
	for _, u := range []string{s.Put, s.Get} {
		if _, err := ParseURL(u); err != nil {
			return Slot{}, &xmltree.Error{Element: "slot", Attr: "url", Problem: err.Error()}
		}
	}
	n := 0
	for h := range put.Elements() {
		// Section 4: others are passed over, and line breaks stripped from what is taken.
		name := http.CanonicalHeaderKey(strings.NewReplacer("\r", "", "\n", "").Replace(h.Attr("name")))
		if !h.Is(NS, "header") || !slices.Contains(allowedHeaders, name) {
			continue
		}
		value := strings.NewReplacer("\r", "", "\n", "").Replace(h.Text())
		if n++; n > maxHeaders || len(value) > maxHeader {
			return Slot{}, &xmltree.Error{Element: "put", Problem: "has too many or too long headers"}
		}
		s.Header.Add(name, value)
	}
	return s, nil
}

// ParseURL reads an address that a file may be fetched from or put to: https, with a host and without credentials. What
// follows a # is dropped.
func ParseURL(s string) (*url.URL, error) {
	if len(s) > maxURL {
		return nil, errors.New("the URL is too long")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil:
		return nil, errors.New("the URL cannot be read")
	case u.Scheme != "https":
		return nil, fmt.Errorf("only https is used, not %.20q", u.Scheme)
	case u.Hostname() == "" || u.Opaque != "":
		return nil, errors.New("the URL names no host")
	case u.User != nil:
		return nil, errors.New("the URL has credentials in it")
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// Share is a <file-sharing/> of XEP-0447 with an https source. It implements [jingle.Payload].
type Share struct {
	Disposition string // "inline", "attachment" or ""
	// File is what the sender says of the file. Its thumbnails are not read.
	File filetransfer.File
	URL  string
}

// Element implements [jingle.Payload].
func (s Share) Element() *xmltree.Element {
	f := xmltree.New(NSMetadata, "file")
	text := func(local, v string) {
		if v != "" {
			f.Add(xmltree.New(NSMetadata, local).AddText(v))
		}
	}
	text("date", s.File.Date)
	for _, d := range s.File.Desc {
		text("desc", d.Text)
	}
	text("media-type", s.File.MediaType)
	text("name", s.File.Name)
	if s.File.Size != nil {
		text("size", strconv.FormatInt(*s.File.Size, 10))
	}
	for _, h := range s.File.Hashes {
		f.Add(h.Element())
	}
	return xmltree.New(NSShare, "file-sharing").SetOpt("disposition", s.Disposition).
		Add(f, xmltree.New(NSShare, "sources").Add(xmltree.New(NSURLData, "url-data").Set("target", s.URL)))
}

// ParseShare reads a <file-sharing/>. One without an https source is an error.
func ParseShare(e *xmltree.Element) (Share, error) {
	bad := func(problem string) (Share, error) {
		return Share{}, &xmltree.Error{Element: "file-sharing", Problem: problem}
	}
	if !e.Is(NSShare, "file-sharing") {
		return bad("is not a <file-sharing/> of " + NSShare)
	}
	s := Share{Disposition: e.Attr("disposition")}
	f, sources := e.Child(NSMetadata, "file"), e.Child(NSShare, "sources")
	if f == nil || sources == nil {
		return bad("has not both a file and sources")
	}
	n := 0
	for c := range f.Elements() {
		if n++; n > maxList {
			return bad("says too much of the file")
		}
		switch {
		case c.Is(NSMetadata, "name"):
			s.File.Name = c.Text()
		case c.Is(NSMetadata, "media-type"):
			s.File.MediaType = c.Text()
		case c.Is(NSMetadata, "date"):
			s.File.Date = c.Text()
		case c.Is(NSMetadata, "desc"):
			s.File.Desc = append(s.File.Desc, filetransfer.Desc{Text: c.Text()})
		case c.Is(NSMetadata, "size"):
			size, err := strconv.ParseInt(strings.TrimSpace(c.Text()), 10, 64)
			if err != nil || size < 0 {
				return bad("has a size that is no number of bytes")
			}
			s.File.Size = &size
		case hashes.IsNS(c.Name.Space) && c.Name.Local == "hash":
			h, err := hashes.Parse(c)
			if err != nil {
				return Share{}, err
			}
			s.File.Hashes = append(s.File.Hashes, h)
		}
	}
	for c := range sources.Elements() {
		if _, err := ParseURL(c.Attr("target")); c.Is(NSURLData, "url-data") && err == nil {
			s.URL = c.Attr("target")
			break
		}
	}
	if s.URL == "" {
		return bad("has no source that can be used")
	}
	return s, nil
}

// Message returns the message that tells a peer where the file is.
func Message(to, id string, s Share) *xmltree.Element {
	fallback := xmltree.New(nsFallback, "fallback").Set("for", NSShare).Add(xmltree.New(nsFallback, "body"))
	return xmltree.New(nsClient, "message").Set("type", "chat").Set("to", to).Set("id", id).Add(
		xmltree.New(nsClient, "body").AddText(s.URL), // XEP-0066: clients show what is in both as a file
		xmltree.New(NSOOB, "x").Add(xmltree.New(NSOOB, "url").AddText(s.URL)),
		s.Element(), fallback,
	)
}

// Find returns the file that a message shares, if it shares one that can be fetched. Of a message that only has an
// out-of-band URL the name is the end of its path, and the size is not known.
func Find(message *xmltree.Element) (Share, bool) {
	if typ := message.Attr("type"); typ == "error" || typ == "groupchat" || typ == "headline" {
		return Share{}, false
	}
	if e := message.Child(NSShare, "file-sharing"); e != nil {
		if s, err := ParseShare(e); err == nil {
			if s.File.Name == "" {
				s.File.Name = nameOf(s.URL)
			}
			return s, true
		}
	}
	x := message.Child(NSOOB, "x")
	if x == nil {
		return Share{}, false
	}
	address := strings.TrimSpace(x.ChildText(NSOOB, "url"))
	if _, err := ParseURL(address); err != nil {
		return Share{}, false
	}
	s := Share{URL: address, File: filetransfer.File{Name: nameOf(address)}}
	if d := x.ChildText(NSOOB, "desc"); d != "" {
		s.File.Desc = []filetransfer.Desc{{Text: d}}
	}
	return s, true
}

func nameOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return path.Base(u.Path)
}

// TooLargeError says that a service takes no file of this size.
type TooLargeError struct{ Max int64 }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the server takes files of at most %d bytes", e.Max)
}

// RetryError says that a service takes no file now.
type RetryError struct{ After time.Time }

func (e *RetryError) Error() string {
	return "the server takes no more files before " + e.After.Format(time.RFC3339)
}

// refusal makes a better error of a service's (XEP-0363 section 6).
func refusal(err error) error {
	var se *jingle.StanzaError
	if !errors.As(err, &se) || se.App == nil {
		return err
	}
	switch {
	case se.App.Is(NS, "file-too-large"):
		if n, perr := strconv.ParseInt(se.App.ChildText(NS, "max-file-size"), 10, 64); perr == nil {
			return errors.Join(&TooLargeError{n}, err)
		}
	case se.App.Is(NS, "retry"):
		if at, perr := time.Parse(time.RFC3339Nano, se.App.Attr("stamp")); perr == nil {
			return errors.Join(&RetryError{at}, err)
		}
	}
	return err
}

// MaxSize returns the largest file that a service takes, in bytes, from the data forms of its answer to service
// discovery (XEP-0363 section 3); 0 if it does not say.
func MaxSize(forms []*xmltree.Element) int64 {
	const nsForms = "jabber:x:data"
	for _, x := range forms {
		values := map[string]string{}
		for f := range x.Elements() {
			if f.Is(nsForms, "field") {
				values[f.Attr("var")] = f.ChildText(nsForms, "value")
			}
		}
		if n, err := strconv.ParseInt(values["max-file-size"], 10, 64); err == nil && values["FORM_TYPE"] == NS && n > 0 {
			return n
		}
	}
	return 0
}
