package filetransfer

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxSafeName is the length of a safe name in bytes. File systems have 255 and names grow by " (2)" and ".part".
const maxSafeName = 200

// DefaultName is what a file is called whose name has nothing usable in it.
const DefaultName = "file"

// SafeName makes a name that a peer sent fit to be created in a folder, on every system: one path element in Unicode
// NFC, at most 200 bytes, without separators, control or direction characters, characters and names that Windows
// reserves, and without a beginning or an end that has a meaning somewhere (XEP-0234 section 12). A path is cut down
// to its last element. SafeName of its own result is the same.
func SafeName(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = norm.NFC.String(strings.Map(safeRune, norm.NFC.String(strings.ToValidUTF8(name, "_"))))
	for {
		next := safeEnds(name)
		if next == name {
			return name
		}
		name = next // shortening may have made a new end, or another name
	}
}

func safeEnds(name string) string {
	name = strings.TrimRight(strings.TrimLeft(name, " "), ". ") // Windows drops them, and "x." would be "x"
	if name == "" {
		return DefaultName
	}
	// A dot hides the file, a dash looks like an option, a tilde like a home.
	if strings.ContainsRune(".-~", rune(name[0])) {
		name = "_" + name[1:]
	}
	if reservedOnWindows(name) {
		name = "_" + name
	}
	return shorten(name, maxSafeName)
}

// safeRune maps what must not stand in a name to an underscore, blanks to one kind, and what cannot be seen to nothing.
func safeRune(r rune) rune {
	switch {
	case strings.ContainsRune(`<>:"/\|?*`, r), r == utf8.RuneError:
		return '_'
	case unicode.Is(unicode.Zs, r):
		return ' '
	// Control, format (direction marks and overrides among them), surrogate and private use; line separators.
	case unicode.In(r, unicode.C, unicode.Zl, unicode.Zp):
		return -1
	}
	return r
}

// PlainText makes a peer's sentence fit to be shown on a terminal: one line without control or direction characters, of
// at most limit bytes.
func PlainText(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.White_Space, r):
			return ' '
		case unicode.In(r, unicode.C):
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= limit {
		return s
	}
	const more = "..."
	cut := max(limit-len(more), 0)
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + more
}

// reservedOnWindows reports whether the name up to its first dot is a device on Windows.
func reservedOnWindows(name string) bool {
	stem, _, _ := strings.Cut(name, ".")
	stem = strings.ToUpper(strings.TrimRight(stem, " "))
	switch stem {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$":
		return true
	}
	for _, device := range []string{"COM", "LPT"} {
		if n, ok := strings.CutPrefix(stem, device); ok && utf8.RuneCountInString(n) == 1 && strings.ContainsAny(n, "0123456789¹²³") {
			return true
		}
	}
	return false
}

// NumberedName returns the name for the n-th file of the same name, "name (2).ext" for n = 2; n below 2 is the first.
// name must be safe, and the result is.
func NumberedName(name string, n int) string {
	if n < 2 {
		return name
	}
	stem, ext := splitExt(name)
	suffix := " (" + strconv.Itoa(n) + ")" + ext
	return shorten(stem, maxSafeName-len(suffix)) + suffix
}

// shorten cuts a name to at most limit bytes, between characters, and keeps its extension.
func shorten(name string, limit int) string {
	if len(name) <= limit {
		return name
	}
	stem, ext := splitExt(name)
	if len(ext) >= limit {
		stem, ext = name, ""
	}
	cut := max(limit-len(ext), 0)
	for cut > 0 && !utf8.RuneStart(stem[cut]) {
		cut--
	}
	return strings.TrimRight(stem[:cut], " ") + ext
}

// splitExt splits off the extension, .tar.gz and its like as one. What is long is no extension.
func splitExt(name string) (stem, ext string) {
	i := strings.LastIndexByte(name, '.')
	if i <= 0 || len(name)-i > 16 || strings.ContainsRune(name[i:], ' ') {
		return name, ""
	}
	if s, ok := strings.CutSuffix(name[:i], ".tar"); ok && s != "" {
		i = len(s)
	}
	return name[:i], name[i:]
}
