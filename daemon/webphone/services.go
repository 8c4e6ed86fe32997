package webphone

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/daemon"
)

// narrow is the daemon as the page may use it: without paths of this machine, which a page has no business to name.
type narrow struct {
	*daemon.Daemon
	downloads string
}

// StartCall makes a call whose media is the browser's.
func (n narrow) StartCall(ctx context.Context, req *jingledv1.StartCallRequest) (*jingledv1.StartCallResponse, error) {
	return n.Daemon.StartCall(ctx, &jingledv1.StartCallRequest{Account: req.GetAccount(), Peer: req.GetPeer(), Media: browserMedia(req.GetMedia())})
}

// AnswerCall takes a call with the browser's media.
func (n narrow) AnswerCall(ctx context.Context, req *jingledv1.AnswerCallRequest) (*jingledv1.AnswerCallResponse, error) {
	return n.Daemon.AnswerCall(ctx, &jingledv1.AnswerCallRequest{Account: req.GetAccount(), Sid: req.GetSid(), Media: browserMedia(req.GetMedia())})
}

// ControlCall is the daemon's, but for where video comes from.
func (n narrow) ControlCall(ctx context.Context, req *jingledv1.ControlCallRequest) (*jingledv1.ControlCallResponse, error) {
	return n.Daemon.ControlCall(ctx, &jingledv1.ControlCallRequest{Account: req.GetAccount(), Sid: req.GetSid(), Mute: req.Mute, Hold: req.Hold})
}

func browserMedia(m *jingledv1.Media) *jingledv1.Media {
	return &jingledv1.Media{Webrtc: true, Video: m.GetVideo(), Ice: m.GetIce()}
}

// SendFile is for those who know paths; the page uploads.
func (n narrow) SendFile(context.Context, *jingledv1.SendFileRequest) (*jingledv1.SendFileResponse, error) {
	return nil, connect.NewError(connect.CodePermissionDenied, errors.New("the page sends files by upload"))
}

// AcceptFile puts the file into the folder for downloads.
func (n narrow) AcceptFile(ctx context.Context, req *jingledv1.AcceptFileRequest) (*jingledv1.AcceptFileResponse, error) {
	if n.downloads != "" {
		if err := os.MkdirAll(n.downloads, 0o700); err != nil {
			return nil, connect.NewError(connect.CodeFailedPrecondition, err)
		}
	}
	return n.Daemon.AcceptFile(ctx, &jingledv1.AcceptFileRequest{Account: req.GetAccount(), Sid: req.GetSid(), Dir: n.downloads})
}

// defaultDownloads is where people expect what they have downloaded: the folder Downloads in their home.
func defaultDownloads() string {
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, "Downloads")
}
