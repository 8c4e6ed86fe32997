package testkit

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Program is a program of other people that runs until the test ends, at the latest.
type Program struct{ proc *process }

// Run starts a program, whose standard output and error it takes. What it has printed is shown if the test fails.
func Run(t testing.TB, cmd *exec.Cmd) *Program {
	t.Helper()
	proc, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		proc.stop()
		proc.logOnFailure(t, strings.Join(cmd.Args, " "))
	})
	return &Program{proc}
}

// Output returns what it has printed, the end of it if that is a lot.
func (p *Program) Output() string { return p.proc.out.String() }

// Interrupt asks it to end, as somebody at a terminal does.
func (p *Program) Interrupt() error { return p.proc.cmd.Process.Signal(os.Interrupt) }

// Done is closed when it has ended. Then Err says how.
func (p *Program) Done() <-chan struct{} { return p.proc.done }

// Err is that of [exec.Cmd.Wait]; it may be called after Done.
func (p *Program) Err() error { return p.proc.err }
