package video

// Relay is a [Source] of pictures that another client sends, for which a call is only a bridge. Its Codec is nil: the
// packets tell theirs, and those that the peer does not take are not sent.
type Relay interface {
	Source
	// Agreed tells which codecs the peer takes, the one that it likes best first. It does not block.
	Agreed(codecs []*Codec)
}

// Viewer is a [Sink] that shows the pictures, and so has wishes.
type Viewer interface {
	Sink
	// Connect gives the viewer what takes its wishes: that the peer sends a key frame, and that it sends no more than so
	// many bits a second. Both may be called from any goroutine, but not with a lock that Write needs.
	Connect(keyFrame func(), bitrate func(bps int))
}
