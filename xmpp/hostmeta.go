package xmpp

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
)

// The relations of XEP-0156 section 3.
const (
	relWebSocket = "urn:xmpp:alt-connections:websocket"
	relBOSH      = "urn:xmpp:alt-connections:xbosh"
)

const (
	hostMetaLimit  = 64 << 10
	maxWebTargets  = 4
	maxHostMetaHop = 4
)

// discoverWeb asks the domain for its WebSockets and BOSH services (XEP-0156), WebSockets first. What fails counts as none.
func (c *Config) discoverWeb(ctx context.Context) []target {
	ctx, cancel := context.WithTimeout(ctx, c.Timeouts.Dial)
	defer cancel()
	domain := asciiDomain(c.JID.Domain())
	host := net.JoinHostPort(domain, "443")
	client := c.webClient(target{addr: host, method: overWebSocket, direct: true})
	defer client.transport.CloseIdleConnections()
	client.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Scheme != "https" || len(via) > maxHostMetaHop {
			return errors.New("a redirection that is not followed")
		}
		return nil
	}
	base := "https://" + asciiHost(domain) + "/.well-known/host-meta"
	for _, way := range []struct {
		url   string
		parse func([]byte) ([]webLink, error)
	}{{base + ".json", parseHostMetaJSON}, {base, parseHostMetaXML}} {
		b, err := fetch(ctx, client.Client, way.url)
		if err == nil {
			var links []webLink
			if links, err = way.parse(b); err == nil {
				if t := webTargets(links); len(t) > 0 {
					return t
				}
				continue
			}
		}
		c.Logger.Debug("no host-meta", "url", way.url, "err", client.cause(err))
	}
	return nil
}

// asciiHost is a domain as a URL has it.
func asciiHost(domain string) string {
	if ip := net.ParseIP(domain); ip != nil && ip.To4() == nil {
		return "[" + domain + "]"
	}
	return domain
}

func fetch(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", resp.StatusCode)
	}
	return io.ReadAll(io.LimitReader(resp.Body, hostMetaLimit))
}

type webLink struct {
	Rel  string `json:"rel" xml:"rel,attr"`
	Href string `json:"href" xml:"href,attr"`
}

func parseHostMetaJSON(b []byte) ([]webLink, error) {
	var doc struct {
		Links []webLink `json:"links"`
	}
	err := json.Unmarshal(b, &doc)
	return doc.Links, err
}

func parseHostMetaXML(b []byte) ([]webLink, error) {
	var doc struct {
		XMLName xml.Name  `xml:"http://docs.oasis-open.org/ns/xri/xrd-1.0 XRD"`
		Links   []webLink `xml:"http://docs.oasis-open.org/ns/xri/xrd-1.0 Link"`
	}
	err := xml.Unmarshal(b, &doc)
	return doc.Links, err
}

// webTargets takes those links that are secure (XEP-0156 section 5), in a fixed order of methods.
func webTargets(links []webLink) []target {
	var out []target
	for _, kind := range []struct {
		rel    string
		method method
	}{{relWebSocket, overWebSocket}, {relBOSH, overBOSH}} {
		for _, l := range links {
			if t, err := webTarget(l.Href, false); l.Rel == kind.rel && err == nil && t.method == kind.method {
				out = append(out, t)
			}
		}
	}
	out = slices.CompactFunc(out, func(a, b target) bool { return *a.url == *b.url })
	return out[:min(len(out), maxWebTargets)]
}
