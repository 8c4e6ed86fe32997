//go:build !linux && !darwin

package store

import "io"

const canPeek = false

func hasMore(io.Reader) bool { return false }
