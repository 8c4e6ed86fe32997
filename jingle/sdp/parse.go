package sdp

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of what [Parse] takes. A browser's description of a call has some 10 KiB.
const (
	maxBytes = 512 << 10
	maxLine  = 32 << 10
	maxLines = 16384
	maxMedia = 128
)

// ParseError says what of a text is no SDP.
type ParseError struct {
	Line    int // from 1, or 0 if the whole is meant
	Problem string
}

func (e *ParseError) Error() string {
	if e.Line == 0 {
		return "sdp: " + e.Problem
	}
	return fmt.Sprintf("sdp: line %d %s", e.Line, e.Problem)
}

// Parse reads a session description (RFC 8866). It is liberal: lines may end with LF alone, stand in a wrong order, or
// be of no known type. Its error is a [*ParseError].
func Parse(text string) (*Session, error) {
	if len(text) > maxBytes {
		return nil, &ParseError{0, fmt.Sprintf("has %d bytes, at most %d are taken", len(text), maxBytes)}
	}
	s := &Session{}
	n := 0
	for l := range strings.Lines(text) {
		l = strings.TrimRight(l, "\r\n")
		if n++; n > maxLines {
			return nil, &ParseError{n, "is one too many"}
		}
		if n == 1 && strings.TrimSpace(l) != "v=0" {
			return nil, &ParseError{n, `is not "v=0"`}
		}
		if problem := s.parseLine(l); problem != "" {
			return nil, &ParseError{n, problem}
		}
	}
	if n == 0 {
		return nil, &ParseError{0, "is empty"}
	}
	return s, nil
}

// parseLine takes one line, and returns what is wrong with it or "".
func (s *Session) parseLine(l string) (problem string) {
	switch {
	case strings.TrimSpace(l) == "":
		return ""
	case len(l) > maxLine:
		return "is too long"
	case len(l) < 2 || l[1] != '=':
		return "is not of the form x=value"
	case strings.ContainsFunc(l, func(r rune) bool { return r != '\t' && oneLine(r) != r }):
		return "has control characters"
	}
	value := l[2:]
	bandwidths, attributes := &s.Bandwidths, &s.Attributes
	if n := len(s.Media); n > 0 {
		bandwidths, attributes = &s.Media[n-1].Bandwidths, &s.Media[n-1].Attributes
	}
	switch l[0] {
	case 'o':
		if f := strings.Fields(value); len(f) >= 3 {
			s.ID, _ = strconv.ParseUint(f[1], 10, 64)
			s.Version, _ = strconv.ParseUint(f[2], 10, 64)
		}
	case 's':
		if s.Name = strings.TrimSpace(value); s.Name == "-" {
			s.Name = ""
		}
	case 'b':
		t, v, _ := strings.Cut(strings.TrimSpace(value), ":")
		if n, err := strconv.ParseUint(v, 10, 64); err == nil && token(t) {
			*bandwidths = append(*bandwidths, Bandwidth{t, n})
		}
	case 'a':
		key, v, _ := strings.Cut(value, ":")
		// Chromium writes "a=msid-semantic: WMS".
		attributes.add(strings.TrimSpace(key), strings.TrimSpace(v))
	case 'm':
		return s.parseMedia(value)
	}
	return ""
}

func (s *Session) parseMedia(value string) (problem string) {
	if len(s.Media) == maxMedia {
		return "has one media description too many"
	}
	f := strings.Fields(value)
	if len(f) < 4 {
		return "has no media, port, protocol and formats"
	}
	first, _, _ := strings.Cut(f[1], "/") // a number of ports may follow
	port, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return "has no port from 0 to 65535"
	}
	s.Media = append(s.Media, Media{Type: f[0], Port: uint16(port), Proto: f[2], Formats: f[3:]})
	return ""
}
