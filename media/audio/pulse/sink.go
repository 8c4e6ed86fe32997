package pulse

import (
	"encoding/binary"
	"errors"
	"math"
	"sync"

	"github.com/jfreymuth/pulse/proto"

	"github.com/jingled/jingled/media/audio"
)

// Sink is a loudspeaker.
type Sink struct {
	stream

	sending sync.Mutex // guards the rest
	pcm     []float32
	out     []byte
}

var _ audio.Sink = (*Sink)(nil)

// OpenSink plays on a device, by the server's name for it; empty stands for the user's choice.
func OpenSink(device string) (*Sink, error) {
	s := &Sink{}
	if err := s.dial(s.handle); err != nil {
		return nil, err
	}
	var reply proto.CreatePlaybackStreamReply
	err := s.client.Request(&proto.CreatePlaybackStream{
		SampleSpec: format, ChannelMap: channels, SinkIndex: proto.Undefined, SinkName: device,
		// The jitter is taken by the playout buffer before; here the rhythms of two clocks meet.
		BufferMaxLength: proto.Undefined, BufferTargetLength: 2 * frameBytes, BufferMinimumRequest: frameBytes / 2,
		AdjustLatency: true, Properties: properties("Call"), ChannelVolumes: volumes,
	}, &reply)
	if err != nil {
		return nil, errors.Join(unknown("loudspeaker", device, err, s.devices()), s.conn.Close())
	}
	s.play(reply.StreamIndex, reply.Missing)
	return s, nil
}

func (s *Sink) devices() (names []string) {
	var list proto.GetSinkInfoListReply
	if s.client.Request(&proto.GetSinkInfoList{}, &list) == nil {
		for _, d := range list {
			names = append(names, d.SinkName)
		}
	}
	return names
}

func (s *Sink) handle(m any) {
	switch m := m.(type) {
	case *proto.Request:
		s.play(m.StreamIndex, m.Length)
	case *proto.PlaybackStreamKilled:
		s.fail(errors.New("the loudspeaker has gone"))
	}
}

// maxRequest bounds what the server gets at once.
const maxRequest = 50 * frameBytes

// play gives the server what it asks for; silence where there is nothing.
func (s *Sink) play(index, length uint32) {
	n := int(min(length, maxRequest)) / sampleSize
	if n == 0 {
		return
	}
	s.sending.Lock()
	defer s.sending.Unlock()
	if cap(s.pcm) < n {
		s.pcm = make([]float32, n)
	}
	s.pcm, s.out = s.pcm[:n], s.out[:0]
	s.mu.Lock()
	s.ring.pull(s.pcm)
	s.mu.Unlock()
	for _, v := range s.pcm {
		s.out = binary.LittleEndian.AppendUint32(s.out, math.Float32bits(v))
	}
	if err := s.client.Send(index, s.out); err != nil {
		s.fail(err)
	}
}

// WritePCM implements [audio.Sink].
func (s *Sink) WritePCM(pcm []float32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range pcm {
		s.ring.push(v)
	}
	return s.err
}
