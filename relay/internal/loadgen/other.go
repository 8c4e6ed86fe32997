//go:build !linux

package loadgen

// Generator drives one server. It exists on Linux only.
type Generator struct{}

// New fails.
func New(Config) (*Generator, error) { return nil, ErrUnsupported }
