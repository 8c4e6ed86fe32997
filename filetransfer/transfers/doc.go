// Package transfers is the Jingle application of XEP-0234: it runs the machines of package filetransfer in the sessions
// of package engine, over the transports that it is given, with files on disk.
//
// A [Manager] belongs to an account. Each [Transfer] is one file and has a goroutine that owns its machine; the
// session's goroutine and the one that copies bytes post to it. What happens is told by [Config.Events].
//
//	session goroutine            transfer goroutine              copying goroutine
//	-----------------            ------------------              -----------------
//	application.Handle --------> machine input
//	engine.Stream connects ----> Connected ----> Copy ---------> store.Copy
//	session.Do <---------------- Info, End                            |
//	                             Copied <-----------------------------+
//	                             Commit: rename; Finished: event
package transfers
