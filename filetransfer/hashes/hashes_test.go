package hashes_test

import (
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"github.com/jingled/jingled/filetransfer/hashes"
	"github.com/jingled/jingled/internal/codectest"
	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/xmltree"
)

func registry() *jingle.Registry {
	var r jingle.Registry
	hashes.Register(&r)
	return &r
}

// The values of the empty message and of "abc", from FIPS 180-4, FIPS 202, RFC 7693 and RFC 1321.
func TestGoldenVectors(t *testing.T) {
	for _, v := range []struct {
		algo       hashes.Algo
		empty, abc string
	}{
		{"md5", "d41d8cd98f00b204e9800998ecf8427e", "900150983cd24fb0d6963f7d28e17f72"},
		{"sha-1", "da39a3ee5e6b4b0d3255bfef95601890afd80709", "a9993e364706816aba3e25717850c26c9cd0d89d"},
		{"sha-256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
			"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"sha-512", "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e",
			"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
		{"sha3-256", "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a",
			"3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
		{"sha3-512", "a69f73cca23a9ac5c8b567dc185a756e97c982164fe25859e0d1dcc1475c80a615b2123af1f5f94c11e3e9402c3ac558f500199d95b6d3e301758586281dcd26",
			"b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0"},
		{"blake2b-512", "786a02f742015903c6c6fd852552d272912f4740e15847618a86e217f71f5419d25e1031afee585313896444934eb04b903a685b1448b755d56f701afe9be2ce",
			"ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"},
		{"blake2b-256", "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8",
			"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"},
	} {
		m := hashes.NewMulti(v.algo)
		if got := hex.EncodeToString(m.Sums()[v.algo]); got != v.empty {
			t.Errorf("%s of nothing is %s, want %s", v.algo, got, v.empty)
		}
		m.Write([]byte("a"))
		m.Write([]byte("bc"))
		if got := hex.EncodeToString(m.Sums()[v.algo]); got != v.abc {
			t.Errorf("%s of abc is %s, want %s", v.algo, got, v.abc)
		}
		if v.algo.Size()*2 != len(v.abc) {
			t.Errorf("%s: size %d", v.algo, v.algo.Size())
		}
	}
	if len(hashes.Known) != 8 {
		t.Errorf("%d functions are known and 8 tested", len(hashes.Known))
	}
}

func TestSameBack(t *testing.T) {
	codectest.SameBack(t, registry().Parse,
		`<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>2XarmwTlNxDAMkvymloX3S5+VbylNrJt/l5QyPa+YoU=</hash>`,
		`<hash xmlns='urn:xmpp:hashes:2' algo='sha-1'/>`,
		`<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>AAAA</hash>`,
		`<hash xmlns='urn:xmpp:hashes:2' algo='tiger'>not even base64!</hash>`,
		`<hash xmlns='urn:xmpp:hashes:2' algo='sha-1'>a9993e364706816aba3e25717850c26c9cd0d89d</hash>`,
		`<hash xmlns='urn:xmpp:hashes:1' algo='sha-1'>552da749930852c69ae5d2141d3766b1</hash>`,
		`<hash-used xmlns='urn:xmpp:hashes:2' algo='blake3'/>`)
}

func TestHexIsUnderstood(t *testing.T) {
	h, err := hashes.Parse(codectest.Element(t, `<hash xmlns='urn:xmpp:hashes:1' algo='sha-1'>a9993e364706816aba3e25717850c26c9cd0d89d</hash>`))
	if err != nil || !h.Usable() || h.Hex() != "a9993e364706816aba3e25717850c26c9cd0d89d" {
		t.Fatalf("%+v, %v", h, err)
	}
	// What is no value of the function is kept, but nothing is ever checked against it.
	h, err = hashes.Parse(codectest.Element(t, `<hash xmlns='urn:xmpp:hashes:1' algo='sha-1'>552da749930852c69ae5d2141d3766b1</hash>`))
	if err != nil || h.Usable() {
		t.Fatalf("%+v, %v", h, err)
	}
}

func TestRefused(t *testing.T) {
	long := make([]byte, 2000)
	for i := range long {
		long[i] = 'A'
	}
	codectest.Refused(t, func(e *xmltree.Element) (jingle.Payload, error) { h, err := hashes.Parse(e); return h, err },
		`<hash xmlns='urn:xmpp:hashes:3' algo='sha-1'/>`,
		`<hash xmlns='urn:xmpp:hashes:2'/>`,
		`<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>!!!!</hash>`,
		`<hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>`+string(long)+`</hash>`,
		`<hash xmlns='urn:xmpp:hashes:2' algo='`+string(long)+`'/>`)
}

func TestCorpus(t *testing.T) {
	codectest.Corpus(t, registry(), 30, "xep-0300", "xep-0234", "old-xep-0234-v0.17.2-ns4", "old-xep-0234-v0.15-ns3", "xep-0446", "xep-0447")
}

func FuzzHash(f *testing.F) {
	codectest.Fuzz(f, registry(), []string{"xep-0300"},
		`<hash xmlns='urn:xmpp:hashes:2' algo='sha-1'>2AfMGH8O7UNPTvUVAM9aK13mpCY=</hash>`,
		`<hash-used xmlns='urn:xmpp:hashes:2' algo='sha-256'/>`)
}

func TestCheck(t *testing.T) {
	m := hashes.NewMulti(hashes.SHA256, "id-blake2b256", hashes.SHA1, "tiger", hashes.SHA256)
	m.Write([]byte("abc"))
	sums := m.Sums()
	if len(sums) != 3 || !slices.Equal(m.Algos(), []hashes.Algo{hashes.SHA256, hashes.BLAKE2b256, hashes.SHA1}) {
		t.Fatalf("computed %v", m.Algos())
	}
	good, weak := hashes.Of(hashes.SHA256, sums[hashes.SHA256]), hashes.Of("sha-1", sums[hashes.SHA1])
	alias := hashes.Of("id-blake2b256", sums[hashes.BLAKE2b256])
	unknown := hashes.Of("tiger", []byte{1})
	bad := hashes.Of("sha-1", make([]byte, 20))
	for _, c := range []struct {
		want []hashes.Hash
		algo hashes.Algo
		fail bool
	}{
		{nil, "", false},
		{[]hashes.Hash{unknown}, "", false},
		{[]hashes.Hash{{Algo: "sha-256"}}, "", false},
		{[]hashes.Hash{hashes.Of(hashes.SHA512, make([]byte, 64))}, "", false}, // not computed
		{[]hashes.Hash{weak, unknown}, "sha-1", false},
		{[]hashes.Hash{weak, good, alias}, hashes.BLAKE2b256, false},
		{[]hashes.Hash{good, bad}, "", true},
	} {
		algo, err := sums.Check(c.want)
		if algo != c.algo || (err != nil) != c.fail {
			t.Errorf("%v: %q, %v", c.want, algo, err)
		}
		if mm, ok := errors.AsType[*hashes.MismatchError](err); c.fail && (!ok || mm.Algo != hashes.SHA1) {
			t.Errorf("error %v", err)
		}
	}
	if best, ok := sums.Best(); !ok || best.Algo != hashes.BLAKE2b256 {
		t.Errorf("best is %v", best)
	}
}

func TestOffered(t *testing.T) {
	for a, want := range map[hashes.Algo]bool{"sha-1": false, "md5": false, "sha-256": true, "SHA-256": true, "id-blake2b512": true, "crc32": false} {
		if a.Offered() != want {
			t.Errorf("%s: offered %t", a, a.Offered())
		}
	}
	if !slices.Contains(hashes.Features(), "urn:xmpp:hash-function-text-names:sha3-256") || hashes.Features()[0] != hashes.NS {
		t.Errorf("features %v", hashes.Features())
	}
}
