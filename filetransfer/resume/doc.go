// Package resume is what two clients of this project say to each other, beside XEP-0234, so that a file that was
// interrupted goes on where it stopped and is provably right.
//
// A transfer has the name that its first session had, and the name of its content there. An offer or a request that goes
// on with it carries that name as a child of <file/>:
//
//	<resume xmlns='https://github.com/jingled/jingled/ns/resume/0' sid='j5K2...' content='file'/>
//
// A <paused/> beside the reason of a session's end says that the transfer is not over. Who gives it up later says so by an IQ
// of type set, so that the other side does not wait:
//
//	<cancelled xmlns='...' sid='j5K2...' content='file'/>
//
// The hashes of a file's blocks are
// asked for by an IQ, by the same name; the answer has them one behind the other, in base64:
//
//	<blocks xmlns='...' sid='j5K2...' content='file' size='1048576' first='0' count='2'/>
//	<blocks xmlns='...' sid='j5K2...' content='file' size='1048576' first='0' count='2'>9f86...</blocks>
//
// They are SHA-256. Only the device's peer in that transfer gets an answer. Who knows all of this has the namespace among
// its features in service discovery; everybody else is served by the ranges of XEP-0234 alone.
package resume

// NS is the namespace of everything here.
const NS = "https://github.com/jingled/jingled/ns/resume/0"
