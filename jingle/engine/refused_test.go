package engine_test

import (
	"testing"
	"testing/synctest"

	"github.com/jingled/jingled/jingle"
	"github.com/jingled/jingled/jingle/engine"
	"github.com/jingled/jingled/xmltree"
)

func TestMalformed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, stop := start(t, &wire{}, nilApp)
		defer stop()
		for _, text := range []string{
			`<jingle xmlns='urn:xmpp:jingle:1'/>`,
			`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='x'/>`,
			`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='x'><content/></jingle>`,
			`<query xmlns='urn:x'/>`,
		} {
			x, err := xmltree.Parse([]byte(text), xmltree.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			answers := 0
			a.Receive(juliet, x, func(se *jingle.StanzaError) {
				answers++
				if se == nil || se.Condition != "bad-request" {
					t.Errorf("%s was answered with %v", text, se)
				}
			})
			synctest.Wait()
			if answers != 1 || a.Len() != 0 {
				t.Errorf("%s: %d answers, %d sessions", text, answers, a.Len())
			}
		}
	})
}

// Whoever was refused may try again as soon as it hears of it, with the same sid.
func TestRefusedMayTryAgain(t *testing.T) {
	stranger := func(*engine.Session, *jingle.Message) (engine.Application, error) {
		return nil, jingle.ErrServiceUnavailable()
	}
	const content = `<content creator='initiator' name='a'><description xmlns='urn:x'/><transport xmlns='urn:y'/></content>`
	for _, c := range []struct {
		content, condition string
		incoming           func(*engine.Session, *jingle.Message) (engine.Application, error)
	}{
		{content, "service-unavailable", stranger},
		{"", "bad-request", nilApp},
	} {
		t.Run(c.condition, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _, stop := start(t, &wire{}, c.incoming)
				defer stop()
				x, err := xmltree.Parse([]byte(`<jingle xmlns='urn:xmpp:jingle:1' action='session-initiate' sid='x'>`+c.content+`</jingle>`), xmltree.Limits{})
				if err != nil {
					t.Fatal(err)
				}
				answers := 0
				var again func(*jingle.StanzaError)
				again = func(se *jingle.StanzaError) {
					if se == nil || se.Condition != c.condition {
						t.Errorf("try %d was answered with %v", answers, se)
						return
					}
					if answers++; answers < 10 {
						a.Receive(juliet, x, again)
					}
				}
				a.Receive(juliet, x, again)
				synctest.Wait()
				if answers != 10 || a.Len() != 0 {
					t.Errorf("%d answers, %d sessions are left", answers, a.Len())
				}
			})
		})
	}
}
