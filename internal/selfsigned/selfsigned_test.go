package selfsigned_test

import (
	"crypto/x509"
	"testing"

	"github.com/jingled/jingled/internal/selfsigned"
)

// verify is the check that a TLS client makes.
func verify(server, trusted *selfsigned.Chain, name string) error {
	_, err := server.TLS.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: trusted.Pool()})
	return err
}

func TestChain(t *testing.T) {
	c, err := selfsigned.New("example.test", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := selfsigned.New("example.test")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"example.test", "127.0.0.1"} {
		if err := verify(c, c, name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if verify(c, c, "other.test") == nil {
		t.Error("another name is accepted")
	}
	if verify(c, other, "example.test") == nil {
		t.Error("another authority is accepted")
	}
	if _, err := selfsigned.New(); err == nil {
		t.Error("a certificate without a name is made")
	}
}
