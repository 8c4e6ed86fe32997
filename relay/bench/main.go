// Command bench measures TURN servers against each other on one machine: Debian's coturn, a bare pion/turn, a bare UDP forwarder
// and this project's relay, in one run with interleaved rounds.
//
//	make bench-relay                     # short: under two minutes
//	make bench-relay BENCHFLAGS=-long    # longer rounds and more of them
//
// The server under test is pinned to one core and the load generator to another. What counts first is CPU time per packet: unlike
// packets per second it does not depend on how busy the other core is. Only loopback addresses are used.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// options are the command line's.
type options struct {
	long     bool
	rounds   int
	duration time.Duration
	patience time.Duration
	only     string
	rows     string
	profile  string
	nice     int
	verbose  bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "serve" {
		if err := serve(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench serve:", err)
			os.Exit(1)
		}
		return
	}
	var o options
	flag.BoolVar(&o.long, "long", false, "seven rounds of 2 s each instead of three of 0.25 s")
	flag.IntVar(&o.rounds, "rounds", 0, "how many interleaved rounds (default 3, or 7 with -long)")
	flag.DurationVar(&o.duration, "duration", 0, "the measured part of one run (default 250ms, or 2s with -long)")
	flag.DurationVar(&o.patience, "patience", 0, "how long to wait and repeat in all because others use the CPUs (default 10s, or 10m with -long)")
	flag.StringVar(&o.only, "servers", "", "comma-separated: only these servers")
	flag.StringVar(&o.rows, "rows", "", "comma-separated: only rows whose name contains one of these")
	flag.StringVar(&o.profile, "profile", "", "write CPU profiles of our relay to files that begin with this")
	flag.IntVar(&o.nice, "nice", 0, "scheduling priority of servers and generator, -20 to 19: below 0, as root, on a machine that others use too")
	flag.BoolVar(&o.verbose, "v", false, "print every run")
	flag.Parse()
	def := func(d *time.Duration, short, long time.Duration) {
		if *d == 0 {
			*d = short
			if o.long {
				*d = long
			}
		}
	}
	def(&o.duration, 250*time.Millisecond, 2*time.Second)
	def(&o.patience, 10*time.Second, 10*time.Minute)
	if o.rounds == 0 {
		o.rounds = 3
		if o.long {
			o.rounds = 7
		}
	}
	if err := run(&o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// selectedExactly says whether name is one of a comma-separated list.
func selectedExactly(list, name string) bool {
	return slices.Contains(strings.Split(list, ","), name)
}

// selected says whether name contains one of a comma-separated list, or the list is empty.
func selected(list, name string) bool {
	if list == "" {
		return true
	}
	for x := range strings.SplitSeq(list, ",") {
		if strings.Contains(name, strings.TrimSpace(x)) {
			return true
		}
	}
	return false
}
