// Package web is the phone that the daemon shows to browsers. Its source is in src, in TypeScript and CSS; make web
// bundles it into dist, which is embedded. Package daemon/webphone serves it.
package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"sync"
)

//go:embed dist
var dist embed.FS

// Files returns the files of the page: index.html and what [Assets] names.
func Files() fs.FS {
	f, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is a constant
	}
	return f
}

// Assets returns the names of the files besides index.html.
func Assets() []string { return []string{"phone.js", "phone.css", "icon.svg"} }

// Version returns an entity tag for a file, with its quotation marks: it changes with the content.
func Version(name string) string { return versions()[name] }

var versions = sync.OnceValue(func() map[string]string {
	out := make(map[string]string)
	for _, name := range append(Assets(), "index.html") {
		b, err := fs.ReadFile(Files(), name)
		if err != nil {
			continue // a test says so
		}
		sum := sha256.Sum256(b)
		out[name] = `"` + hex.EncodeToString(sum[:8]) + `"`
	}
	return out
})
