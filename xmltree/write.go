package xmltree

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// AppendXML appends the element's text to dst. ns is the default namespace where it will stand; a declaration is
// written only where it changes.
func (e *Element) AppendXML(dst []byte, ns string) []byte {
	dst = append(dst, '<')
	dst = append(dst, e.Name.Local...)
	if e.Name.Space != ns {
		dst = append(dst, ` xmlns="`...)
		dst = appendEscaped(dst, e.Name.Space, true)
		dst = append(dst, '"')
	}
	prefixes := 0
	for i := range e.Attrs {
		a := &e.Attrs[i]
		dst = append(dst, ' ')
		switch a.Name.Space {
		case "":
		case xmlNS:
			dst = append(dst, "xml:"...)
		default:
			prefixes++
			p := "n" + strconv.Itoa(prefixes)
			dst = append(dst, "xmlns:"+p+`="`...)
			dst = appendEscaped(dst, a.Name.Space, true)
			dst = append(dst, `" `+p+`:`...)
		}
		dst = append(dst, a.Name.Local...)
		dst = append(dst, '=', '"')
		dst = appendEscaped(dst, a.Value, true)
		dst = append(dst, '"')
	}
	if len(e.Children) == 0 {
		return append(dst, '/', '>')
	}
	dst = append(dst, '>')
	for _, n := range e.Children {
		switch c := n.(type) {
		case *Element:
			dst = c.AppendXML(dst, e.Name.Space)
		case Text:
			dst = appendEscaped(dst, string(c), false)
		}
	}
	dst = append(dst, '<', '/')
	dst = append(dst, e.Name.Local...)
	return append(dst, '>')
}

// String returns the element as XML text.
func (e *Element) String() string { return string(e.AppendXML(nil, "")) }

// appendEscaped writes s so that a parser reads back the same s; characters that XML 1.0 cannot hold become U+FFFD.
func appendEscaped(dst []byte, s string, attr bool) []byte {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e || strings.ContainsRune(`&<>"'`, r) }) {
		return append(dst, s...)
	}
	for _, r := range s {
		switch {
		case r == '&':
			dst = append(dst, "&amp;"...)
		case r == '<':
			dst = append(dst, "&lt;"...)
		case r == '>':
			dst = append(dst, "&gt;"...)
		case r == '"' && attr:
			dst = append(dst, "&quot;"...)
		case r == '\t' && attr:
			dst = append(dst, "&#9;"...)
		case r == '\n' && attr:
			dst = append(dst, "&#10;"...)
		case r == '\r':
			dst = append(dst, "&#13;"...)
		case r == '\t', r == '\n',
			r >= 0x20 && r <= 0xd7ff, r >= 0xe000 && r <= 0xfffd, r >= 0x10000:
			dst = utf8.AppendRune(dst, r)
		default:
			dst = utf8.AppendRune(dst, utf8.RuneError)
		}
	}
	return dst
}
