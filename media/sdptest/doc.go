// Package sdptest has the tests in which strangers judge package sdp: pion's PeerConnection and, where it is installed,
// Chromium set up sessions whose descriptions travel as Jingle.
package sdptest
