package daemon

import (
	"errors"
	"fmt"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/media/audio"
	"github.com/jingled/jingled/media/audio/pulse"
)

// auto stands for the microphone and the loudspeaker if this machine has a sound server, and else for nothing.
const auto = "auto"

// openSource opens what a request says in a call: a microphone, or what [audio.Open] knows.
func openSource(spec string) (audio.Source, error) {
	if spec == auto {
		if s, err := pulse.OpenSource(""); err == nil {
			return s, nil
		}
		return audio.Silence{}, nil
	}
	if device, ok := pulse.Device(spec); ok {
		s, err := pulse.OpenSource(device)
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return audio.Open(spec)
}

// openSpeaker opens where the peer is heard, or nothing.
func openSpeaker(spec string) (audio.Sink, error) {
	if spec == "" {
		return nil, nil
	}
	if spec == auto {
		if s, err := pulse.OpenSink(""); err == nil {
			return s, nil
		}
		return nil, nil
	}
	device, ok := pulse.Device(spec)
	if !ok {
		return nil, fmt.Errorf("%q is none of pulse, pulse:DEVICE, auto", spec)
	}
	s, err := pulse.OpenSink(device)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// checkSound looks at the sound that a request asks for.
func checkSound(m *jingledv1.Media) error {
	source, err := openSource(m.GetAudioIn())
	if err != nil {
		return fmt.Errorf("audio_in: %w", err)
	}
	if err := source.Close(); err != nil {
		return err
	}
	speaker, err := openSpeaker(m.GetAudioOut())
	if err != nil {
		return fmt.Errorf("audio_out: %w", err)
	}
	if speaker != nil {
		return speaker.Close()
	}
	return nil
}

// openMedia opens what checkMedia has looked at.
func openMedia(m *jingledv1.Media) (audio.Source, audio.Sink, error) {
	source, err := openSource(m.GetAudioIn())
	if err != nil {
		return nil, nil, err
	}
	var sinks []audio.Sink
	if m.GetRecord() != "" {
		recording, err := audio.Create(m.GetRecord())
		if err != nil {
			return nil, nil, errors.Join(err, source.Close())
		}
		sinks = append(sinks, recording)
	}
	speaker, err := openSpeaker(m.GetAudioOut())
	if err != nil {
		err = errors.Join(err, source.Close())
		for _, s := range sinks {
			err = errors.Join(err, s.Close())
		}
		return nil, nil, err
	}
	if speaker != nil {
		sinks = append(sinks, speaker)
	}
	return source, audio.Tee(sinks...), nil
}
