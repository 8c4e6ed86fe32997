package rtp

import "github.com/jingled/jingled/xmltree"

// NSCategory is the namespace of <category/> (XEP-0507).
const NSCategory = "urn:xmpp:jingle:apps:category:0"

// Category says what a stream shows, so that a screen is not taken for a face (XEP-0507 section 2). It maps to the SDP
// attribute "content" (RFC 4796).
type Category string

// The categories of XEP-0507 section 2. Others are read and kept.
const (
	CategorySlides       Category = "slides"  // presentation or screen
	CategorySpeaker      Category = "speaker" // image of the speaker
	CategorySignLanguage Category = "sl"
	CategoryMain         Category = "main"
	CategoryAlternative  Category = "alt"
)

func (c Category) element() *xmltree.Element {
	return xmltree.New(NSCategory, "category").Set("name", string(c))
}

func parseCategory(e *xmltree.Element) (Category, error) {
	r := xmltree.Attrs(e)
	return Category(required(r, "name", maxName)), r.Err()
}
