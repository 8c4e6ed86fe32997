//go:build !linux

package main

import "errors"

var errLinux = errors.New("the relay benchmark needs Linux")

func run(*options) error { return errLinux }

func serve([]string) error { return errLinux }
