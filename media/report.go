package media

import (
	"math/rand/v2"
	"time"

	"github.com/pion/rtcp"

	"github.com/jingled/jingled/media/rtpstat"
)

// The intervals of RTCP (RFC 3550 section 6.2). The first one is early, so that the round trip is known soon.
const (
	firstReport    = 500 * time.Millisecond
	reportInterval = 5 * time.Second
)

// reporter sends RTCP now and then. It belongs to the stream's run.
type reporter struct {
	s    *stream
	next time.Duration
}

// maybe sends a report if it is time.
func (r *reporter) maybe(now time.Duration) {
	if now < r.next {
		return
	}
	// RFC 3550 section 6.2: randomly from half to one and a half of the interval.
	r.next = now + reportInterval/2 + rand.N(reportInterval)
	_ = r.s.out.WriteRTCP(r.s.report(time.Now())...)
}

// report makes a compound packet: a sender report, or a receiver report if nothing was sent, and our name.
func (s *stream) report(at time.Time) []rtcp.Packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.since(at)
	var blocks []rtcp.ReceptionReport
	if in := s.incoming; in != nil {
		blocks = receptionOf(in.ssrc, in.stats, now)
	}
	if s.sent.packets == 0 {
		return []rtcp.Packet{&rtcp.ReceiverReport{SSRC: s.ssrc, Reports: blocks}, nameOf(s.ssrc, s.cname)}
	}
	return []rtcp.Packet{s.sent.report(s.ssrc, s.agreed.send.ClockRate, at, now, blocks), nameOf(s.ssrc, s.cname)}
}

// receptionOf tells the peer what has come from one of its sources, if there is anything to tell.
func receptionOf(ssrc uint32, st *rtpstat.Receiver, now time.Duration) []rtcp.ReceptionReport {
	rep, ok := st.Report(now)
	if !ok {
		return nil
	}
	return []rtcp.ReceptionReport{{
		SSRC: ssrc, FractionLost: rep.FractionLost, TotalLost: rep.TotalLost,
		LastSequenceNumber: rep.HighestSeq, Jitter: rep.Jitter, LastSenderReport: rep.LastSR, Delay: rep.Delay,
	}}
}

// report is the sender report of what was sent up to now, which is at by the wall's clock.
func (s sendStats) report(ssrc uint32, clock int, at time.Time, now time.Duration, blocks []rtcp.ReceptionReport) *rtcp.SenderReport {
	return &rtcp.SenderReport{
		SSRC: ssrc, NTPTime: rtpstat.NTP(at),
		// That of now, by that of the last packet.
		RTPTime:     s.timestamp + uint32((now-s.at)*time.Duration(clock)/time.Second),
		PacketCount: uint32(s.packets), OctetCount: uint32(s.bytes), Reports: blocks,
	}
}

// nameOf tells the peer the canonical name of a source of ours (RFC 3550 section 6.5.1).
func nameOf(ssrc uint32, cname string) *rtcp.SourceDescription {
	return &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{
		Source: ssrc, Items: []rtcp.SourceDescriptionItem{{Type: rtcp.SDESCNAME, Text: cname}},
	}}}
}

// receiveRTCP takes what the peer reports.
func (s *stream) receiveRTCP(packets []rtcp.Packet, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.SenderReport:
			if in := s.incoming; in != nil && in.ssrc == p.SSRC {
				in.stats.SenderReport(p.NTPTime, s.since(at))
			}
			s.reported(p.Reports, at)
		case *rtcp.ReceiverReport:
			s.reported(p.Reports, at)
		}
	}
}

func (s *stream) reported(reports []rtcp.ReceptionReport, at time.Time) {
	for _, r := range reports {
		if r.SSRC != s.ssrc {
			continue
		}
		s.theyLost = uint64(r.TotalLost)
		if rtt, ok := rtpstat.RoundTrip(r.LastSenderReport, r.Delay, rtpstat.NTP(at)); ok {
			s.rtt = rtt
		}
	}
}

// fill adds the stream's figures.
func (s *stream) fill(st *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.agreed.send == nil {
		return
	}
	st.Codec = s.agreed.send.Name
	st.PacketsSent, st.BytesSent = s.sent.packets, s.sent.bytes
	st.RoundTrip, st.RemoteLost = s.rtt, s.theyLost
	in := s.incoming
	if in == nil {
		return
	}
	st.PacketsReceived, st.BytesReceived = in.stats.Received(), in.stats.Bytes()
	st.PacketsLost, st.Jitter = in.stats.Lost(), in.stats.Jitter()
	delay := 2 * st.Jitter // what a player would have to add
	if in.player != nil {
		st.PacketsLate = in.player.Buffer().Discarded()
		st.Delay = in.player.Delay(s.now())
		delay = st.Delay
	}
	if in.codec == nil || st.PacketsReceived == 0 {
		return
	}
	loss := float64(st.PacketsLost+st.PacketsLate) / float64(st.PacketsReceived+st.PacketsLost)
	q := in.codec.Quality
	st.MOS = rtpstat.MOS(st.RoundTrip/2+delay+frameTime+q.Delay, loss, q.Ie, q.Bpl)
}
