package video

import (
	"net"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// What the peer wants of the pictures is told to the program that sends them.
func TestRTPSourceTellsTheProgram(t *testing.T) {
	source, err := ListenRTP("rtp:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	source.KeyFrame() // nobody is there yet
	program, err := net.DialUDP("udp4", nil, source.Addr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	b, err := (&rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: 96, SSRC: 77}, Payload: []byte{1}}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := program.Write(b); err != nil {
		t.Fatal(err)
	}
	if _, err := source.Read(t.Context()); err != nil {
		t.Fatal(err)
	}
	source.KeyFrame()
	source.Bitrate(500_000)
	if err := program.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1500)
	for i := range 2 {
		n, err := program.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		packets, err := rtcp.Unmarshal(buf[:n])
		if err != nil || len(packets) != 2 {
			t.Fatalf("%v, %v", packets, err)
		}
		switch p := packets[1].(type) {
		case *rtcp.PictureLossIndication:
			if i != 0 || p.MediaSSRC != 77 {
				t.Errorf("packet %d: %v", i, p)
			}
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			if i != 1 || p.SSRCs[0] != 77 || p.Bitrate < 490_000 || p.Bitrate > 510_000 {
				t.Errorf("packet %d: %v", i, p)
			}
		default:
			t.Errorf("packet %d: %v", i, p)
		}
	}
}
