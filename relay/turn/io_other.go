//go:build !linux

package turn

// fastPath says whether this system has the batched packet path.
const fastPath = false

func newPacketIO(sh *shard, _ bool) (packetIO, error) { return newPlainIO(sh), nil }
