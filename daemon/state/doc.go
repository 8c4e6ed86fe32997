// Package state keeps what a daemon remembers from one run to the next: the calls and transfers that have ended, which
// accounts there are (without any secret), and the identities that are pinned.
//
// A [Store] is a folder with one SQLite database, which people can query themselves, and a lock that keeps a second
// daemon out. What a method has written when it returns survives the process being killed and the machine losing power:
// the database writes ahead to a log and waits for the disk at each commit. Old records make room for new ones.
package state
