package audio

import "time"

// G722 is wideband speech at 64 kbit/s (ITU-T G.722, mode 1), payload type 9. The clock of its RTP timestamp is 8000 Hz by
// a mistake of RFC 1890 that stayed (RFC 3551 section 4.5.2), while it samples at 16 kHz.
func G722() *Codec {
	return &Codec{
		Name: "G722", ClockRate: 8000, Channels: 1, PayloadType: 9,
		NewEncoder: func(EncoderConfig) (Encoder, error) {
			return &g722Encoder{bands: newBands(), res: primed(SampleRate, g722Rate)}, nil
		},
		NewDecoder: func() (Decoder, error) {
			return &g722Decoder{bands: newBands(), concealer: concealer{res: primed(g722Rate, SampleRate)}}, nil
		},
		Duration: func(p []byte) time.Duration { return time.Duration(len(p)) * time.Second / 8000 },
		// No figure of G.113 is on the scale of the narrowband model; it is better than G.711, which has 0.
		Quality: Quality{Ie: 0, Bpl: 25.1},
	}
}

const g722Rate = 16000

// The tables of ITU-T G.722, by their names there.
var (
	// Table 11: the quadrature mirror filters, one half; the other one is its mirror image.
	qmf = [12]int32{3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11}
	// Table 15 and 16: decision levels of the lower band and the codes between them.
	q6  = [30]int32{0, 35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919}
	iln = [31]byte{0, 63, 62, 31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4}
	// Table 18 to 20: the inverse quantisers with 4, 6 and 2 bits.
	qm4 = [16]int32{0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0}
	qm6 = [64]int32{
		-136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232, -9360, -8576, -7856,
		-7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776, -2400, -2032, -1688, -1360, -1040, -728,
		24808, 21904, 19008, 16704, 14984, 13512, 12280, 11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456,
		4944, 4464, 4008, 3576, 3168, 2776, 2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
	}
	qm2 = [4]int32{-7408, -1616, 7408, 1616}
	// Table 12 to 14: how the scale factors follow, and their logarithm's inverse.
	wl4 = [16]int32{-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60}
	wh2 = [4]int32{798, -214, 798, -214}
	ilb = [32]int32{
		2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
		2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
	}
)

// bands are the two halves of the spectrum, each with its predictor, and the memory of the mirror filters.
type bands struct {
	low, high band
	x         [24]int32
}

func newBands() bands { return bands{low: band{det: 32}, high: band{det: 8}} }

// band is the adaptive part of one sub-band (G.722 section 6.2.1): a scale factor, and a predictor with two poles and six
// zeros.
type band struct {
	s, sz int32    // the prediction, and the part of the zeros in it
	nb    int32    // the logarithm of the scale factor
	det   int32    // the scale factor
	r, p  [3]int32 // reconstructed and partially reconstructed signal
	a     [3]int32 // of the poles, from 1
	d, b  [7]int32 // difference signal, and its weights from 1
}

// scale adapts the scale factor (LOGSCL, SCALEL and their likes for the upper band).
func (b *band) scale(weight, limit, shift int32) {
	b.nb = min(max(b.nb*127>>7+weight, 0), limit)
	v := ilb[b.nb>>6&31]
	if by := shift - b.nb>>11; by < 0 {
		v <<= -by
	} else {
		v >>= by
	}
	b.det = v << 2
}

// adapt follows a quantised difference and predicts the next sample (block 4, G.722 section 6.2.1.4).
func (b *band) adapt(d int32) {
	b.d[0], b.r[0], b.p[0] = d, sat(b.s+d), sat(b.sz+d)
	// UPPOL2 and UPPOL1.
	same := func(x, y int32) bool { return x < 0 == (y < 0) }
	w := sat(b.a[1] << 2)
	if same(b.p[0], b.p[1]) {
		w = -w
	}
	w = min(w, 32767) >> 7
	if same(b.p[0], b.p[2]) {
		w += 128
	} else {
		w -= 128
	}
	a2 := min(max(w+b.a[2]*32512>>15, -12288), 12288)
	w = -192
	if same(b.p[0], b.p[1]) {
		w = 192
	}
	limit := sat(15360 - a2)
	a1 := min(max(sat(w+b.a[1]*32640>>15), -limit), limit)
	// UPZERO.
	step := int32(128)
	if d == 0 {
		step = 0
	}
	for i := 1; i < 7; i++ {
		w := -step
		if same(b.d[i], d) {
			w = step
		}
		b.b[i] = sat(w + b.b[i]*32640>>15)
	}
	// DELAYA.
	copy(b.d[1:], b.d[:6])
	b.r[1], b.r[2] = b.r[0], b.r[1]
	b.p[1], b.p[2] = b.p[0], b.p[1]
	b.a[1], b.a[2] = a1, a2
	// FILTEP, FILTEZ, PREDIC.
	sp := sat(b.a[1]*sat(2*b.r[1])>>15 + b.a[2]*sat(2*b.r[2])>>15)
	b.sz = 0
	for i := 6; i > 0; i-- {
		b.sz += b.b[i] * sat(2*b.d[i]) >> 15
	}
	b.sz = sat(b.sz)
	b.s = sat(sp + b.sz)
}

func (b *band) adaptLow(code byte) {
	d := b.det * qm4[code>>2] >> 15
	b.scale(wl4[code>>2], 18432, 8)
	b.adapt(d)
}

func (b *band) adaptHigh(code byte) (d int32) {
	d = b.det * qm2[code] >> 15
	b.scale(wh2[code], 22528, 10)
	b.adapt(d)
	return d
}

// sat keeps a value in 16 bits.
func sat(v int32) int32 { return min(max(v, -32768), 32767) }

type g722Encoder struct {
	bands
	res *Resampler
	pcm []float32
}

// Encode implements [Encoder].
func (e *g722Encoder) Encode(dst []byte, pcm []float32) ([]byte, error) {
	e.pcm = e.res.Process(e.pcm[:0], pcm)
	for i := 0; i+1 < len(e.pcm); i += 2 {
		dst = append(dst, e.encode(int32(ToInt16(e.pcm[i])), int32(ToInt16(e.pcm[i+1]))))
	}
	return dst, nil
}

// encode makes one code of two samples.
func (e *g722Encoder) encode(first, second int32) byte {
	copy(e.x[:], e.x[2:])
	e.x[22], e.x[23] = first, second
	var odd, even int32
	for i, c := range qmf {
		odd += e.x[2*i] * c
		even += e.x[2*i+1] * qmf[11-i]
	}
	low, high := (even+odd)>>14, (even-odd)>>14

	// QUANTL.
	el := sat(low - e.low.s)
	mag := el
	if el < 0 {
		mag = -(el + 1)
	}
	i := 1
	for i < 30 && mag >= q6[i]*e.low.det>>12 {
		i++
	}
	ilow := iln[i]
	if el >= 0 {
		ilow = byte(62 - i) // Table 17 has all codes in order
	}
	e.low.adaptLow(ilow)

	// QUANTH.
	eh := sat(high - e.high.s)
	mag = eh
	if eh < 0 {
		mag = -(eh + 1)
	}
	ihigh := byte(1)
	if mag >= 564*e.high.det>>12 {
		ihigh = 0
	}
	if eh >= 0 {
		ihigh += 2
	}
	e.high.adaptHigh(ihigh)
	return ihigh<<6 | ilow
}

type g722Decoder struct {
	bands
	concealer
	pcm []float32
}

// Decode implements [Decoder].
func (d *g722Decoder) Decode(dst []float32, payload []byte) ([]float32, error) {
	d.pcm = d.pcm[:0]
	for _, code := range payload {
		a, b := d.decode(code)
		d.pcm = append(d.pcm, FromInt16(a), FromInt16(b))
	}
	return d.decoded(dst, d.pcm), nil
}

// decode makes two samples of one code.
func (d *g722Decoder) decode(code byte) (first, second int16) {
	ilow, ihigh := code&63, code>>6
	low := min(max(d.low.s+d.low.det*qm6[ilow]>>15, -16384), 16383)
	d.low.adaptLow(ilow)
	predicted := d.high.s
	high := min(max(predicted+d.high.adaptHigh(ihigh), -16384), 16383)

	copy(d.x[:], d.x[2:])
	d.x[22], d.x[23] = low+high, low-high
	var a, b int32
	for i, c := range qmf {
		b += d.x[2*i] * c
		a += d.x[2*i+1] * qmf[11-i]
	}
	return int16(sat(a >> 11)), int16(sat(b >> 11))
}
