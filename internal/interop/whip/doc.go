// Package whip has tests only: strangers that bring media into a call and play it, over WHIP and WHEP. They are GStreamer's
// webrtcbin and aiortc, in a network of their own (see testkit.InNetwork).
package whip
