package audio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func sine(rate int, freq, amplitude float64, n int) []float32 {
	pcm := make([]float32, n)
	for i := range pcm {
		pcm[i] = float32(amplitude * math.Sin(2*math.Pi*freq*float64(i)/float64(rate)))
	}
	return pcm
}

func TestShareFindsTheTone(t *testing.T) {
	pcm := sine(8000, 440, 0.3, 800)
	if s := Share(pcm, 8000, 440); s < 0.99 {
		t.Errorf("share at the tone is %.3f, want about 1", s)
	}
	if s := Share(pcm, 8000, 880); s > 0.01 {
		t.Errorf("share at twice the tone is %.3f, want about 0", s)
	}
	if s := Share(make([]float32, 800), 8000, 440); s != 0 {
		t.Errorf("share of silence is %v, want 0", s)
	}
}

func TestLevel(t *testing.T) {
	if l := Level(sine(8000, 1000, 1, 8000)); math.Abs(l+3.01) > 0.05 {
		t.Errorf("a full sine has %.2f dB, want -3.01", l)
	}
	if l := Level(make([]float32, 10)); l != -127 {
		t.Errorf("silence has %v dB, want -127", l)
	}
}

func TestResamplerKeepsTonesAndLengths(t *testing.T) {
	for _, c := range []struct {
		from, to int
		freq     float64
	}{
		{8000, 48000, 440}, {8000, 48000, 3000}, {48000, 8000, 440}, {48000, 8000, 3000}, {44100, 48000, 1000},
		{11025, 48000, 4000}, {16000, 48000, 6600}, {96000, 48000, 10000}, {22051, 48000, 1000}, {48000, 48000, 440},
	} {
		r, err := NewResampler(c.from, c.to)
		if err != nil {
			t.Fatal(err)
		}
		in := sine(c.from, c.freq, 0.5, c.from) // one second
		var out []float32
		for len(in) > 0 {
			n := min(333, len(in))
			out = r.Process(out, in[:n])
			in = in[n:]
		}
		out = r.Flush(out)
		if d := len(out) - c.to; d < -8 || d > 8 {
			t.Errorf("%d to %d Hz: one second became %d samples", c.from, c.to, len(out))
		}
		mid := out[c.to/10 : c.to*9/10]
		if s := Share(mid, c.to, c.freq); s < 0.999 {
			t.Errorf("%d to %d Hz: %.0f Hz has the share %.5f", c.from, c.to, c.freq, s)
		}
		if l := Level(mid); math.Abs(l+9.03) > 0.2 {
			t.Errorf("%d to %d Hz: level of %.0f Hz is %.2f dB, want -9.03", c.from, c.to, c.freq, l)
		}
	}
}

func TestResamplerKeepsAliasesOut(t *testing.T) {
	r, err := NewResampler(48000, 8000)
	if err != nil {
		t.Fatal(err)
	}
	// 5 kHz cannot be said at 8 kHz; it would come out as 3 kHz.
	out := r.Process(nil, sine(48000, 5000, 0.5, 48000))
	if l := Level(out[800:]); l > -65 {
		t.Errorf("an alias is at %.1f dB, want below -65", l)
	}
}

func TestResamplerRefusesRates(t *testing.T) {
	for _, r := range [][2]int{{0, 48000}, {48000, 0}, {-8000, 48000}, {1 << 30, 48000}} {
		if _, err := NewResampler(r[0], r[1]); err == nil {
			t.Errorf("%v: no error", r)
		}
	}
}

// The ends of the segments and the codes of zero, from the tables of ITU-T G.711.
func TestG711Vectors(t *testing.T) {
	for _, c := range []struct {
		code byte
		want int16
	}{
		{0xff, 0}, {0x7f, 0}, {0xfe, 8}, {0x80, 32124}, {0x00, -32124}, {0xef, 132}, {0xdf, 396}, {0xcf, 924},
		{0xbf, 1980}, {0xaf, 4092}, {0x9f, 8316}, {0x8f, 16764},
	} {
		if got := decodeMu(c.code); got != c.want {
			t.Errorf("mu-law %#02x is %d, want %d", c.code, got, c.want)
		}
	}
	for _, c := range []struct {
		code byte
		want int16
	}{
		{0xd5, 8}, {0x55, -8}, {0xaa, 32256}, {0x2a, -32256}, {0xc5, 264}, {0xf5, 528}, {0xe5, 1056}, {0x95, 2112},
		{0x85, 4224}, {0xb5, 8448}, {0xa5, 16896},
	} {
		if got := decodeA(c.code); got != c.want {
			t.Errorf("A-law %#02x is %d, want %d", c.code, got, c.want)
		}
	}
	if got := encodeMu(0); got != 0xff {
		t.Errorf("mu-law of 0 is %#02x, want 0xff", got)
	}
	if got := encodeA(0); got != 0xd5 {
		t.Errorf("A-law of 0 is %#02x, want 0xd5", got)
	}
}

func TestG711EveryCodeSurvives(t *testing.T) {
	for i := range 256 {
		b := byte(i)
		if got := encodeMu(decodeMu(b)); got != b && b != 0x7f { // minus zero is zero
			t.Errorf("mu-law %#02x comes back as %#02x", b, got)
		}
		if got := encodeA(decodeA(b)); got != b {
			t.Errorf("A-law %#02x comes back as %#02x", b, got)
		}
	}
	for s := -32768; s < 32767; s++ {
		if decodeMu(encodeMu(int16(s))) > decodeMu(encodeMu(int16(s+1))) {
			t.Fatalf("mu-law falls at %d", s)
		}
		if decodeA(encodeA(int16(s))) > decodeA(encodeA(int16(s+1))) {
			t.Fatalf("A-law falls at %d", s)
		}
	}
}

// codeTone sends a second of a tone through a codec; lose tells which frames do not arrive.
func codeTone(t *testing.T, c *Codec, freq float64, lose func(int) bool) []float32 {
	t.Helper()
	enc, err := c.NewEncoder(EncoderConfig{FEC: true})
	if err != nil {
		t.Fatal(err)
	}
	dec, err := c.NewDecoder()
	if err != nil {
		t.Fatal(err)
	}
	src := NewTone(freq, 0.3)
	var payloads [][]byte
	for range 50 {
		pcm := make([]float32, FrameSize)
		if _, err := src.Read(pcm); err != nil {
			t.Fatal(err)
		}
		p, err := enc.Encode(nil, pcm)
		if err != nil {
			t.Fatal(err)
		}
		if d := c.Duration(p); d != FrameDuration {
			t.Fatalf("a payload of %d bytes lasts %v", len(p), d)
		}
		payloads = append(payloads, p)
	}
	var out []float32
	for i, p := range payloads {
		if lose(i) {
			var next []byte
			if i+1 < len(payloads) {
				next = payloads[i+1]
			}
			out, err = dec.Conceal(out, FrameSize, next)
		} else {
			out, err = dec.Decode(out, p)
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(out) != (i+1)*FrameSize {
			t.Fatalf("after %d frames there are %d samples", i+1, len(out))
		}
	}
	return out
}

func TestCodecsCarryATone(t *testing.T) {
	for _, c := range Codecs() {
		out := codeTone(t, c, 440, func(int) bool { return false })[FrameSize*5:]
		if s := Share(out, SampleRate, 440); s < 0.97 {
			t.Errorf("%s: share of the tone is %.3f", c.Name, s)
		}
		if l := Level(out); math.Abs(l+13.5) > 1.5 {
			t.Errorf("%s: level is %.1f dB, want -13.5", c.Name, l)
		}
	}
}

func TestLostFramesAreConcealed(t *testing.T) {
	for _, c := range Codecs() {
		out := codeTone(t, c, 440, func(i int) bool { return i > 5 && i%10 == 0 })
		// A tenth of the time in the wrong phase leaves (0.9-0.1)^2 of the tone.
		if s := Share(out[FrameSize*5:], SampleRate, 440); s < 0.6 {
			t.Errorf("%s: with a tenth lost the share of the tone is %.3f", c.Name, s)
		}
		// Silence in the gap is what concealment must be better than.
		if l := Level(out[FrameSize*10 : FrameSize*11]); l < -25 {
			t.Errorf("%s: a lost frame has a level of %.1f dB", c.Name, l)
		}
	}
}

func TestDecodersSurviveRubbish(t *testing.T) {
	for _, c := range Codecs() {
		dec, err := c.NewDecoder()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range [][]byte{nil, {}, {0xff}, {0x03, 0xff}, bytes.Repeat([]byte{0xaa}, 4000), {0xfb, 0x41, 1, 2}} {
			out, _ := dec.Decode(nil, p)
			for _, s := range out {
				if math.IsNaN(float64(s)) {
					t.Fatalf("%s: %x decodes to what is no number", c.Name, p)
				}
			}
			_ = c.Duration(p)
			if out, err := dec.Conceal(nil, FrameSize, p); len(out) != FrameSize {
				t.Errorf("%s: concealed %d samples: %v", c.Name, len(out), err)
			}
		}
	}
}

func FuzzOpusDecoder(f *testing.F) {
	f.Add([]byte{0x08, 1, 2, 3})
	f.Add([]byte{0xff})
	f.Add([]byte{0x7b, 0x43, 9, 9, 9, 9, 9, 9})
	f.Fuzz(func(t *testing.T, p []byte) {
		dec, err := newOpusDecoder()
		if err != nil {
			t.Fatal(err)
		}
		out, err := dec.Decode(nil, p)
		if err == nil && len(out) > maxOpusPacket {
			t.Fatalf("%d samples of one packet", len(out))
		}
		if n := opusSamples(p); n < 0 || n > maxOpusPacket {
			t.Fatalf("opusSamples: %d", n)
		}
		if out, _ = dec.Conceal(nil, FrameSize, p); len(out) != FrameSize {
			t.Fatalf("concealed %d samples", len(out))
		}
	})
}

func readAll(t *testing.T, src Source) []float32 {
	t.Helper()
	var all []float32
	pcm := make([]float32, FrameSize)
	for range 10000 {
		n, err := src.Read(pcm)
		all = append(all, pcm[:n]...)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the source does not end")
	return nil
}

func record(t *testing.T, name string, write func(Sink)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	s, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	write(s)
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s has its name before it is whole", name)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + PartSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s left its part", name)
	}
	return path
}

func TestRecordingsPlayBack(t *testing.T) {
	for _, name := range []string{"a.wav", "a.ogg", "a.opus"} {
		path := record(t, name, func(s Sink) {
			tone := NewTone(1000, 0.25)
			pcm := make([]float32, FrameSize)
			for range 50 {
				_, _ = tone.Read(pcm)
				if err := s.WritePCM(pcm); err != nil {
					t.Fatal(err)
				}
			}
		})
		src, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer src.Close()
		pcm := readAll(t, src)
		if d := len(pcm) - SampleRate; d < -400 || d > 400 {
			t.Errorf("%s: a second became %d samples", name, len(pcm))
		}
		if s := Share(pcm[SampleRate/10:], SampleRate, 1000); s < 0.97 {
			t.Errorf("%s: share of the tone is %.3f", name, s)
		}
	}
}

func TestOpusPacketsPassThroughWithGaps(t *testing.T) {
	enc, err := newOpusEncoder(EncoderConfig{})
	if err != nil {
		t.Fatal(err)
	}
	tone := NewTone(440, 0.25)
	path := record(t, "call.ogg", func(s Sink) {
		o, ok := s.(OpusSink)
		if !ok {
			t.Fatal("an Ogg recording does not take packets")
		}
		pcm := make([]float32, FrameSize)
		for i := range 100 {
			_, _ = tone.Read(pcm)
			p, err := enc.Encode(nil, pcm)
			if err != nil {
				t.Fatal(err)
			}
			if i >= 50 && i < 53 {
				p = nil
			}
			if err := o.WriteOpus(p, FrameSize); err != nil {
				t.Fatal(err)
			}
		}
	})
	src, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	pcm := readAll(t, src)
	if want := 2*SampleRate - 312; len(pcm) != want { // RFC 7845 section 4.2: pre-skip
		t.Errorf("two seconds with a gap became %d samples, want %d", len(pcm), want)
	}
	if s := Share(pcm[SampleRate*3/2:], SampleRate, 440); s < 0.97 {
		t.Errorf("share of the tone after the gap is %.3f", s)
	}

	// The same file, judged by the reference implementation.
	opusdec, err := exec.LookPath("opusdec")
	if err != nil {
		t.Skip("opusdec is not installed (Debian: opus-tools); the file was checked by our own reader only")
	}
	wav := filepath.Join(t.TempDir(), "out.wav")
	if out, err := exec.Command(opusdec, "--quiet", "--rate", "48000", path, wav).CombinedOutput(); err != nil {
		t.Fatalf("opusdec: %v: %s", err, out)
	}
	ref, err := Open(wav)
	if err != nil {
		t.Fatal(err)
	}
	defer ref.Close()
	theirs := readAll(t, ref)
	if len(theirs) != len(pcm) {
		t.Errorf("opusdec made %d samples, we %d", len(theirs), len(pcm))
	}
	if s := Share(theirs[SampleRate*3/2:], SampleRate, 440); s < 0.97 {
		t.Errorf("opusdec: share of the tone is %.3f", s)
	}
}

func TestDiscardLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := Create(filepath.Join(dir, "a.wav"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.(*Recorder).Discard(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestCreateRefuses(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "d.wav"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.mp3", "a", "d.wav", "no/such/dir.wav"} {
		if _, err := Create(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// wavFile builds a WAV of one second of 1 kHz.
func wavFile(kind, channels, rate, bits int, extensible bool) []byte {
	var data bytes.Buffer
	for _, s := range sine(rate, 1000, 0.5, rate) {
		for range channels {
			switch {
			case kind == wavFloat:
				_ = binary.Write(&data, binary.LittleEndian, s)
			case bits == 8:
				data.WriteByte(byte(128 + s*127))
			case bits == 16:
				_ = binary.Write(&data, binary.LittleEndian, ToInt16(s))
			case bits == 24:
				v := int32(s * (1 << 23))
				data.Write([]byte{byte(v), byte(v >> 8), byte(v >> 16)})
			case bits == 32:
				_ = binary.Write(&data, binary.LittleEndian, int32(s*(1<<30))*2)
			}
		}
	}
	var f bytes.Buffer
	fmtKind := kind
	if extensible {
		fmtKind = wavExtensible
	}
	for _, v := range []any{
		uint16(fmtKind), uint16(channels), uint32(rate), uint32(rate * channels * bits / 8), uint16(channels * bits / 8),
		uint16(bits),
	} {
		_ = binary.Write(&f, binary.LittleEndian, v)
	}
	if extensible {
		f.Write([]byte{22, 0, byte(bits), 0, 0, 0, 0, 0, byte(kind), 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71})
	}
	var out bytes.Buffer
	chunk := func(id string, b []byte) {
		out.WriteString(id)
		_ = binary.Write(&out, binary.LittleEndian, uint32(len(b)))
		out.Write(b)
		if len(b)%2 == 1 {
			out.WriteByte(0)
		}
	}
	out.WriteString("RIFF\x00\x00\x00\x00WAVE")
	chunk("LIST", []byte("odd"))
	chunk("fmt ", f.Bytes())
	chunk("data", data.Bytes())
	return out.Bytes()
}

func TestWAVFormats(t *testing.T) {
	for _, c := range []struct {
		kind, channels, rate, bits int
		extensible                 bool
	}{
		{wavPCM, 1, 8000, 16, false}, {wavPCM, 2, 44100, 16, false}, {wavPCM, 1, 48000, 8, false},
		{wavPCM, 6, 48000, 24, true}, {wavPCM, 1, 96000, 32, false}, {wavFloat, 2, 16000, 32, true},
	} {
		path := filepath.Join(t.TempDir(), "x.wav")
		if err := os.WriteFile(path, wavFile(c.kind, c.channels, c.rate, c.bits, c.extensible), 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := Open(path)
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		pcm := readAll(t, src)
		src.Close()
		if d := len(pcm) - SampleRate; d < -20 || d > 20 {
			t.Errorf("%+v: a second became %d samples", c, len(pcm))
		}
		if s := Share(pcm, SampleRate, 1000); s < 0.99 {
			t.Errorf("%+v: share of the tone is %.3f", c, s)
		}
		if l := Level(pcm[100 : len(pcm)-100]); math.Abs(l+9.03) > 0.2 {
			t.Errorf("%+v: level is %.2f dB, want -9.03", c, l)
		}
	}
}

func TestOpenTellsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return p
	}
	good := string(wavFile(wavPCM, 1, 8000, 16, false))
	for _, c := range []struct{ spec, want string }{
		{"tone:", "frequency"}, {"tone:NaN", "frequency"}, {"tone:1e9", "frequency"},
		{filepath.Join(dir, "missing"), "no such file"},
		{write("empty", ""), "four bytes"},
		{write("text", "hello world"), "neither WAV nor"},
		{write("riff", "RIFF\x00\x00\x00\x00AVI "), "WAVE"},
		{write("short", good[:30]), "ends"},
		{write("rate", strings.Replace(good, "\x40\x1f\x00\x00\x80", "\x01\x00\x00\x00\x80", 1)), "samples a second"},
		{write("ogg", "OggS\x00 and then something else"), "not Opus"},
	} {
		src, err := Open(c.spec)
		if err == nil {
			src.Close()
			t.Errorf("%s: no error", c.spec)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q does not say %q", c.spec, err, c.want)
		}
	}
}

func FuzzFileSource(f *testing.F) {
	f.Add(wavFile(wavPCM, 1, 8000, 16, false)[:400])
	f.Add([]byte("OggS\x00\x02"))
	f.Add([]byte("RIFF\x00\x00\x00\x00WAVEdata"))
	f.Fuzz(func(t *testing.T, b []byte) {
		src, err := newFileSource(io.NopCloser(bytes.NewReader(b)))
		if err != nil {
			return
		}
		pcm := make([]float32, FrameSize)
		// A sample of the output costs at least a byte of the input, but for what one packet of Opus can say.
		for range 20 + len(b)*10 {
			if _, err := src.Read(pcm); err != nil {
				return
			}
		}
		t.Fatal("the source does not end")
	})
}

func TestToneHasItsFrequencyAcrossFrames(t *testing.T) {
	src, err := Open("tone:440")
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]float32, SampleRate)
	for i := 0; i < len(pcm); i += FrameSize {
		if n, err := src.Read(pcm[i : i+FrameSize]); n != FrameSize || err != nil {
			t.Fatal(n, err)
		}
	}
	if s := Share(pcm, SampleRate, 440); s < 0.999 {
		t.Errorf("share is %.4f", s)
	}
}

func BenchmarkCodecs(b *testing.B) {
	for _, c := range Codecs() {
		b.Run(c.Name, func(b *testing.B) {
			enc, _ := c.NewEncoder(EncoderConfig{FEC: true})
			dec, _ := c.NewDecoder()
			src := NewTone(440, 0.3)
			pcm := make([]float32, FrameSize)
			var p []byte
			var out []float32
			for b.Loop() {
				_, _ = src.Read(pcm)
				p, _ = enc.Encode(p[:0], pcm)
				out, _ = dec.Decode(out[:0], p)
			}
			b.ReportMetric(float64(b.N)*FrameDuration.Seconds()/b.Elapsed().Seconds(), "x-realtime")
		})
	}
}
