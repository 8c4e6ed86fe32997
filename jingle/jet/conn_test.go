package jet_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mrand "math/rand/v2"
	"testing"
	"time"

	"github.com/jingled/jingled/jingle/jet"
	"github.com/jingled/jingled/xmltree"
)

// pipe is a connection that keeps what is written.
type pipe struct{ bytes.Buffer }

func (*pipe) Close() error { return nil }

func secret(t testing.TB, c jet.Cipher) jet.Secret {
	t.Helper()
	s, err := jet.NewSecret(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// oneShot encrypts as the standard library does, all at once.
func oneShot(t testing.TB, s jet.Secret, text []byte) []byte {
	t.Helper()
	b := s.Bytes()
	block, err := aes.NewCipher(b[:len(b)-12])
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return gcm.Seal(nil, b[len(b)-12:], text, nil)
}

func conn(t testing.TB, rw io.ReadWriteCloser, s jet.Secret, size int) *jet.Conn {
	t.Helper()
	c, err := jet.NewConn(rw, s, int64(size))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSameAsGCM compares with the standard library, whatever pieces the stream is written and read in.
func TestSameAsGCM(t *testing.T) {
	for _, c := range []jet.Cipher{jet.AES128GCM, jet.AES256GCM} {
		for _, size := range []int{1, 15, 16, 17, 31, 32, 4096, 65535, 65536, 65537, 262144, 262145, 700_001} {
			s := secret(t, c)
			text := make([]byte, size)
			_, _ = rand.Read(text)
			want := oneShot(t, s, text)
			for _, most := range []int{7, 16, 1000, 300_000} {
				if size/most > 100_000 {
					continue
				}
				p := &pipe{}
				w := conn(t, p, s, size)
				for rest := text; len(rest) > 0; {
					n := min(len(rest), 1+mrand.IntN(most))
					if m, err := w.Write(rest[:n]); m != n || err != nil {
						t.Fatal(m, err)
					}
					rest = rest[n:]
				}
				if !bytes.Equal(p.Bytes(), want) {
					t.Fatalf("%s, %d bytes in pieces of %d: not what GCM makes of them", c, size, most)
				}
				r := conn(t, p, s, size)
				var got []byte
				for b := make([]byte, most); len(got) <= size; {
					n, err := r.Read(b[:1+mrand.IntN(most)])
					got = append(got, b[:n]...)
					if err == io.EOF {
						break
					}
					if err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(got, text) {
					t.Fatalf("%s, %d bytes in pieces of %d: other text", c, size, most)
				}
			}
		}
	}
}

func TestForged(t *testing.T) {
	s := secret(t, jet.AES128GCM)
	text := bytes.Repeat([]byte("secret"), 50_000)
	good := oneShot(t, s, text)
	for name, change := range map[string]func([]byte) []byte{
		"first byte":      func(b []byte) []byte { b[0] ^= 1; return b },
		"a byte between":  func(b []byte) []byte { b[100_000] ^= 0x80; return b },
		"last byte":       func(b []byte) []byte { b[len(text)-1] ^= 1; return b },
		"tag":             func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
		"blocks swapped":  func(b []byte) []byte { copy(b[:16], good[16:32]); copy(b[16:32], good[:16]); return b },
		"cut in the tag":  func(b []byte) []byte { return b[:len(b)-1] },
		"cut in the text": func(b []byte) []byte { return b[:1000] },
		"another key":     func([]byte) []byte { return oneShot(t, secret(t, jet.AES128GCM), text) },
	} {
		p := &pipe{}
		p.Write(change(bytes.Clone(good)))
		got, err := io.ReadAll(conn(t, p, s, len(text)))
		if err == nil || len(got) >= len(text) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		if cut := name[:3] == "cut"; !cut && !errors.Is(err, jet.ErrForged) || cut && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBounds(t *testing.T) {
	s := secret(t, jet.AES256GCM)
	if _, err := jet.NewConn(&pipe{}, s, jet.MaxSize+1); err == nil {
		t.Error("a stream of more than one key may encrypt")
	}
	if _, err := conn(t, &pipe{}, s, 3).Write([]byte("1234")); err == nil {
		t.Error("more was written than announced")
	}
	for _, b := range [][]byte{nil, make([]byte, 27), make([]byte, 29), make([]byte, 44)} {
		if _, err := jet.ParseSecret(jet.AES128GCM, b); !errors.Is(err, jet.ErrSecret) {
			t.Errorf("a secret of %d bytes: %v", len(b), err)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v", s, s, s); bytes.Contains([]byte(text), s.Bytes()[:4]) || len(text) > 300 {
		t.Errorf("a secret prints as %q", text)
	}
}

type fakeEnvelope struct{}

func (fakeEnvelope) Type() string { return "urn:fake" }
func (fakeEnvelope) Seal(_ jet.Context, b []byte) ([]*xmltree.Element, error) {
	return []*xmltree.Element{xmltree.New("urn:fake", "box").AddText(fmt.Sprintf("%x", b))}, nil
}
func (fakeEnvelope) Open(c jet.Context, e []*xmltree.Element) ([]byte, string, error) {
	if c.Initiator != "romeo@montague.lit" {
		return nil, "", errors.New("not for us")
	}
	var b []byte
	_, err := fmt.Sscanf(e[0].Text(), "%x", &b)
	return b, "romeo's", err
}

func TestEnvelope(t *testing.T) {
	romeo, tybalt := jet.Context{Initiator: "romeo@montague.lit", Content: "file"}, jet.Context{Initiator: "tybalt@capulet.lit"}
	sec, s, err := jet.Seal(fakeEnvelope{}, romeo)
	if c, ok := sec.Known(); err != nil || !ok || c != jet.AES256GCM || sec.Type != "urn:fake" || sec.Name != "file" {
		t.Errorf("%v, %v", sec, err)
	}
	got, identity, err := sec.Open(romeo, fakeEnvelope{})
	if err != nil || !bytes.Equal(got.Bytes(), s.Bytes()) || identity != "romeo's" {
		t.Errorf("%v, %q, %v", got, identity, err)
	}
	if _, _, err := sec.Open(tybalt, fakeEnvelope{}); err == nil {
		t.Error("opened for somebody else")
	}
	if _, _, err := sec.Open(romeo); err == nil {
		t.Error("opened without an envelope")
	}
	sec.Cipher = string(jet.AES128GCM)
	if _, _, err := sec.Open(romeo, fakeEnvelope{}); !errors.Is(err, jet.ErrSecret) {
		t.Errorf("a key for another cipher: %v", err)
	}
	sec.Cipher = "urn:other"
	if _, _, err := sec.Open(romeo, fakeEnvelope{}); err == nil {
		t.Error("an unknown cipher")
	}
}

// TestEmpty has a tag and nothing else, and it is checked.
func TestEmpty(t *testing.T) {
	s, p := secret(t, jet.AES128GCM), &pipe{}
	if err := conn(t, p, s, 0).Finish(); err != nil || !bytes.Equal(p.Bytes(), oneShot(t, s, nil)) {
		t.Errorf("%x, %v", p.Bytes(), err)
	}
	good := bytes.Clone(p.Bytes())
	if err := conn(t, p, s, 0).Check(); err != nil {
		t.Error(err)
	}
	p.Write(good[:15])
	if err := conn(t, p, s, 0).Check(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a cut tag: %v", err)
	}
	p.Reset()
	p.Write(oneShot(t, secret(t, jet.AES128GCM), nil))
	if err := conn(t, p, s, 0).Check(); !errors.Is(err, jet.ErrForged) {
		t.Errorf("another key: %v", err)
	}
	if conn(t, p, s, 1).Finish() == nil || conn(t, p, s, 1).Check() == nil {
		t.Error("one byte is missing, and that is fine")
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) Read([]byte) (int, error)    { return 0, io.EOF }
func (discard) Close() error                { return nil }

// BenchmarkWrite compares the stream with the standard library's GCM on pieces of the same size, in the same run.
func BenchmarkWrite(b *testing.B) {
	s := secret(b, jet.AES128GCM)
	text := make([]byte, 256<<10)
	c := conn(b, discard{}, s, jet.MaxSize)
	raw := s.Bytes()
	block, _ := aes.NewCipher(raw[:16])
	gcm, _ := cipher.NewGCM(block)
	out := make([]byte, 0, len(text)+16)
	var ours, theirs time.Duration
	b.SetBytes(int64(len(text)))
	for range b.N {
		began := time.Now()
		if _, err := c.Write(text); err != nil {
			b.Fatal(err)
		}
		middle := time.Now()
		gcm.Seal(out, raw[16:], text, nil)
		ours, theirs = ours+middle.Sub(began), theirs+time.Since(middle)
	}
	b.ReportMetric(float64(b.N)*float64(len(text))/1e6/ours.Seconds(), "ours-MB/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-of-one-shot")
}
