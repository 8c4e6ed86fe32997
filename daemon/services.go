package daemon

import (
	"context"
	"errors"
	"math"
	"slices"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// apiFeatures are what a client can ask for; docs/embedding.md explains each.
var apiFeatures = []string{
	"accounts", "blocking", "calls.audio", "calls.delegated", "calls.dtmf", "calls.video", "calls.webrtc", "contacts", "doctor",
	"files.datachannel", "files.get", "files.http", "files.ibb", "files.pause", "files.s5b", "files.si", "history", "identities", "rooms", "tunnel",
}

// GetInfo tells the version and what the daemon can do.
func (d *Daemon) GetInfo(context.Context, *jingledv1.GetInfoRequest) (*jingledv1.GetInfoResponse, error) {
	return &jingledv1.GetInfoResponse{
		Version: d.cfg.Version, ApiMinor: APIMinor,
		Features: slices.Clone(apiFeatures),
	}, nil
}

// ListAccounts tells where each account stands.
func (d *Daemon) ListAccounts(context.Context, *jingledv1.ListAccountsRequest) (*jingledv1.ListAccountsResponse, error) {
	out := &jingledv1.ListAccountsResponse{}
	for _, a := range d.all() {
		out.Accounts = append(out.Accounts, a.describe(a.client.State()))
	}
	return out, nil
}

// Watch sends events to send until ctx ends, send fails or the reader is cut off as too slow; that is
// resource_exhausted.
func (d *Daemon) Watch(ctx context.Context, req *jingledv1.WatchRequest, send func(*jingledv1.Event) error) error {
	since := req.GetSinceSeq()
	if i := req.GetInstance(); since > 0 && i != "" && i != d.hub.instance {
		since = math.MaxUint64 // of a daemon before this one
	}
	s, err := d.Subscribe(since, req.GetWelcome()...)
	if err != nil {
		return err
	}
	defer s.Close()
	for {
		e, err := s.Next(ctx)
		if errors.Is(err, ErrSlowReader) {
			return connect.NewError(connect.CodeResourceExhausted, err)
		}
		if err != nil {
			return err
		}
		if err := send(e); err != nil {
			return err
		}
	}
}

// ListCalls lists the calls that have not ended, the oldest first.
func (d *Daemon) ListCalls(_ context.Context, req *jingledv1.ListCallsRequest) (*jingledv1.ListCallsResponse, error) {
	accounts, err := d.some(req.GetAccount())
	if err != nil {
		return nil, err
	}
	out := &jingledv1.ListCallsResponse{}
	for _, a := range accounts {
		out.Calls = append(out.Calls, a.listCalls()...)
	}
	slices.SortFunc(out.Calls, func(x, y *jingledv1.Call) int {
		return x.GetSince().AsTime().Compare(y.GetSince().AsTime())
	})
	return out, nil
}

// ListTransfers lists the transfers that have not ended.
func (d *Daemon) ListTransfers(_ context.Context, req *jingledv1.ListTransfersRequest) (*jingledv1.ListTransfersResponse, error) {
	accounts, err := d.some(req.GetAccount())
	if err != nil {
		return nil, err
	}
	out := &jingledv1.ListTransfersResponse{}
	for _, a := range accounts {
		out.Transfers = append(out.Transfers, a.listTransfers()...)
	}
	return out, nil
}
