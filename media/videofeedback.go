package media

import (
	"cmp"
	"slices"
	"time"

	"github.com/pion/rtcp"

	"github.com/jingled/jingled/media/rtpstat"
	"github.com/jingled/jingled/media/video"
)

// What the two ends of a video tell each other of it by RTCP (RFC 3550, RFC 4585, RFC 5104): reports, losses, rates.

func (s *videoStream) receiveRTCP(packets []rtcp.Packet, at time.Time) {
	var again []sentPacket
	s.mu.Lock()
	now := at.Sub(s.origin)
	wantKey := false
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.SenderReport:
			if s.in != nil && s.in.ssrc == p.SSRC {
				s.in.stats.SenderReport(p.NTPTime, now)
			}
			s.reported(p.Reports, at)
		case *rtcp.ReceiverReport:
			s.reported(p.Reports, at)
		case *rtcp.TransportLayerNack:
			if p.MediaSSRC == s.ssrc {
				again = append(again, s.lost(p)...)
			}
		case *rtcp.PictureLossIndication:
			wantKey = wantKey || p.MediaSSRC == s.ssrc
		case *rtcp.FullIntraRequest:
			wantKey = wantKey || slices.ContainsFunc(p.FIR, func(e rtcp.FIREntry) bool { return e.SSRC == s.ssrc })
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			if slices.Contains(p.SSRCs, s.ssrc) && p.Bitrate > 0 && s.source != nil {
				s.estimate = int(min(p.Bitrate, 1e9))
				s.adapt()
			}
		}
	}
	if wantKey && s.source != nil && (s.keyed == 0 || now-s.keyed >= keyFrameEvery) {
		s.keyed = now
		s.source.KeyFrame()
	}
	ccID := s.agreed.ccID
	s.mu.Unlock()
	for i := range again {
		s.cc.number(ccID, &again[i].header, len(again[i].payload))
		_ = s.out.WriteRTP(&again[i].header, again[i].payload) // lost once more
	}
}

func (s *videoStream) reported(reports []rtcp.ReceptionReport, at time.Time) {
	for _, r := range reports {
		if r.SSRC != s.ssrc {
			continue
		}
		s.theyLost = uint64(r.TotalLost)
		s.guess = byLoss(cmp.Or(s.guess, maxBitrate/4), float64(r.FractionLost)/256)
		s.adapt()
		if rtt, ok := rtpstat.RoundTrip(r.LastSenderReport, r.Delay, rtpstat.NTP(at)); ok {
			s.rtt = rtt
		}
	}
}

// adapt tells the source the least of what the peer says that it can take and what the path was seen to take, or the guess if
// there is neither, and no more than the peer has described; s.mu is held.
func (s *videoStream) adapt() {
	if s.source == nil {
		return
	}
	limit := cmp.Or(least(s.cc.share(s.ssrc), s.estimate), s.guess)
	if limit = least(limit, s.bandwidth); limit > 0 && limit != s.limited {
		s.limited = limit
		s.source.Bitrate(limit)
	}
}

// byLoss is how Google's congestion control follows losses.
func byLoss(bitrate int, lost float64) int {
	switch {
	case lost > 0.1:
		bitrate = int(float64(bitrate) * (1 - lost/2))
	case lost < 0.02:
		bitrate += bitrate / 12
	}
	return min(max(bitrate, minBitrate), maxBitrate)
}

// lost returns what is to be sent again (RFC 4585 section 6.2.1); s.mu is held.
func (s *videoStream) lost(n *rtcp.TransportLayerNack) []sentPacket {
	var out []sentPacket
	for _, pair := range n.Nacks {
		for _, seq := range pair.PacketList() {
			if len(s.history) == 0 || s.resent >= maxResent {
				return out
			}
			if p := s.history[seq%videoHistory]; p.payload != nil && p.header.SequenceNumber == seq {
				out = append(out, p)
				s.resent++
			}
		}
	}
	return out
}

// feedback asks for what is missing; s.mu is held.
func (s *videoStream) feedback(now time.Duration) []rtcp.Packet {
	in := s.in
	if in == nil || s.sink == nil { // nobody looks
		return nil
	}
	var out []rtcp.Packet
	var want []uint16
	for seq, m := range in.missing {
		switch {
		case now-m.since > nackFor:
			delete(in.missing, seq)
			in.wantKey = keyFrameTries
		case s.agreed.nack && now-m.since >= nackAfter && now-m.asked >= max(nackEvery, s.rtt+s.rtt/4):
			m.asked = now
			want = append(want, seq)
		}
	}
	if len(want) > 0 {
		slices.SortFunc(want, func(a, b uint16) int { return int(int16(a - b)) })
		out = append(out, &rtcp.TransportLayerNack{SenderSSRC: s.ssrc, MediaSSRC: in.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(want)})
	}
	if in.wantKey > 0 && now-in.asked >= max(keyFrameEvery, s.rtt+s.rtt/4) {
		in.wantKey, in.asked = in.wantKey-1, now
		switch {
		case s.agreed.pli:
			out = append(out, &rtcp.PictureLossIndication{SenderSSRC: s.ssrc, MediaSSRC: in.ssrc})
		case s.agreed.fir:
			in.fir++
			out = append(out, &rtcp.FullIntraRequest{
				SenderSSRC: s.ssrc, MediaSSRC: in.ssrc, FIR: []rtcp.FIREntry{{SSRC: in.ssrc, SequenceNumber: in.fir}},
			})
		}
	}
	return out
}

// remb tells how much we can take: less after loss, more without; s.mu is held. Where packets are counted one by one
// (transport-cc) the peer sees that itself, and is only told what the viewer can take: it keeps to both.
func (s *videoStream) remb() []rtcp.Packet {
	in := s.in
	if in == nil || !s.agreed.remb {
		return nil
	}
	if s.agreed.ccID != 0 {
		if s.viewer <= 0 {
			return nil
		}
		return []rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{
			SenderSSRC: s.ssrc, Bitrate: float32(max(s.viewer, minBitrate)), SSRCs: []uint32{in.ssrc},
		}}
	}
	lost := in.stats.Lost()
	share := float64(lost-min(lost, in.lost)) / float64(max(in.packets, 1))
	got := int(in.bytes * 8)
	in.lost, in.bytes, in.packets = lost, 0, 0
	if share > 0.1 {
		in.bitrate = min(in.bitrate, max(got, minBitrate))
	}
	in.bitrate = byLoss(in.bitrate, share)
	told := in.bitrate
	if s.viewer > 0 {
		told = min(told, max(s.viewer, minBitrate))
	}
	return []rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{SenderSSRC: s.ssrc, Bitrate: float32(told), SSRCs: []uint32{in.ssrc}}}
}

// report makes a sender or receiver report with our name; s.mu is held.
func (s *videoStream) report(now time.Duration) []rtcp.Packet {
	var blocks []rtcp.ReceptionReport
	if in := s.in; in != nil {
		blocks = receptionOf(in.ssrc, in.stats, now)
	}
	if s.sent.packets == 0 {
		return []rtcp.Packet{&rtcp.ReceiverReport{SSRC: s.ssrc, Reports: blocks}, nameOf(s.ssrc, s.cname)}
	}
	return []rtcp.Packet{s.sent.report(s.ssrc, video.ClockRate, s.origin.Add(now), now, blocks), nameOf(s.ssrc, s.cname)}
}
