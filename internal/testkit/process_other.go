//go:build !linux

package testkit

import "os/exec"

func killWithParent(*exec.Cmd) {}

func interrupt(cmd *exec.Cmd) error { return cmd.Process.Kill() }
