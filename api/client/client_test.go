package client_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"testing"

	"connectrpc.com/connect"
	"go.uber.org/goleak"

	"github.com/jingled/jingled/api/client"
	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNobodyThere(t *testing.T) {
	c := client.Dial(filepath.Join(t.TempDir(), "none"))
	defer c.Close()
	_, err := c.Daemon.GetInfo(t.Context(), &jingledv1.GetInfoRequest{})
	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("%v", err)
	}
	_, err = c.Calls.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: "bob@example.org"})
	if connect.CodeOf(err) != connect.CodeUnavailable {
		t.Errorf("%v", err)
	}
}

func TestConnectsWithTheFirstRequest(t *testing.T) {
	refused := errors.New("refused by the test")
	dialled := 0
	c := client.New(func(context.Context) (net.Conn, error) {
		dialled++
		return nil, refused
	})
	defer c.Close()
	if dialled != 0 {
		t.Error("it connects at once")
	}
	if _, err := c.Transfers.ListTransfers(t.Context(), &jingledv1.ListTransfersRequest{}); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
	if dialled == 0 {
		t.Error("it does not connect")
	}
}
