package daemon

import (
	"context"
	"errors"
	"slices"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// GetInfo tells the version and what the daemon can do.
func (d *Daemon) GetInfo(context.Context, *jingledv1.GetInfoRequest) (*jingledv1.GetInfoResponse, error) {
	return &jingledv1.GetInfoResponse{
		Version: d.cfg.Version, ApiMinor: APIMinor,
		Features: []string{"calls.audio", "calls.dtmf", "files.s5b", "files.ibb", "accounts", "contacts", "doctor", "history", "tunnel"},
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
	s, err := d.Subscribe(req.GetSinceSeq(), req.GetWelcome()...)
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
