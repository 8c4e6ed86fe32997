package pulse

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/jfreymuth/pulse/proto"

	"github.com/jingled/jingled/media/audio"
)

// Source is a microphone.
type Source struct{ stream }

var _ audio.Source = (*Source)(nil)

// OpenSource records from a device, by the server's name for it; empty stands for the user's choice.
func OpenSource(device string) (*Source, error) {
	s := &Source{}
	if err := s.dial(s.handle); err != nil {
		return nil, err
	}
	var reply proto.CreateRecordStreamReply
	err := s.client.Request(&proto.CreateRecordStream{
		SampleSpec: format, ChannelMap: channels, SourceIndex: proto.Undefined, SourceName: device,
		BufferMaxLength: proto.Undefined, BufferFragSize: frameBytes / 2, AdjustLatency: true, DirectOnInputIndex: proto.Undefined,
		Properties: properties("Microphone of a call"), ChannelVolumes: volumes,
	}, &reply)
	if err != nil {
		return nil, errors.Join(unknown("microphone", device, err, s.devices()), s.conn.Close())
	}
	return s, nil
}

func (s *Source) devices() (names []string) {
	var list proto.GetSourceInfoListReply
	if s.client.Request(&proto.GetSourceInfoList{}, &list) == nil {
		for _, d := range list {
			names = append(names, d.SourceName)
		}
	}
	return names
}

func (s *Source) handle(m any) {
	p, ok := m.(*proto.DataPacket)
	if !ok {
		if _, killed := m.(*proto.RecordStreamKilled); killed {
			s.fail(errors.New("the microphone has gone"))
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for b := p.Data; len(b) >= sampleSize; b = b[sampleSize:] {
		s.ring.push(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
}

// Read implements [audio.Source]. What the microphone has not yet brought is silence.
func (s *Source) Read(pcm []float32) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	s.ring.pull(pcm)
	return len(pcm), nil
}
