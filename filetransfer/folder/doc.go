// Package folder sends a folder as one file: a tar archive that is made while it is sent, and can be read from anywhere, so
// that an interrupted transfer goes on. To anybody it is a file NAME.tar. To clients of this project the offer also has
//
//	<folder xmlns='https://github.com/jingled/jingled/ns/folder/0' files='12'/>
//
// in its <file/>, by which they know that it may be unpacked when it has arrived and is verified.
//
// Regular files and folders go into the archive, with their times and whether they are executable; links and devices do not.
// [Unpack] takes nothing else out either, creates nothing outside its folder, and makes nothing executable.
package folder

import (
	"strconv"

	"github.com/jingled/jingled/xmltree"
)

// NS is the namespace of <folder/>, and a feature of service discovery.
const NS = "https://github.com/jingled/jingled/ns/folder/0"

// MaxFiles is how many files and folders one archive may have.
const MaxFiles = 100_000

// maxDepth is how deep folders may be in each other.
const maxDepth = 64

// Element marks the offer of an archive with so many files.
func Element(files int) *xmltree.Element {
	return xmltree.New(NS, "folder").Set("files", strconv.Itoa(files))
}

// Find returns how many files the archive of an offer is said to have; ok is false if it is no archive of a folder. extra
// are the further children of its <file/>.
func Find(extra []*xmltree.Element) (files int, ok bool) {
	for _, e := range extra {
		if e.Is(NS, "folder") {
			n, err := strconv.Atoi(e.Attr("files"))
			return n, err == nil && n >= 0 && n <= MaxFiles
		}
	}
	return 0, false
}
