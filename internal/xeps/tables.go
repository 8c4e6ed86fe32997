package xeps

import (
	"errors"
	"fmt"
	"strings"
)

// Marks in README.md between which the table stands.
const (
	begin = "<!-- made by make docs from internal/xeps/xeps.txt -->"
	end   = "<!-- end of what make docs made -->"
)

// Document returns docs/xeps.md.
func Document(all []XEP) string {
	var b strings.Builder
	b.WriteString(`# XMPP extensions

This table is made by ` + "`make docs`" + ` from ` + "`internal/xeps/xeps.txt`" + `, which service discovery is made from as well.
A test keeps the three in step.

**yes**: all of it that concerns a client or, where the code is in ` + "`relay`" + `, a relay works.
**partial**: the note says what does not.
`)
	group := ""
	for _, x := range all {
		if x.Group != group {
			group = x.Group
			fmt.Fprintf(&b, "\n## %s\n\n| XEP | Title | Version | Status | Where | Note |\n|---|---|---|---|---|---|\n", group)
		}
		code := make([]string, len(x.Packages))
		for i, p := range x.Packages {
			code[i] = "[`" + p + "`](../" + p + ")"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", link(x), x.Title, x.Version, x.Status, strings.Join(code, " "), x.Note)
	}
	return b.String()
}

// Readme returns README.md with a fresh table between the marks.
func Readme(old string, all []XEP) (string, error) {
	head, rest, ok := strings.Cut(old, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", errors.New("xeps: README.md has not both marks")
	}
	var b strings.Builder
	b.WriteString(head + begin + "\n")
	group := ""
	for _, x := range all {
		if x.Status == No {
			continue
		}
		if x.Group != group {
			if group != "" {
				b.WriteString("\n")
			}
			group = x.Group
			fmt.Fprintf(&b, "| %s | | Version | |\n|---|---|---|---|\n", group)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", link(x), x.Title, x.Version, x.Status)
	}
	b.WriteString(end + tail)
	return b.String(), nil
}

func link(x XEP) string {
	return fmt.Sprintf("[%s](https://xmpp.org/extensions/xep-%s.html)", x.Number, x.Number)
}
