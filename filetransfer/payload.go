package filetransfer

import (
	"encoding/xml"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

// Description is the <description/> of a file content (XEP-0234 section 5). Whether it is an offer or a request is
// said by the content's senders, not here (section 4.1).
type Description struct {
	// NS is the version; "" is [NS].
	NS   string
	File File
	// Form is "offer" or "request" in [NS3], where such an element stood around the files, and "" elsewhere.
	Form string
	// More are further files of one description, which only [NS3] has.
	More []File
	// Extra holds children that are none of these.
	Extra []*xmltree.Element
}

// Element implements [jingle.Payload].
func (d Description) Element() *xmltree.Element {
	ns := orNS(d.NS)
	e := xmltree.New(ns, "description")
	into := e
	if d.Form != "" {
		into = xmltree.New(ns, d.Form)
		e.Add(into)
	}
	into.Add(d.File.element(ns))
	for i := range d.More {
		into.Add(d.More[i].element(ns))
	}
	return addClones(e, d.Extra)
}

// ParseDescription reads a <description/> of any version.
func ParseDescription(e *xmltree.Element) (jingle.Payload, error) {
	if err := expect(e, "description"); err != nil {
		return nil, err
	}
	d := Description{NS: e.Name.Space}
	from := e
	if d.NS == NS3 {
		for _, form := range []string{"offer", "request"} {
			if c := e.Child(d.NS, form); c != nil && from == e {
				from, d.Form = c, form
			}
		}
	}
	n := 0
	for c := range from.Elements() {
		if !c.Is(d.NS, "file") {
			continue
		}
		f, err := parseFile(c)
		if err != nil {
			return nil, err
		}
		if n++; n == 1 {
			d.File = f
		} else {
			d.More = append(d.More, f)
		}
	}
	switch {
	case n == 0:
		return nil, &xmltree.Error{Element: "description", Problem: "has no <file/>"}
	case n > 1 && d.NS != NS3, n > maxList:
		return nil, &xmltree.Error{Element: "description", Problem: "has too many <file/> elements"}
	}
	for c := range e.Elements() {
		if c != from && !c.Is(d.NS, "file") {
			d.Extra = append(d.Extra, c)
		}
	}
	return d, nil
}

// Checksum is the <checksum/> of a session-info: hashes that were not known at the time of the offer (section 8.2).
type Checksum struct {
	// NS is the version; "" is [NS].
	NS string
	// Creator and Name identify the content. Conversations leaves out Creator (0), [NS3] had neither.
	Creator jingle.Role
	Name    string
	// File carries hashes, of the whole file or of a range.
	File File
}

// Element implements [jingle.Payload].
func (c Checksum) Element() *xmltree.Element {
	ns := orNS(c.NS)
	return xmltree.New(ns, "checksum").SetOpt("creator", c.Creator.String()).SetOpt("name", c.Name).Add(c.File.element(ns))
}

// ParseChecksum reads a <checksum/>.
func ParseChecksum(e *xmltree.Element) (jingle.Payload, error) {
	if err := expect(e, "checksum"); err != nil {
		return nil, err
	}
	c := Checksum{NS: e.Name.Space}
	var err error
	if c.Creator, c.Name, err = contentRef(e); err != nil {
		return nil, err
	}
	f := e.Child(c.NS, "file")
	if f == nil {
		return nil, &xmltree.Error{Element: "checksum", Problem: "has no <file/>"}
	}
	if c.File, err = parseFile(f); err != nil {
		return nil, err
	}
	return c, nil
}

// Received is the <received/> of a session-info: the file is complete (section 8.1).
type Received struct {
	// NS is the version; "" is [NS].
	NS string
	// Creator and Name identify the content, where they are present.
	Creator jingle.Role
	Name    string
	// File identifies the file in [NS3], by its hash; nil elsewhere.
	File *File
}

// Element implements [jingle.Payload].
func (r Received) Element() *xmltree.Element {
	return infoElement("received", r.NS, r.Creator, r.Name, r.File)
}

// ParseReceived reads a <received/>.
func ParseReceived(e *xmltree.Element) (jingle.Payload, error) {
	r := Received{}
	var err error
	if r.NS, r.Creator, r.Name, r.File, err = parseInfo(e, "received"); err != nil {
		return nil, err
	}
	return r, nil
}

// Abort is the <abort/> of a session-info, which gives up one file in [NS3]; later versions have content-remove.
type Abort struct {
	// NS is the version; it is never "".
	NS   string
	File *File
}

// Element implements [jingle.Payload].
func (a Abort) Element() *xmltree.Element { return infoElement("abort", a.NS, 0, "", a.File) }

// ParseAbort reads an <abort/>.
func ParseAbort(e *xmltree.Element) (jingle.Payload, error) {
	a := Abort{}
	var err error
	if a.NS, _, _, a.File, err = parseInfo(e, "abort"); err != nil {
		return nil, err
	}
	return a, nil
}

func infoElement(local, ns string, creator jingle.Role, name string, f *File) *xmltree.Element {
	ns = orNS(ns)
	e := xmltree.New(ns, local).SetOpt("creator", creator.String()).SetOpt("name", name)
	if f != nil {
		e.Add(f.element(ns))
	}
	return e
}

func parseInfo(e *xmltree.Element, local string) (ns string, creator jingle.Role, name string, f *File, err error) {
	if err = expect(e, local); err != nil {
		return
	}
	ns = e.Name.Space
	if creator, name, err = contentRef(e); err != nil {
		return
	}
	if c := e.Child(ns, "file"); c != nil {
		var got File
		if got, err = parseFile(c); err == nil {
			f = &got
		}
	}
	return
}

func contentRef(e *xmltree.Element) (jingle.Role, string, error) {
	r := xmltree.Attrs(e)
	name := r.String("name")
	if len(name) > maxName {
		r.Fail("name", "is too long")
	}
	var role jingle.Role
	switch r.OneOf("creator", "initiator", "responder") {
	case "initiator":
		role = jingle.Initiator
	case "responder":
		role = jingle.Responder
	}
	return role, name, r.Err()
}

// FileNotAvailable returns the application condition of section 9.1, which stands beside failed-application.
func FileNotAvailable() *xmltree.Element { return xmltree.New(NSErrors, "file-not-available") }

// FileTooLarge returns the application condition of section 9.2, which stands beside media-error.
func FileTooLarge() *xmltree.Element { return xmltree.New(NSErrors, "file-too-large") }

// Register adds the payloads of this package and of package hashes to r.
func Register(r *jingle.Registry) {
	for _, ns := range []string{NS, NS4, NS3} {
		r.Register(ns, "description", ParseDescription)
		r.Register(ns, "checksum", ParseChecksum)
		r.Register(ns, "received", ParseReceived)
	}
	r.Register(NS3, "abort", ParseAbort)
	for _, ns := range []string{NSThumbs, NSThumbs0} {
		r.Register(ns, "thumbnail", func(e *xmltree.Element) (jingle.Payload, error) {
			t, err := ParseThumbnail(e)
			if err != nil {
				return nil, err
			}
			return t, nil
		})
	}
	hashes.Register(r)
}

// IsNS reports whether ns is a version of XEP-0234 that is read.
func IsNS(ns string) bool { return ns == NS || ns == NS4 || ns == NS3 }

func expect(e *xmltree.Element, local string) error {
	if e.Name.Local != local || !IsNS(e.Name.Space) {
		return &xmltree.Error{Element: e.Name.Local, Problem: "is not a <" + local + "/> of " + NS}
	}
	return nil
}

func orNS(ns string) string {
	if ns == "" {
		return NS
	}
	return ns
}

func addClones(e *xmltree.Element, extra []*xmltree.Element) *xmltree.Element {
	for _, x := range extra {
		e.Add(x.Clone())
	}
	return e
}

func langAttr(v string) xml.Attr {
	return xml.Attr{Name: xml.Name{Space: xmlLangNS, Local: "lang"}, Value: v}
}

// lang returns the xml:lang of e.
func lang(e *xmltree.Element) string {
	for _, a := range e.Attrs {
		if a.Name.Local == "lang" && a.Name.Space == xmlLangNS {
			return a.Value
		}
	}
	return ""
}
