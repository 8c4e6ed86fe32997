package daemon

import (
	"context"
	"slices"
	"testing"

	"connectrpc.com/connect"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
)

// TestBlocked is at a server that keeps no block lists, so that all of it is the daemon's.
func TestBlocked(t *testing.T) {
	srv := newServer(t)
	dir := t.TempDir()
	remembers := func(c *Config) { c.StateDir = dir }
	alice, bob := act(t, srv, "alice", quick), act(t, srv, "bob", remembers)
	file := written(t, "hello")

	// What is under way ends.
	sid := alice.call("bob@example.test")
	bob.incoming()
	bob.answer(sid)
	bob.connected(sid)
	alice.connected(sid)
	res, err := bob.Block(t.Context(), &jingledv1.BlockRequest{Jids: []string{"Alice@example.test", "spam.example"}})
	if err != nil || res.GetList().GetOnServer() || !slices.Equal(res.GetList().GetJids(), []string{"alice@example.test", "spam.example"}) {
		t.Fatalf("%v, %v", res, err)
	}
	bob.ended(sid)
	if e := alice.ended(sid); !e.GetByPeer() {
		t.Errorf("the blocked peer hears %v", e)
	}

	refuses := func(bob *actor) {
		t.Helper()
		sid := alice.call("bob@example.test")
		if e := alice.ended(sid); e.GetReason() != "timeout" {
			t.Errorf("a call ends with %v", e)
		}
		sid = alice.call(bob.accounts[0].client.JID())
		if e := alice.ended(sid); e.GetReason() != "gone" {
			t.Errorf("a call to a device ends with %v", e)
		}
		if _, err := alice.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: "bob@example.test", Path: file}); connect.CodeOf(err) != connect.CodeUnavailable {
			t.Errorf("a file: %v", err)
		}
		// Nothing was told to clients, not even to one that lets everybody in.
		if len(bob.sub.events) > 0 {
			t.Errorf("bob heard of %v", <-bob.sub.events)
		}
		if _, err := bob.StartCall(t.Context(), &jingledv1.StartCallRequest{Peer: "alice@example.test"}); connect.CodeOf(err) != connect.CodeFailedPrecondition {
			t.Errorf("a call to who is blocked: %v", err)
		}
		if _, err := bob.SendFile(t.Context(), &jingledv1.SendFileRequest{Peer: "alice@example.test", Path: file}); connect.CodeOf(err) != connect.CodeFailedPrecondition {
			t.Errorf("a file to who is blocked: %v", err)
		}
	}
	listed := func(a *actor, want ...string) {
		t.Helper()
		a.await("the block list", func(e *jingledv1.Event) bool {
			return e.GetBlockListChanged() != nil && slices.Equal(e.GetBlockListChanged().GetJids(), want)
		})
	}
	listed(bob, "alice@example.test", "spam.example")
	w, err := bob.Subscribe(0, &jingledv1.Welcome{Calls: true, Files: true})
	if err != nil {
		t.Fatal(err)
	}
	alice.settled()
	bob.settled()
	refuses(bob)
	w.Close()

	// The next run knows it.
	bob.stop()
	if err := bob.Close(); err != nil {
		t.Fatal(err)
	}
	bob = act(t, srv, "bob", remembers)
	bob.settled()
	refuses(bob)
	got, err := bob.ListBlocked(t.Context(), &jingledv1.ListBlockedRequest{})
	if err != nil || len(got.GetLists()) != 1 || len(got.GetLists()[0].GetJids()) != 2 {
		t.Errorf("%v, %v", got, err)
	}

	if _, err := bob.Unblock(t.Context(), &jingledv1.UnblockRequest{Jids: []string{"alice@example.test"}}); err != nil {
		t.Fatal(err)
	}
	listed(bob, "spam.example")
	sid = alice.call("bob@example.test")
	bob.incoming()
	alice.hangUp(sid, "")
	alice.ended(sid)
	bob.ended(sid)
	bob.stop()
	if err := bob.Close(); err != nil {
		t.Fatal(err)
	}
}

// settled waits for the events of contacts that go before, and forgets them.
func (a *actor) settled() {
	a.t.Helper()
	for range 2 {
		ctx, cancel := context.WithTimeout(a.t.Context(), 4*contactsPause)
		for {
			if _, err := a.sub.Next(ctx); err != nil {
				break
			}
		}
		cancel()
	}
}

func TestBlockIsChecked(t *testing.T) {
	srv := newServer(t)
	bob := act(t, srv, "bob", nil)
	many := make([]string, 101)
	for i := range many {
		many[i] = "x@example.test"
	}
	for name, jids := range map[string][]string{"nobody": nil, "no address": {"@"}, "too many": many, "the account": {"bob@example.test"},
		"a device of it": {"bob@example.test/x"}, "its server": {"example.test"}} {
		if _, err := bob.Block(t.Context(), &jingledv1.BlockRequest{Jids: jids}); connect.CodeOf(err) != connect.CodeInvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := bob.Unblock(t.Context(), &jingledv1.UnblockRequest{Jids: []string{"carol@example.test"}}); connect.CodeOf(err) != connect.CodeNotFound {
		t.Errorf("%v", err)
	}
}
