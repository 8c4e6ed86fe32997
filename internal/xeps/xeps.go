// Package xeps is the list of the XMPP extensions that this project implements: which, how far, where, and what service
// discovery says of them. The tables of the documentation are made from it.
package xeps

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

//go:generate go run ./gen

//go:embed xeps.txt
var text string

// Status is how far an extension is implemented.
type Status string

// The statuses. The note of a XEP that is [Partial] says what is missing.
const (
	Yes     Status = "yes"
	Partial Status = "partial"
	No      Status = "no"
)

// Part is a part of the product that can be on or off. Service discovery tells only what is on.
type Part string

// The parts. [Always] is what every client has.
const (
	Always      Part = "always"
	Calls       Part = "calls"
	Video       Part = "video"
	Files       Part = "files"
	S5B         Part = "s5b"
	IBB         Part = "ibb"
	DataChannel Part = "datachannel"
	SI          Part = "si"
	JET         Part = "jet"
	Muji        Part = "muji"
	Invites     Part = "invites"
	Transfer    Part = "transfer"
	RawUDP      Part = "rawudp"
)

var parts = []Part{Always, Calls, Video, Files, S5B, IBB, DataChannel, SI, JET, Muji, Invites, Transfer, RawUDP}

// Feature is a variable of service discovery and the part that it tells of.
type Feature struct {
	Part Part
	Var  string
}

// XEP is one extension.
type XEP struct {
	Group    string // heading in the tables
	Number   string // four digits
	Title    string
	Version  string
	Status   Status
	Packages []string // relative to the module
	Features []Feature
	Note     string
}

// All returns the list, in its own order.
func All() ([]XEP, error) { return parse(text) }

// Features returns what service discovery (XEP-0030) has to say where these parts are on, sorted. [Always] need not be
// named. It panics if the list that was compiled in is broken, which a test rules out.
func Features(on ...Part) []string {
	all, err := All()
	if err != nil {
		panic(err)
	}
	var out []string
	for _, x := range all {
		for _, f := range x.Features {
			if f.Part == Always || slices.Contains(on, f.Part) {
				out = append(out, f.Var)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func parse(text string) ([]XEP, error) {
	var out []XEP
	group := ""
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimRight(line, " \n")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "["):
			group = strings.Trim(line, "[]")
		case !strings.HasPrefix(line, " "):
			number, title, ok := strings.Cut(line, " ")
			if !ok || len(number) != 4 || strings.Trim(number, "0123456789") != "" {
				return nil, fmt.Errorf("xeps.txt:%d: %q is no number and title", n, line)
			}
			out = append(out, XEP{Group: group, Number: number, Title: title})
		case len(out) == 0:
			return nil, fmt.Errorf("xeps.txt:%d: no entry above", n)
		default:
			key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
			if err := out[len(out)-1].set(key, value); err != nil {
				return nil, fmt.Errorf("xeps.txt:%d: %w", n, err)
			}
		}
	}
	return out, nil
}

func (x *XEP) set(key, value string) error {
	if value == "" {
		return fmt.Errorf("%q has no value", key)
	}
	switch key {
	case "version":
		x.Version = value
	case "status":
		x.Status = Status(value)
		if !slices.Contains([]Status{Yes, Partial, No}, x.Status) {
			return fmt.Errorf("status %q is none of yes, partial, no", value)
		}
	case "code":
		x.Packages = strings.Fields(value)
	case "feature":
		part, v, ok := strings.Cut(value, " ")
		if !ok || !slices.Contains(parts, Part(part)) {
			return fmt.Errorf("feature %q does not begin with one of %v", value, parts)
		}
		x.Features = append(x.Features, Feature{Part(part), v})
	case "note":
		x.Note = value
	default:
		return fmt.Errorf("%q is not known", key)
	}
	return nil
}
