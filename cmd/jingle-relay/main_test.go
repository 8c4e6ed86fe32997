package main

import (
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"jingle-relay": func() { os.Exit(run(os.Args[1:])) }})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata", RequireExplicitExec: true, Cmds: map[string]func(*testscript.TestScript, bool, []string){
		"wait-for-socket": func(ts *testscript.TestScript, _ bool, args []string) {
			path := ts.MkAbs(args[0])
			for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
				if c, err := net.Dial("unix", path); err == nil {
					c.Close()
					return
				}
			}
			ts.Fatalf("nobody listens on %s", path)
		},
		"hup": func(ts *testscript.TestScript, _ bool, _ []string) {
			for _, c := range ts.BackgroundCmds() {
				ts.Check(c.Process.Signal(syscall.SIGHUP))
			}
		},
	}})
}
