package daemon

import (
	"github.com/jingled/jingled/filetransfer/resume"
	"github.com/jingled/jingled/jid"
)

// ownBlock is the size of the blocks of in-band bytestreams to other daemons, in bytes: in base64 some 22 kB, where servers take
// stanzas of 64 kB at least. docs/performance.md says what it brings.
const ownBlock = 16 << 10

// blockSize is [ibb.Config.BlockSizeFor].
func (a *account) blockSize(peer jid.JID) int {
	if info := a.client.Known(peer); info != nil && info.Has(resume.NS) {
		return ownBlock
	}
	return 0
}
