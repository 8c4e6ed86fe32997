//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// terminals are for Linux; scripts that need them say so.
func terminals(func(*testscript.TestScript) *jobs) map[string]func(*testscript.TestScript, bool, []string) {
	return nil
}
