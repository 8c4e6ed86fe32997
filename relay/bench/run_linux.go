package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bench is one run of everything.
type bench struct {
	opt      *options
	self     string // this program
	dir      string
	patience time.Duration
	profiles int
	starts   chan func()
	fds      int
	veth     *veth                           // nil: everything is on loopback
	alone    map[string][]figures            // rows over veth: the generator without a server
	got      map[string]map[string][]figures // by row and server
}

func run(o *options) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-relay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{opt: o, self: self, dir: dir, patience: o.patience, starts: make(chan func()), got: map[string]map[string][]figures{}, alone: map[string][]figures{}}
	if err := b.prepare(); err != nil {
		return err
	}
	defer b.group(0)
	list := b.available()
	begun := time.Now()
	// The generator spins on a thread of its own.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, g := range []group{overUDP, overTCP, allocations} {
		for round := range o.rounds {
			for i := range list {
				// Each round begins with another server.
				c := &list[(i+round)%len(list)]
				if err := b.serve(c, g); err != nil {
					fmt.Fprintf(os.Stderr, "round %d: %s: %v\n", round+1, c.name, err)
				}
			}
		}
	}
	if err := b.overVeth(list); err != nil {
		fmt.Fprintln(os.Stderr, "no rows over veth:", err)
	}
	b.report(list, time.Since(begun))
	return nil
}

// prepare pins and reprioritises this process, raises its limits, and starts the thread that servers are started from.
func (b *bench) prepare() error {
	var lim syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	lim.Cur = lim.Max
	// Through package syscall: then servers inherit it.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim); err != nil {
		return err
	}
	b.fds = int(min(lim.Cur, 1<<20))
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return err
	}
	var cpus []int
	for i := range 1024 {
		if set.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	if len(cpus) < 2 {
		return errors.New("needs two CPUs: one for the server, one for the load")
	}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(cpus[0])
		failed <- errors.Join(unix.SchedSetaffinity(0, &set), unix.Setpriority(unix.PRIO_PROCESS, 0, b.opt.nice))
		for f := range b.starts {
			f()
		}
	}()
	if err := <-failed; err != nil {
		return err
	}
	b.group(b.opt.nice)
	return pinOthers(cpus[1], cpus[0], b.opt.nice)
}

// group gives a priority to the scheduler's automatic group (sched(7)): without it, a nice value counts only among the processes of
// one session. Kernels without such groups have no such file.
func (b *bench) group(nice int) {
	if b.opt.nice != 0 {
		_ = os.WriteFile("/proc/self/autogroup", []byte(strconv.Itoa(nice)), 0)
	}
}

// available lists the contenders that are here and asked for.
func (b *bench) available() []contender {
	var list []contender
	for _, c := range contenders() {
		if b.opt.only != "" && !selectedExactly(b.opt.only, c.name) {
			continue
		}
		if c.name == "coturn" {
			if _, err := exec.LookPath("turnserver"); err != nil {
				fmt.Fprintln(os.Stderr, "coturn is not installed (apt-get install coturn): no ratios to it")
				continue
			}
		}
		list = append(list, c)
	}
	return list
}

// serve runs one server and all rows of a group on it.
func (b *bench) serve(c *contender, g group) error {
	var todo []row
	for _, r := range rows() {
		if r.group == g && selected(b.opt.rows, r.name) && (!c.pacedOnly || r.flow.Rate > 0) && (c.raw == 0 || g == overUDP) &&
			!c.vethOnly && (!c.singlesOnly || r.flow.Rate == 0 && r.flow.Train <= 1) {
			todo = append(todo, r)
		}
	}
	return b.load(c, g, todo)
}

// load starts a server and runs rows on it.
func (b *bench) load(c *contender, g group, todo []row) error {
	if len(todo) == 0 {
		return nil
	}
	b.wait()
	s, err := b.start(c)
	if err != nil {
		return err
	}
	defer s.stop()
	switch g {
	case allocations:
		return b.allocate(c, s, &todo[0])
	case overTCP:
		err = s.gen.OpenTCP(tcpClients)
	default:
		_, err = s.gen.Open(udpClients)
	}
	if err != nil {
		return err
	}
	for i := range todo {
		if err := b.measure(c, s, &todo[i]); err != nil {
			return fmt.Errorf("%s: %w", todo[i].name, err)
		}
	}
	return nil
}

// wait spends patience on quiet.
func (b *bench) wait() {
	begun := time.Now()
	if b.patience > 0 {
		quiet(min(b.patience, 10*time.Second))
	}
	// Looking once is no waiting.
	b.patience -= max(0, time.Since(begun)-250*time.Millisecond)
}

// measure runs one row, again while others disturb it and patience lasts.
func (b *bench) measure(c *contender, s *running, r *row) error {
	for try := 1; ; try++ {
		begun := time.Now()
		f, err := b.once(s, r)
		if err != nil {
			return err
		}
		if f.foreign > maxForeignUse && try < 3 && b.patience > 0 {
			b.wait()
			b.patience -= time.Since(begun)
			continue
		}
		b.keep(r, c, f)
		return nil
	}
}

func (b *bench) keep(r *row, c *contender, f figures) {
	if b.got[r.name] == nil {
		b.got[r.name] = map[string][]figures{}
	}
	b.got[r.name][c.name] = append(b.got[r.name][c.name], f)
	if b.opt.verbose {
		fmt.Fprintf(os.Stdout, "%-14s %-9s cpu %6.3f rate %9.0f loss %.4f p50 %.0f p99 %.0f busy %.2f foreign %.2f offered %.2f\n",
			r.name, c.name, f.cpu, f.rate, f.loss, f.p50, f.p99, f.busy, f.foreign, f.offered)
	}
}

func (b *bench) once(s *running, r *row) (figures, error) {
	flow := r.flow
	flow.Duration = b.opt.duration
	pid := s.cmd.Process.Pid
	var marks []usage
	var failed error
	flow.Mark = func() {
		u, err := look(pid)
		marks, failed = append(marks, u), errors.Join(failed, err)
	}
	drive := s.gen.Saturate
	if flow.Rate > 0 {
		drive = s.gen.Pace
	}
	res, err := drive(flow)
	if err := errors.Join(err, failed); err != nil {
		return figures{}, err
	}
	if res.Measured == 0 {
		return figures{}, errors.New("nothing came through")
	}
	used := marks[1].server - marks[0].server
	f := figures{
		cpu:  used.Seconds() / float64(res.Measured) * 1e6,
		rate: float64(res.Measured) / res.Wall.Seconds(), loss: res.Loss(),
		p50: float64(res.P50) / 1e3, p99: float64(res.P99) / 1e3,
		whole: (used + res.Work).Seconds() / float64(res.Measured) * 1e6,
		busy:  used.Seconds() / res.Wall.Seconds(), foreign: marks[0].foreign(marks[1]), offered: 1,
	}
	if flow.Rate > 0 {
		f.offered = res.Offered / float64(flow.Rate)
		f.missed = float64(res.Missed) / float64(max(res.Sent, 1))
	}
	return f, nil
}

// allocate measures the allocations' rate and what they weigh.
func (b *bench) allocate(c *contender, s *running, r *row) error {
	n := allocated
	if n > b.fds-500 {
		n = b.fds - 500
		fmt.Fprintf(os.Stderr, "only %d allocations: the limit of open files is %d\n", n, b.fds)
	}
	pid := s.cmd.Process.Pid
	before, slab := resident(pid), field("/proc/meminfo", "Slab")
	u, err := look(pid)
	if err != nil {
		return err
	}
	o, err := s.gen.Open(n)
	if err != nil {
		return err
	}
	v, err := look(pid)
	if err != nil {
		return err
	}
	used := v.server - u.server
	b.keep(r, c, figures{
		cpu: used.Seconds() * 1e3 / float64(n), rate: float64(n) / o.Wall.Seconds(), busy: used.Seconds() / v.at.Sub(u.at).Seconds(),
		foreign: u.foreign(v), offered: 1,
		memory: float64(resident(pid)-before) / float64(n), slab: float64(field("/proc/meminfo", "Slab")-slab) / float64(n),
	})
	return nil
}

func (b *bench) report(list []contender, took time.Duration) {
	var uts unix.Utsname
	_ = unix.Uname(&uts)
	fmt.Fprintf(os.Stdout, "Linux %s, %s, %d CPUs; medians of %d interleaved rounds of %v; took %v\n", unix.ByteSliceToString(uts.Release[:]), runtime.Version(),
		runtime.NumCPU(), b.opt.rounds, b.opt.duration, took.Round(time.Second))
	fmt.Fprintln(os.Stdout, "CPU is the server process's, the softirq work of its own sends included. relay-nc is relay without coalescing,\nforward-n the forwarder with a socket for each client, as a TURN server has them.")
	var order []string
	for _, c := range list {
		order = append(order, c.name)
	}
	met, missed := 0, 0
	for _, r := range rows() {
		if len(b.got[r.name]) == 0 {
			continue
		}
		mid := map[string]figures{}
		for name, runs := range b.got[r.name] {
			mid[name] = median(runs)
		}
		if own, ok := b.alone[r.name]; ok {
			for name, f := range mid {
				f.whole = max(0, f.whole-median(own).whole)
				mid[name] = f
			}
		}
		m, n := printRow(os.Stdout, &r, order, mid)
		met, missed = met+m, missed+n
	}
	fmt.Fprintf(os.Stdout, "\n%d goals met, %d missed\n", met, missed)
}
