package daemon

import (
	"sync/atomic"
	"testing"

	jingledv1 "github.com/jingled/jingled/api/jingled/v1"
	"github.com/jingled/jingled/jid"
	"github.com/jingled/jingled/xmltree"
	"github.com/jingled/jingled/xmpp/disco"
)

// TestCapabilitiesAreKept counts who is asked what they can do, before and after a restart.
func TestCapabilitiesAreKept(t *testing.T) {
	var asked atomic.Int64
	srv := newServerWith(t, func(from jid.JID, stanza *xmltree.Element) *xmltree.Element {
		q := stanza.Child(disco.NSInfo, "query")
		if from.Bare() == "alice@example.test" && q != nil && q.Attr("node") != "" && stanza.Attr("type") == "get" {
			asked.Add(1)
		}
		return stanza
	})
	act(t, srv, "bob", nil)
	dir := t.TempDir()
	for run, want := range []int64{1, 1} {
		alice := act(t, srv, "alice", func(c *Config) { c.StateDir = dir })
		alice.await("what bob can do", func(*jingledv1.Event) bool {
			list, err := alice.ListContacts(t.Context(), &jingledv1.ListContactsRequest{})
			return err == nil && len(list.GetContacts()) == 1 && list.GetContacts()[0].GetAbilities().GetAudio()
		})
		if n := asked.Load(); n != want {
			t.Errorf("run %d: %d were asked so far, want %d", run+1, n, want)
		}
		alice.stop()
		if err := alice.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
