package daemon

import (
	"context"
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// code calls a service and returns the code of its error.
func code[Req, Res any](ctx context.Context, f func(context.Context, *Req) (*Res, error), req *Req) connect.Code {
	_, err := f(ctx, req)
	if err == nil {
		return 0
	}
	return connect.CodeOf(err)
}

func TestServiceErrors(t *testing.T) {
	srv := newServer(t)
	alice := act(t, srv, "alice", quick)
	ctx := t.Context()
	file := written(t, "x")
	offline, err := New(Config{Accounts: alice.cfg.Accounts})
	if err != nil {
		t.Fatal(err)
	}
	// It was made, so it has to run to be freed.
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = offline.Run(ctx)
	})
	none, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	two := &Daemon{accounts: []*account{alice.accounts[0], alice.accounts[0]}}
	const bob = "bob@example.test"
	for name, c := range map[string]struct{ got, want connect.Code }{
		"call: no account of that name": {code(ctx, alice.StartCall, &jingledv1.StartCallRequest{Account: "x@example.test", Peer: bob}), connect.CodeNotFound},
		"call: account malformed":       {code(ctx, alice.StartCall, &jingledv1.StartCallRequest{Account: "@", Peer: bob}), connect.CodeInvalidArgument},
		"call: no account at all":       {code(ctx, none.StartCall, &jingledv1.StartCallRequest{Peer: bob}), connect.CodeFailedPrecondition},
		"call: which account":           {code(ctx, two.StartCall, &jingledv1.StartCallRequest{Peer: bob}), connect.CodeInvalidArgument},
		"call: peer malformed":          {code(ctx, alice.StartCall, &jingledv1.StartCallRequest{Peer: "b@@"}), connect.CodeInvalidArgument},
		"call: no peer":                 {code(ctx, alice.StartCall, &jingledv1.StartCallRequest{}), connect.CodeInvalidArgument},
		"call: sound missing":           {code(ctx, alice.StartCall, &jingledv1.StartCallRequest{Peer: bob, Media: &jingledv1.Media{AudioIn: "/none.wav"}}), connect.CodeInvalidArgument},
		"call: recording":               {code(ctx, alice.StartCall, &jingledv1.StartCallRequest{Peer: bob, Media: &jingledv1.Media{Record: "/a.mp3"}}), connect.CodeInvalidArgument},
		"call: video":                   {code(ctx, alice.StartCall, &jingledv1.StartCallRequest{Peer: bob, Media: &jingledv1.Media{Video: true, VideoIn: "missing.ivf"}}), connect.CodeInvalidArgument},
		"call: offline":                 {code(ctx, offline.StartCall, &jingledv1.StartCallRequest{Peer: bob}), connect.CodeFailedPrecondition},
		"answer: no such call":          {code(ctx, alice.AnswerCall, &jingledv1.AnswerCallRequest{Sid: "x"}), connect.CodeNotFound},
		"answer: video":                 {code(ctx, alice.AnswerCall, &jingledv1.AnswerCallRequest{Sid: "x", Media: &jingledv1.Media{RecordVideo: "out.mp4"}}), connect.CodeInvalidArgument},
		"hang up: no such call":         {code(ctx, alice.EndCall, &jingledv1.EndCallRequest{Sid: "x"}), connect.CodeNotFound},
		"press: no such call":           {code(ctx, alice.SendDtmf, &jingledv1.SendDtmfRequest{Sid: "x", Digits: "1"}), connect.CodeNotFound},
		"calls: no such account":        {code(ctx, alice.ListCalls, &jingledv1.ListCallsRequest{Account: "x@example.test"}), connect.CodeNotFound},
		"transfers: no such account":    {code(ctx, alice.ListTransfers, &jingledv1.ListTransfersRequest{Account: "x@example.test"}), connect.CodeNotFound},
		"send: relative path":           {code(ctx, alice.SendFile, &jingledv1.SendFileRequest{Peer: bob, Path: "file.txt"}), connect.CodeInvalidArgument},
		"send: no file":                 {code(ctx, alice.SendFile, &jingledv1.SendFileRequest{Peer: bob, Path: file + "x"}), connect.CodeInvalidArgument},
		"send: peer malformed":          {code(ctx, alice.SendFile, &jingledv1.SendFileRequest{Peer: "b@@", Path: file}), connect.CodeInvalidArgument},
		"send: offline":                 {code(ctx, offline.SendFile, &jingledv1.SendFileRequest{Peer: bob, Path: file}), connect.CodeFailedPrecondition},
		"send: nobody there":            {code(ctx, alice.SendFile, &jingledv1.SendFileRequest{Peer: bob, Path: file}), connect.CodeUnavailable},
		"accept: no such file":          {code(ctx, alice.AcceptFile, &jingledv1.AcceptFileRequest{Sid: "x", Dir: t.TempDir()}), connect.CodeNotFound},
		"end: no such file":             {code(ctx, alice.EndTransfer, &jingledv1.EndTransferRequest{Sid: "x"}), connect.CodeNotFound},
		"info":                          {code(ctx, alice.GetInfo, &jingledv1.GetInfoRequest{}), 0},
		"accounts":                      {code(ctx, alice.ListAccounts, &jingledv1.ListAccountsRequest{}), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	alice.idle()
}

// What does not fit the state of a call or transfer is refused, and does no harm to it.
func TestServicesInTheWrongState(t *testing.T) {
	srv := newServer(t)
	alice, bob := act(t, srv, "alice", nil), act(t, srv, "bob", nil)
	ctx := t.Context()
	sid := alice.call("bob@example.test")
	bob.incoming()
	for name, c := range map[string]struct{ got, want connect.Code }{
		"the caller answers":    {code(ctx, alice.AnswerCall, &jingledv1.AnswerCallRequest{Sid: sid}), connect.CodeFailedPrecondition},
		"keys while it rings":   {code(ctx, alice.SendDtmf, &jingledv1.SendDtmfRequest{Sid: sid, Digits: "1"}), connect.CodeFailedPrecondition},
		"a reason of one's own": {code(ctx, bob.EndCall, &jingledv1.EndCallRequest{Sid: sid, Reason: "bored"}), connect.CodeInvalidArgument},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	bob.answer(sid)
	if got := code(ctx, bob.AnswerCall, &jingledv1.AnswerCallRequest{Sid: sid}); got != connect.CodeFailedPrecondition {
		t.Errorf("answered twice: %v", got)
	}
	alice.connected(sid)
	if got := code(ctx, alice.SendDtmf, &jingledv1.SendDtmfRequest{Sid: sid, Digits: "1x"}); got != connect.CodeInvalidArgument {
		t.Errorf("a digit that is none: %v", got)
	}
	if got := code(ctx, alice.SendDtmf, &jingledv1.SendDtmfRequest{Sid: sid, Digits: "a"}); got != 0 {
		t.Errorf("a digit: %v", got)
	}
	bob.await("the key", func(e *jingledv1.Event) bool { return e.GetCallDtmf().GetDigit() == "A" })
	alice.hangUp(sid, "")
	alice.ended(sid)
	bob.ended(sid)

	res, err := alice.SendFile(ctx, &jingledv1.SendFileRequest{Peer: "bob@example.test", Path: written(t, "x")})
	if err != nil {
		t.Fatal(err)
	}
	offer := bob.await("the offer", func(e *jingledv1.Event) bool { return e.GetTransferOffered() != nil }).GetSid()
	for name, c := range map[string]struct{ got, want connect.Code }{
		"the sender accepts": {code(ctx, alice.AcceptFile, &jingledv1.AcceptFileRequest{Sid: res.GetSid(), Dir: t.TempDir()}), connect.CodeFailedPrecondition},
		"no folder":          {code(ctx, bob.AcceptFile, &jingledv1.AcceptFileRequest{Sid: offer}), connect.CodeInvalidArgument},
		"a relative folder":  {code(ctx, bob.AcceptFile, &jingledv1.AcceptFileRequest{Sid: offer, Dir: "inbox"}), connect.CodeInvalidArgument},
		"a missing folder":   {code(ctx, bob.AcceptFile, &jingledv1.AcceptFileRequest{Sid: offer, Dir: t.TempDir() + "/none"}), connect.CodeInvalidArgument},
		"a made-up reason":   {code(ctx, bob.EndTransfer, &jingledv1.EndTransferRequest{Sid: offer, Reason: "bored"}), connect.CodeInvalidArgument},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	list, err := bob.ListTransfers(ctx, &jingledv1.ListTransfersRequest{})
	if err != nil || len(list.GetTransfers()) != 1 || list.GetTransfers()[0].GetState() != jingledv1.TransferState_TRANSFER_STATE_OFFERED {
		t.Errorf("%v, %v", list, err)
	}
	if got := code(ctx, bob.EndTransfer, &jingledv1.EndTransferRequest{Sid: offer}); got != 0 {
		t.Errorf("decline: %v", got)
	}
	failed := alice.await("the refusal", func(e *jingledv1.Event) bool { return e.GetTransferFailed() != nil }).GetTransferFailed()
	if failed.GetReason() != "decline" || !failed.GetByPeer() {
		t.Errorf("%v", failed)
	}
	bob.await("the end", func(e *jingledv1.Event) bool { return e.GetTransferFailed() != nil })
	alice.idle()
	bob.idle()
}
