package media

import (
	"context"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/jingled/jingled/ice"
	"github.com/jingled/jingled/ice/agent"
	"github.com/jingled/jingled/media/dtlssrtp"
)

// Over raw UDP reports have a socket of their own where the peer does not multiplex, and none besides where it does.
func TestRawGroupCarriesReports(t *testing.T) {
	for _, mux := range []bool{false, true} {
		cert, err := dtlssrtp.NewCertificate()
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(context.Background())
		type side struct {
			*Group
			candidates chan ice.Candidate
			reports    chan []rtcp.Packet
			ended      chan error
		}
		var sides [2]*side
		for i := range sides {
			s := &side{candidates: make(chan ice.Candidate, 2), reports: make(chan []rtcp.Packet, 100), ended: make(chan error, 1)}
			s.Group, err = NewGroup(GroupConfig{
				ICE: agent.Config{LoopbackOnly: true}, Certificate: cert, NS: ice.NSRawUDP, RTCPComponent: true,
				Candidate: func(tr ice.Transport) { s.candidates <- tr.Candidates[0] },
				RTCP:      func(p []rtcp.Packet, _ time.Time) { s.reports <- p },
			})
			if err != nil {
				t.Fatal(err)
			}
			s.WithoutDTLS(nil, nil, mux)
			go func() { s.ended <- s.Run(ctx) }()
			sides[i] = s
		}
		var told [2]ice.Transport
		for i, s := range sides {
			told[i] = s.Offer()
			told[i].Candidates = []ice.Candidate{<-s.candidates, <-s.candidates}
		}
		if _, err := sides[1].Answer(told[0]); err != nil {
			t.Fatal(err)
		}
		if err := sides[0].Accepted(told[1]); err != nil {
			t.Fatal(err)
		}
		for i, s := range sides {
			<-s.Ready()
			<-sides[1-i].Ready()
			if err := s.WriteRTCP(&rtcp.Goodbye{Sources: []uint32{uint32(i)}}); err != nil {
				t.Fatal(err)
			}
			select {
			case p := <-sides[1-i].reports:
				if bye := p[0].(*rtcp.Goodbye); bye.Sources[0] != uint32(i) {
					t.Errorf("mux %v: %v", mux, p)
				}
			case <-time.After(20 * time.Second):
				t.Fatalf("mux %v: no report comes", mux)
			}
		}
		if _, err := sides[0].Restart(); err == nil {
			t.Error("raw UDP restarts ICE")
		}
		stop()
		for _, s := range sides {
			<-s.ended
		}
	}
}
