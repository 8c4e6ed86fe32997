package s5b

import "io"

// ServeForTest lets in one client, as a proxy does, and returns the stream that it asked for.
func ServeForTest(c io.ReadWriter) (string, error) {
	dst, err := accept(c)
	if err == nil {
		err = reply(c, replyOK, dst)
	}
	return dst, err
}

// ConnectForTest is the client's side.
func ConnectForTest(c io.ReadWriter, dstaddr string) error { return connect(c, dstaddr) }
