// Package programs has tests only: ffmpeg and GStreamer bring pictures into a call by RTP and take them out of it, with the very
// lines of docs/media.md.
package programs
