package filetransfer

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// Digest is a SHA-256 of what a <file/> says of its file: name, size, date, media type, descriptions and hashes. Two
// elements have the same if they say the same, however they are written.
func (f *File) Digest() []byte {
	h := sha256.New()
	put := func(fields ...string) {
		for _, s := range fields {
			var length [8]byte
			binary.BigEndian.PutUint64(length[:], uint64(len(s)))
			h.Write(length[:])
			h.Write([]byte(s))
		}
	}
	size := ""
	if f.Size != nil {
		size = strconv.FormatInt(*f.Size, 10)
	}
	put(f.Name, size, f.Date, f.MediaType, strconv.Itoa(len(f.Desc)))
	for _, d := range f.Desc {
		put(d.Lang, d.Text)
	}
	put(strconv.Itoa(len(f.Hashes)))
	for _, x := range f.Hashes {
		put(string(x.Algo), string(x.Sum))
	}
	return h.Sum(nil)
}
