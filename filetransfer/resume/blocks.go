package resume

import (
	"bytes"
	"crypto/sha256"
	"io"
)

// SumSize is the length of one hash.
const SumSize = sha256.Size

// Bounds of blocks and of what is asked for at once. The answer to MaxCount fits into the stanzas of all servers, which take 10,000
// bytes at least (RFC 6120 section 13.12).
const (
	MinBlock = 64 << 10
	MaxBlock = 1 << 30
	MaxCount = 192
)

// maxBlocks is how many blocks a file has at most: larger files have larger blocks.
const maxBlocks = 16384

// BlockSize returns the size of the blocks of a file: 1 MiB, or the power of two that gives at most 16384 blocks.
func BlockSize(file int64) int64 {
	size := int64(1 << 20)
	for size < MaxBlock && file/size >= maxBlocks {
		size *= 2
	}
	return size
}

// Count returns how many blocks of a size the first n bytes of a file touch.
func Count(n, size int64) int64 { return (n + size - 1) / size }

// Span is a run of blocks, in bytes from the start of the file.
type Span struct{ Offset, Length int64 }

// Hash computes the hashes of a request's blocks of a file that has total bytes. Blocks behind its end have none.
func Hash(file io.ReaderAt, total int64, b Blocks) ([]byte, error) {
	var out []byte
	for i := b.First; i < b.First+b.Count && i*b.Size < total; i++ {
		h := sha256.New()
		length := min(b.Size, total-i*b.Size)
		if n, err := io.Copy(h, io.NewSectionReader(file, i*b.Size, length)); err != nil {
			return nil, err
		} else if n < length {
			return nil, io.ErrUnexpectedEOF
		}
		out = h.Sum(out)
	}
	return out, nil
}

// Differ compares the hashes of an answer with own ones of the same blocks, in a file of total bytes, and returns what
// differs, neighbours in one span. Blocks that we have no hash of differ.
func Differ(b Blocks, own []byte, total int64) []Span {
	var out []Span
	for i := range b.Count {
		offset := (b.First + i) * b.Size
		if offset >= total {
			break
		}
		if at := i * SumSize; at+SumSize <= int64(len(own)) && bytes.Equal(own[at:at+SumSize], b.Sums[at:at+SumSize]) {
			continue
		}
		length := min(b.Size, total-offset)
		if last := len(out) - 1; last >= 0 && out[last].Offset+out[last].Length == offset {
			out[last].Length += length
			continue
		}
		out = append(out, Span{offset, length})
	}
	return out
}
