package main

import (
	"math"
	"time"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// head is what every line of --json begins with; docs/cli.md is its contract.
type head struct {
	Event   string `json:"event"`
	Time    string `json:"time"`
	Account string `json:"account"`
	Peer    string `json:"peer,omitempty"`
	SID     string `json:"sid,omitempty"`
}

type stats struct {
	PacketsSent     uint64      `json:"packets_sent"`
	PacketsReceived uint64      `json:"packets_received"`
	PacketsLost     uint64      `json:"packets_lost"`
	BytesSent       uint64      `json:"bytes_sent"`
	BytesReceived   uint64      `json:"bytes_received"`
	JitterMS        float64     `json:"jitter_ms"`
	RoundTripMS     float64     `json:"rtt_ms"`
	MOS             float64     `json:"mos"`
	Video           *videoStats `json:"video,omitempty"`
	// More are the other videos, if there are several.
	More []*videoStats `json:"more_videos,omitempty"`
}

type videoStats struct {
	Codec           string `json:"codec"`
	PacketsSent     uint64 `json:"packets_sent"`
	PacketsReceived uint64 `json:"packets_received"`
	PacketsLost     uint64 `json:"packets_lost"`
	BytesSent       uint64 `json:"bytes_sent"`
	BytesReceived   uint64 `json:"bytes_received"`
	PeerBitrate     uint64 `json:"peer_bitrate"`
	Content         string `json:"content,omitempty"`
	Category        string `json:"category,omitempty"`
}

type pair struct {
	Local      string `json:"local"`
	LocalType  string `json:"local_type"`
	Remote     string `json:"remote"`
	RemoteType string `json:"remote_type"`
}

// record turns an event into the object that --json prints; nil for events that are not printed.
func record(e *jingledv1.Event) any {
	h := head{Time: e.GetTime().AsTime().Format(time.RFC3339Nano), Account: e.GetAccount(), Peer: e.GetPeer(), SID: e.GetSid()}
	named := func(name string) head {
		h.Event = name
		return h
	}
	switch b := e.GetBody().(type) {
	case *jingledv1.Event_AccountChanged:
		return struct {
			head
			State string `json:"state"`
			JID   string `json:"jid,omitempty"`
			Error string `json:"error,omitempty"`
		}{named("account.changed"), accountState(b.AccountChanged.GetState()), b.AccountChanged.GetBoundJid(), b.AccountChanged.GetError()}
	case *jingledv1.Event_CallIncoming:
		return struct {
			head
			Audio bool   `json:"audio"`
			Video bool   `json:"video"`
			By    string `json:"transferred_by,omitempty"`
		}{named("call.incoming"), b.CallIncoming.GetAudio(), b.CallIncoming.GetVideo(), b.CallIncoming.GetTransferredBy()}
	case *jingledv1.Event_CallRinging:
		return named("call.ringing")
	case *jingledv1.Event_CallAccepted:
		return named("call.accepted")
	case *jingledv1.Event_CallConnected:
		c := b.CallConnected
		return struct {
			head
			SetupMS float64 `json:"setup_ms"`
			Pair    pair    `json:"candidate_pair"`
			Codec   string  `json:"codec"`
			Secrecy string  `json:"encryption"`
			ZRTP    string  `json:"zrtp_hash,omitempty"`
		}{named("call.connected"), c.GetSetupMs(), candidatePair(c.GetCandidatePair()), c.GetCodec(), c.GetEncryption(), c.GetZrtpHash()}
	case *jingledv1.Event_CallDtmf:
		return struct {
			head
			Digit      string  `json:"digit"`
			DurationMS float64 `json:"duration_ms,omitempty"`
		}{named("call.dtmf"), b.CallDtmf.GetDigit(), milliseconds(b.CallDtmf.GetDuration().AsDuration())}
	case *jingledv1.Event_CallDtmfRefused:
		return struct {
			head
			Digit string `json:"digit"`
			Text  string `json:"text"`
		}{named("call.dtmf_refused"), b.CallDtmfRefused.GetDigit(), b.CallDtmfRefused.GetText()}
	case *jingledv1.Event_CallPeerState:
		return struct {
			head
			Muted bool `json:"muted"`
			Held  bool `json:"held"`
		}{named("call.peer"), b.CallPeerState.GetMuted(), b.CallPeerState.GetHeld()}
	case *jingledv1.Event_CallTransferAsked:
		return struct {
			head
			To       string `json:"to"`
			Attended bool   `json:"attended"`
		}{named("call.transfer_asked"), b.CallTransferAsked.GetTo(), b.CallTransferAsked.GetAttended()}
	case *jingledv1.Event_CallTransferFailed:
		return struct {
			head
			Text string `json:"text"`
		}{named("call.transfer_failed"), b.CallTransferFailed.GetText()}
	case *jingledv1.Event_CallVideo:
		v := b.CallVideo
		return struct {
			head
			On       bool   `json:"on"`
			Codec    string `json:"codec,omitempty"`
			Text     string `json:"text,omitempty"`
			Content  string `json:"content,omitempty"`
			Category string `json:"category,omitempty"`
		}{named("call.video"), v.GetOn(), v.GetCodec(), v.GetText(), v.GetContent(), v.GetCategory()}
	case *jingledv1.Event_CallMeter:
		m := b.CallMeter
		return struct {
			head
			Seconds float64 `json:"seconds"`
			Codec   string  `json:"codec"`
			Relayed bool    `json:"relayed"`
			stats
		}{named("call.meter"), m.GetDuration().AsDuration().Seconds(), m.GetCodec(), m.GetRelayed(), callStats(m.GetStats())}
	case *jingledv1.Event_CallEnded:
		c := b.CallEnded
		return struct {
			head
			Reason  string  `json:"reason"`
			Text    string  `json:"text,omitempty"`
			ByPeer  bool    `json:"by_peer"`
			Seconds float64 `json:"seconds"`
			Next    string  `json:"successor,omitempty"`
			To      string  `json:"transferred_to,omitempty"`
			Audio   string  `json:"audio_error,omitempty"`
			stats
		}{named("call.ended"), c.GetReason(), c.GetText(), c.GetByPeer(), c.GetDuration().AsDuration().Seconds(), c.GetSuccessor(),
			c.GetTransferredTo(), c.GetAudioError(), callStats(c.GetStats())}
	case *jingledv1.Event_RoomEntered, *jingledv1.Event_RoomOccupant, *jingledv1.Event_RoomCall, *jingledv1.Event_RoomLeft, *jingledv1.Event_RoomInvited:
		return roomRecord(e, named)
	case *jingledv1.Event_TransferOffered:
		t := b.TransferOffered
		return struct {
			head
			Name        string `json:"name"`
			Size        uint64 `json:"size"`
			MediaType   string `json:"media_type,omitempty"`
			Description string `json:"description,omitempty"`
			Encrypted   bool   `json:"encrypted"`
			Fingerprint string `json:"fingerprint,omitempty"`
			Into        string `json:"accepted_into,omitempty"`
			Modified    string `json:"modified,omitempty"`
			Files       uint64 `json:"folder_files,omitempty"`
			Path        string `json:"folder_path,omitempty"`
		}{named("transfer.offered"), t.GetName(), t.GetSize(), t.GetMediaType(), t.GetDescription(), t.GetEncrypted(), t.GetFingerprint(),
			t.GetAcceptedInto(), modified(t), t.GetFolderFiles(), t.GetFolderPath()}
	case *jingledv1.Event_TransferStarted:
		return struct {
			head
			Transport  string `json:"transport"`
			Encryption string `json:"encryption"`
			Offset     uint64 `json:"offset,omitempty"`
		}{named("transfer.started"), b.TransferStarted.GetTransport(), b.TransferStarted.GetEncryption(), b.TransferStarted.GetOffset()}
	case *jingledv1.Event_TransferInterrupted:
		t := b.TransferInterrupted
		return struct {
			head
			State  string `json:"state"`
			Bytes  uint64 `json:"bytes"`
			Size   uint64 `json:"size"`
			Reason string `json:"reason"`
			Text   string `json:"text,omitempty"`
			ByPeer bool   `json:"by_peer"`
		}{named("transfer.interrupted"), transferState(t.GetState()), t.GetBytes(), t.GetSize(), t.GetReason(), t.GetText(), t.GetByPeer()}
	case *jingledv1.Event_TransferProgress:
		t := b.TransferProgress
		return struct {
			head
			Bytes uint64  `json:"bytes"`
			Size  uint64  `json:"size"`
			Rate  float64 `json:"bytes_per_second"`
			Left  float64 `json:"seconds_left,omitempty"`
		}{named("transfer.progress"), t.GetBytes(), t.GetSize(), t.GetBytesPerSecond(), t.GetSecondsLeft()}
	case *jingledv1.Event_TransferDone:
		t := b.TransferDone
		return struct {
			head
			Bytes     uint64            `json:"bytes"`
			Seconds   float64           `json:"seconds"`
			Transport string            `json:"transport"`
			Hash      map[string]string `json:"hash"`
			Verified  bool              `json:"verified"`
			Path      string            `json:"path"`
			Encrypted string            `json:"encryption"`
			Files     uint64            `json:"folder_files,omitempty"`
		}{named("transfer.done"), t.GetBytes(), t.GetSeconds(), t.GetTransport(), t.GetHash(), t.GetVerified(), t.GetPath(),
			t.GetEncryption(), t.GetFolderFiles()}
	case *jingledv1.Event_TransferThumbnail:
		t := b.TransferThumbnail
		return struct {
			head
			MediaType string `json:"media_type"`
			Width     uint32 `json:"width"`
			Height    uint32 `json:"height"`
			Data      []byte `json:"data"`
		}{named("transfer.thumbnail"), t.GetMediaType(), t.GetWidth(), t.GetHeight(), t.GetData()}
	case *jingledv1.Event_IdentityRefused:
		return struct {
			head
			Fingerprint string `json:"fingerprint"`
		}{named("identity.refused"), b.IdentityRefused.GetFingerprint()}
	case *jingledv1.Event_TransferFailed:
		t := b.TransferFailed
		return struct {
			head
			Reason string `json:"reason"`
			Text   string `json:"text,omitempty"`
			ByPeer bool   `json:"by_peer"`
		}{named("transfer.failed"), t.GetReason(), t.GetText(), t.GetByPeer()}
	}
	return nil
}

// modified is the time of a file, "" if it is not known.
func modified(t *jingledv1.TransferOffered) string {
	if t.GetModified() == nil {
		return ""
	}
	return t.GetModified().AsTime().Format(time.RFC3339)
}

func candidatePair(p *jingledv1.CandidatePair) pair {
	return pair{p.GetLocal(), p.GetLocalType(), p.GetRemote(), p.GetRemoteType()}
}

func callStats(s *jingledv1.CallStats) stats {
	out := stats{s.GetPacketsSent(), s.GetPacketsReceived(), s.GetPacketsLost(), s.GetBytesSent(), s.GetBytesReceived(),
		s.GetJitterMs(), s.GetRoundTripMs(), math.Round(s.GetMos()*100) / 100, nil, nil}
	for i, v := range s.GetVideos() {
		one := &videoStats{v.GetCodec(), v.GetPacketsSent(), v.GetPacketsReceived(), v.GetPacketsLost(), v.GetBytesSent(),
			v.GetBytesReceived(), v.GetPeerBitrate(), v.GetContent(), v.GetCategory()}
		if i == 0 {
			out.Video = one
		} else {
			out.More = append(out.More, one)
		}
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func accountState(s jingledv1.AccountState) string {
	switch s {
	case jingledv1.AccountState_ACCOUNT_STATE_ONLINE:
		return "online"
	case jingledv1.AccountState_ACCOUNT_STATE_OFFLINE:
		return "offline"
	case jingledv1.AccountState_ACCOUNT_STATE_STOPPED:
		return "stopped"
	}
	return "connecting"
}
