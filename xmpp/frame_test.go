package xmpp

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// frames reads everything from a framer.
func frames(r io.Reader, limit int) (out []string, err error) {
	f := newFramer(r, limit)
	for {
		b, kind, err := f.next()
		if err != nil {
			return out, err
		}
		out = append(out, fmt.Sprintf("%s: %s", kind, b))
		if kind == frameClose {
			return out, nil
		}
	}
}

func TestFramer(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, tc := range []struct {
		name, in string
		want     []string
		err      error
	}{
		{"stream", "\n<?xml version='1.0'?> <s:s a='>' b=\"'/>\"> <a/>\n<b c='/'>t</b><c><d/><d></d></c></s:s>", []string{
			"stream header: <?xml version='1.0'?><s:s a='>' b=\"'/>\">", "element: <a/>", "element: <b c='/'>t</b>",
			"element: <c><d/><d></d></c>", "end of the stream: </s:s>"}, nil},
		{"what looks like an end", "<s><a><![CDATA[</a>]]]]></a><b><!-- </b> - -- ></b>--></b><c><?p </c> ? >?></c></s>", []string{
			"stream header: <s>", "element: <a><![CDATA[</a>]]]]></a>", "element: <b><!-- </b> - -- ></b>--></b>",
			"element: <c><?p </c> ? >?></c>", "end of the stream: </s>"}, nil},
		{"over the limit", "<s><a i='1'>" + long + "</a><b i='2'/><a><c>" + long + "</c></a><d " + long + "/><d " + long + "></d><e/></s>", []string{
			"stream header: <s>", "oversize element: <a i='1'/>", "element: <b i='2'/>", "oversize element: <a/>", "oversize element: ",
			"oversize element: ", "element: <e/>", "end of the stream: </s>"}, nil},
		{"no XML", "HTTP/1.1 400", nil, errNotXML},
		{"TLS", "\x16\x03\x01", nil, errTLSBytes},
		{"text", "<s>x", []string{"stream header: <s>"}, errStreamText},
		{"document type", "<!DOCTYPE s>", nil, errRestricted},
		{"entity inside", "<s><a><!ENTITY x 'y'></a>", []string{"stream header: <s>"}, errRestricted},
		{"cut off", "<s><a>", []string{"stream header: <s>"}, io.ErrUnexpectedEOF},
		{"nothing", "", nil, io.EOF},
		{"header without end", "<s " + strings.Repeat(long, 200), nil, errNotXML},
	} {
		for _, r := range []struct {
			how string
			r   io.Reader
		}{{"whole", strings.NewReader(tc.in)}, {"bytewise", iotest.OneByteReader(strings.NewReader(tc.in))}} {
			got, err := frames(r.r, 60)
			if !slices.Equal(got, tc.want) || !errors.Is(err, tc.err) || (err != nil) != (tc.err != nil) {
				t.Errorf("%s, %s: %q, %v", tc.name, r.how, got, err)
			}
		}
	}
}

// TestFramerMemory passes over a stanza of a gigabyte without holding it.
func TestFramerMemory(t *testing.T) {
	body := bytes.Repeat([]byte("x"), 1<<20)
	var parts []io.Reader
	parts = append(parts, strings.NewReader("<s><a b='c'>"))
	for range 256 {
		parts = append(parts, bytes.NewReader(body))
	}
	parts = append(parts, strings.NewReader("</a><b/></s>"))
	f := newFramer(io.MultiReader(parts...), 256<<10)
	var kinds []frameKind
	for {
		b, kind, err := f.next()
		if err != nil {
			t.Fatal(err)
		}
		if cap(f.cur) > 512<<10 {
			t.Fatalf("%d bytes held", cap(f.cur))
		}
		if kind == frameOversize && string(b) != "<a b='c'/>" {
			t.Errorf("%s", b)
		}
		kinds = append(kinds, kind)
		if kind == frameClose {
			break
		}
	}
	if !slices.Equal(kinds, []frameKind{frameHeader, frameOversize, frameElement, frameClose}) {
		t.Error(kinds)
	}
}

// boundaries cuts a stream at its children with encoding/xml, the reference. ok is false if it is not well-formed.
func boundaries(in string) (cuts []string, ok bool) {
	d := xml.NewDecoder(strings.NewReader(in))
	depth, from := 0, int64(0)
	for {
		before := d.InputOffset()
		tok, err := d.RawToken()
		if err == io.EOF {
			return cuts, depth == 0
		}
		if err != nil {
			return nil, false
		}
		switch tok.(type) {
		case xml.StartElement:
			if depth == 1 {
				from = before
			}
			depth++
		case xml.EndElement:
			depth--
			if depth == 1 {
				cuts = append(cuts, in[from:d.InputOffset()])
			}
			if depth == 0 {
				return cuts, true // what comes after the end of the stream is nobody's
			}
		case xml.Directive:
			return nil, false
		}
	}
}

// FuzzFramer checks that the framer cuts what is well-formed where encoding/xml does, whatever the size of the reads,
// and that nothing else makes it panic or hold more than its limit.
func FuzzFramer(f *testing.F) {
	for _, s := range []string{
		"<a/><b>x</b>", "<a b='>'/>", `<a b="'"><![CDATA[</a>]]></a>`, "<a><!-- > --></a> <c/>", "<a><?x ?></a>", "<a></a",
		"<a><b/></a></x>", "x", "<a b=c/>", "<!DOCTYPE a>", "<a/></s:s><z/>", "<a><![CDATA[]]></a>", "<a><!----></a>",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, children string) {
		in := "<s:s>" + children + "</s:s>"
		whole, err1 := frames(strings.NewReader(in), 1<<20)
		bytewise, err2 := frames(iotest.OneByteReader(strings.NewReader(in)), 1<<20)
		if !slices.Equal(whole, bytewise) || fmt.Sprint(err1) != fmt.Sprint(err2) {
			t.Fatalf("depends on the size of reads:\n%q %v\n%q %v", whole, err1, bytewise, err2)
		}
		small := newFramer(strings.NewReader(in), 8)
		for {
			b, kind, err := small.next()
			if err != nil || kind == frameClose {
				break
			}
			if len(b) > 8+1 && kind != frameHeader { // "/>" in place of ">"
				t.Fatalf("frame of %d bytes over the limit", len(b))
			}
		}
		want, ok := boundaries(in)
		if !ok || err1 != nil {
			return
		}
		var got []string
		for _, f := range whole {
			if s, ok := strings.CutPrefix(f, "element: "); ok {
				got = append(got, s)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%q\ncut as %q\nwant   %q", in, got, want)
		}
	})
}

// FuzzStanza feeds the parser of single stanzas.
func FuzzStanza(f *testing.F) {
	for _, s := range []string{"<iq type='get' id='1' from='a@b/c'><x xmlns='y'/></iq>", "<message/>", "<a:b:c/>", "<iq></x>", "<a/><b/>", "x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := newConn(nil, nil, Limits{Stanza: 1 << 16, Depth: 32})
		if err := c.readHeader([]byte(streamOpen)); err != nil {
			t.Fatal(err)
		}
		e, err := c.parse(b)
		if err != nil {
			return
		}
		again, err := c.parse(e.AppendXML(nil, nsClient))
		if err != nil || !again.Equal(e) {
			t.Fatalf("%q was read as %s and written and read as %s, %v", b, e, again, err)
		}
	})
}

func BenchmarkFramerAndParse(b *testing.B) {
	stanza := "<iq type='set' id='1' from='bob@example.test/x' to='alice@example.test/y'><data xmlns='http://jabber.org/protocol/ibb' seq='1' sid='s'>" +
		strings.Repeat("QUJD", 1365) + "</data></iq>"
	b.SetBytes(int64(len(stanza)))
	r := &repeat{s: []byte(stanza), head: []byte(streamOpen)}
	c := newConn(nil, nil, Limits{Stanza: 256 << 10, Depth: 32})
	c.f.r = r
	if _, _, err := c.next(); err != nil {
		b.Fatal(err)
	}
	// What it is compared with: encoding/xml reading the same stanza without keeping anything.
	const n = 200
	began := time.Now()
	for range n {
		d := xml.NewDecoder(strings.NewReader(stanza))
		for {
			if _, err := d.Token(); err != nil {
				break
			}
		}
	}
	bare := time.Since(began) / n
	for b.Loop() {
		frame, _, err := c.next()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := c.parse(frame); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(bare), "x-encoding/xml")
}

// repeat reads the same stanza for ever.
type repeat struct {
	head, s []byte
	at      int
}

func (r *repeat) Read(p []byte) (int, error) {
	if len(r.head) > 0 {
		n := copy(p, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	n := copy(p, r.s[r.at:])
	r.at = (r.at + n) % len(r.s)
	return n, nil
}
