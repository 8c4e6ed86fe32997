package disco

import (
	"encoding/xml"

	"github.com/jingled/jingled/xmltree"
)

func setLang(e *xmltree.Element, lang string) {
	if lang != "" {
		e.Attrs = append(e.Attrs, xml.Attr{Name: xml.Name{Space: nsXML, Local: "lang"}, Value: lang})
	}
}
