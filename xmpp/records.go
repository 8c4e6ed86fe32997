package xmpp

import "crypto/tls"

// record is how many bytes of a stanza go into one record of TLS. Prosody reads 8 KiB at a time (read_size); when a record
// has more, it waits for some milliseconds before it reads on. In-band bytestreams are five times faster without.
const record = 8 << 10

// Write implements [net.Conn].
func (c *conn) Write(b []byte) (int, error) {
	if _, ok := c.Conn.(*tls.Conn); !ok {
		return c.Conn.Write(b)
	}
	written := 0
	for len(b) > record {
		n, err := c.Conn.Write(b[:record])
		written += n
		if err != nil {
			return written, err
		}
		b = b[record:]
	}
	n, err := c.Conn.Write(b)
	return written + n, err
}
