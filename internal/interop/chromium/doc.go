// Package chromium has tests only: calls between the daemon and a stranger, the npm package stanza in a headless
// Chromium, through a Prosody, and calls whose media is a page's, by the WebRTC of Chromium. All run in a network of their
// own (see testkit.InNetwork).
package chromium
