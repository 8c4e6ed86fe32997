//go:build !unix

package apiserver

import "net"

// listenPrivate leaves it to the permissions of the folder.
func listenPrivate(path string) (net.Listener, error) { return net.Listen("unix", path) }
