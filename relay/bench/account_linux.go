package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is all CPU time that a process has used, in nanoseconds and with its ended threads (clock_getcpuclockid(3)).
func cpuTime(pid int) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		return 0, fmt.Errorf("CPU time of process %d: %w", pid, err)
	}
	return time.Duration(ts.Nano()), nil
}

// tick is the unit of /proc/stat, USER_HZ.
const tick = 10 * time.Millisecond

// machineTime is all CPU time that the machine has used: all but idle and iowait.
func machineTime() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var sum time.Duration
	for i, f := range strings.Fields(line) {
		// user nice system idle iowait irq softirq steal; guest time is in user.
		if i == 0 || i == 4 || i == 5 || i > 8 {
			continue
		}
		n, _ := strconv.ParseInt(f, 10, 64)
		sum += time.Duration(n) * tick
	}
	return sum
}

// field reads a number of kB from a file such as /proc/meminfo or /proc/<pid>/status.
func field(file, name string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	s := bufio.NewScanner(bytes.NewReader(b))
	for s.Scan() {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok && k == name {
			n, _ := strconv.ParseInt(strings.Fields(v)[0], 10, 64)
			return n
		}
	}
	return 0
}

func resident(pid int) int64 { return field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS") }

// usage is a moment's account of one server's run.
type usage struct {
	at                    time.Time
	server, self, machine time.Duration
}

func look(pid int) (u usage, err error) {
	if u.server, err = cpuTime(pid); err != nil {
		return u, err
	}
	u.self, err = cpuTime(os.Getpid())
	u.machine, u.at = machineTime(), time.Now()
	return u, err
}

// foreign is what other processes used between two moments, in parts of one CPU.
func (u usage) foreign(v usage) float64 {
	d := (v.machine - u.machine) - (v.server - u.server) - (v.self - u.self)
	return max(0, d.Seconds()/v.at.Sub(u.at).Seconds())
}

// quiet waits until others use little CPU for a fifth of a second, or for limit.
func quiet(limit time.Duration) {
	for end := time.Now().Add(limit); time.Now().Before(end); {
		self, _ := cpuTime(os.Getpid())
		m, at := machineTime(), time.Now()
		time.Sleep(200 * time.Millisecond)
		now, _ := cpuTime(os.Getpid())
		if d := machineTime() - m - (now - self); d.Seconds()/time.Since(at).Seconds() < maxForeignUse {
			return
		}
	}
}

// pinOthers keeps every thread of this process, and those to come, on one CPU, but for the threads that are on the CPU not.
func pinOthers(cpu, not, nice int) error {
	var set, there unix.CPUSet
	set.Set(cpu)
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(t.Name())
		if err != nil {
			continue
		}
		if unix.SchedGetaffinity(tid, &there) == nil && there.Count() == 1 && there.IsSet(not) {
			continue
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil {
			return fmt.Errorf("pinning to CPU %d: %w", cpu, err)
		}
		if err := unix.Setpriority(unix.PRIO_PROCESS, tid, nice); err != nil {
			return fmt.Errorf("priority %d: %w", nice, err)
		}
	}
	return nil
}
