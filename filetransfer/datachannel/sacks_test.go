package datachannel

import (
	"bytes"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// written notes what goes through.
type written struct {
	net.Conn
	packets [][]byte
}

func (w *written) Write(p []byte) (int, error) {
	w.packets = append(w.packets, bytes.Clone(p))
	return len(p), nil
}

func (*written) Close() error { return nil }

// sack is an SCTP packet with an acknowledgement of everything up to tsn.
func sack(tsn byte) []byte {
	p := make([]byte, 28)
	p[12], p[15], p[19] = 3, 16, tsn
	return p
}

// TestSacks lets an acknowledgement wait for a later one, and nothing else.
func TestSacks(t *testing.T) {
	data := append(make([]byte, 12), 0, 3, 0, 20, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 53, 'd', 'a', 't', 'a')
	lossy := append(sack(9), 0, 2, 0, 3) // of a gap
	lossy[15], lossy[25] = 20, 1
	twice := sack(9)
	twice[27] = 1 // a duplicate, that does not follow: not ours to judge
	type packets = [][]byte
	for name, c := range map[string]struct{ in, out packets }{
		"the last one counts":        {packets{sack(1), sack(2), sack(3)}, packets{sack(3)}},
		"before data":                {packets{sack(1), sack(2), data, sack(3)}, packets{sack(2), data, sack(3)}},
		"a loss is told at once":     {packets{sack(8), lossy}, packets{sack(8), lossy}},
		"so is a duplicate":          {packets{twice, sack(10)}, packets{twice, sack(10)}},
		"data and handshakes":        {packets{data, data}, packets{data, data}},
		"too short for anything":     {packets{{}, {1}}, packets{{}, {1}}},
		"with data in one packet":    {packets{append(sack(4), data[12:]...), sack(5)}, packets{append(sack(4), data[12:]...), sack(5)}},
		"nothing waits without them": {nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &written{}
				conn := thin(w)
				for _, p := range c.in {
					if n, err := conn.Write(p); n != len(p) || err != nil {
						t.Errorf("%d, %v", n, err)
					}
				}
				time.Sleep(sackTime)
				synctest.Wait()
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
				if !slices.EqualFunc(w.packets, c.out, bytes.Equal) {
					t.Errorf("%v", w.packets)
				}
			})
		})
	}
}

// TestSackIsNotHeldBack sends an acknowledgement that none follows.
func TestSackIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &written{}
		conn := thin(w)
		defer conn.Close()
		for i := range byte(5) {
			if _, err := conn.Write(sack(i)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * sackTime)
			synctest.Wait()
			if len(w.packets) != int(i)+1 {
				t.Fatalf("%d packets after %d acknowledgements", len(w.packets), i+1)
			}
		}
	})
}
