package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// median of each figure on its own.
func median(runs []figures) figures {
	mid := func(get func(figures) float64) float64 {
		v := make([]float64, len(runs))
		for i, r := range runs {
			v[i] = get(r)
		}
		slices.Sort(v)
		if n := len(v); n%2 == 0 {
			return (v[n/2-1] + v[n/2]) / 2
		}
		return v[len(v)/2]
	}
	return figures{
		cpu: mid(cpu), rate: mid(rate), p50: mid(func(f figures) float64 { return f.p50 }), p99: mid(p99),
		loss: mid(func(f figures) float64 { return f.loss }), busy: mid(func(f figures) float64 { return f.busy }),
		foreign: mid(func(f figures) float64 { return f.foreign }), offered: mid(func(f figures) float64 { return f.offered }),
		memory: mid(memory), slab: mid(func(f figures) float64 { return f.slab }), whole: mid(whole), missed: mid(func(f figures) float64 { return f.missed }),
	}
}

// notes says what makes a figure doubtful.
func notes(r *row, f figures) string {
	var n []string
	if f.foreign > maxForeignUse {
		n = append(n, fmt.Sprintf("others used %.0f%% of a CPU", 100*f.foreign))
	}
	switch {
	case r.group == allocations:
	case r.group == overVeth && r.flow.Rate == 0:
	case r.flow.Rate == 0 && f.busy < 0.9:
		n = append(n, fmt.Sprintf("not saturated: the generator drove it to %.0f%%", 100*f.busy))
	case r.flow.Rate > 0 && f.offered < 0.98:
		n = append(n, fmt.Sprintf("the generator sent only %.0f%% of the rate", 100*f.offered))
	}
	if f.missed > 0.001 {
		n = append(n, fmt.Sprintf("the generator missed %.1f%%", 100*f.missed))
	}
	return strings.Join(n, "; ")
}

// maxForeignUse is how much of a CPU others may use before a run is repeated or marked.
const maxForeignUse = 0.12

func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}

// printRow writes one row's table and its goals. It says whether all goals were met that could be judged.
func printRow(w io.Writer, r *row, order []string, got map[string]figures) (met, missed int) {
	fmt.Fprintf(w, "\n%s [%s]\n", r.title, r.name)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	switch r.group {
	case allocations:
		fmt.Fprintln(tw, "  server\tCPU ms/alloc\t/coturn\talloc/s\t/coturn\tRSS KiB/alloc\tslab KiB/alloc\tbusy\t")
	case overVeth:
		fmt.Fprintln(tw, "  server\tmachine s/Mpkt\t/coturn\tserver s/Mpkt\tkpackets/s\tloss %\tp50 us\tp99 us\tbusy\t")
	default:
		fmt.Fprintln(tw, "  server\tCPU s/Mpkt\t/coturn\t/forward\tkpackets/s\tloss %\tp50 us\tp99 us\tbusy\t")
	}
	for _, name := range order {
		f, ok := got[name]
		if !ok {
			continue
		}
		if r.group == allocations {
			fmt.Fprintf(tw, "  %s\t%.3f\t%s\t%.0f\t%s\t%.1f\t%.1f\t%.0f%%\t%s\n", name, f.cpu, ratio(f.cpu, got["coturn"].cpu),
				f.rate, ratio(f.rate, got["coturn"].rate), f.memory, f.slab, 100*f.busy, notes(r, f))
			continue
		}
		late := "-\t-"
		if r.group == overVeth {
			if r.flow.Rate > 0 {
				late = fmt.Sprintf("%.1f\t%.1f", f.p50, f.p99)
			}
			fmt.Fprintf(tw, "  %s\t%.2f\t%s\t%.2f\t%.1f\t%.2f\t%s\t%.0f%%\t%s\n", name, f.whole, ratio(f.whole, got["coturn"].whole), f.cpu, f.rate/1000,
				100*f.loss, late, 100*f.busy, notes(r, f))
			continue
		}
		if r.flow.Rate > 0 {
			late = fmt.Sprintf("%.0f\t%.0f", f.p50, f.p99)
		}
		fmt.Fprintf(tw, "  %s\t%.2f\t%s\t%s\t%.1f\t%.2f\t%s\t%.0f%%\t%s\n", name, f.cpu, ratio(f.cpu, got["coturn"].cpu),
			ratio(f.cpu, got["forward"].cpu), f.rate/1000, 100*f.loss, late, 100*f.busy, notes(r, f))
	}
	tw.Flush()
	for _, g := range r.goals {
		by := g.by
		if by == "" {
			by = "relay"
		}
		f, ok := got[by]
		if !ok {
			continue
		}
		v, unit := g.value(f), " "+g.unit
		if g.of != "" {
			o, ok := got[g.of]
			if !ok || g.value(o) == 0 {
				continue
			}
			v, unit = v/g.value(o), " of "+g.of+"'s"
		}
		word, verdict := "at most", "met"
		if g.least {
			word = "at least"
		}
		if v > g.limit != g.least && v != g.limit {
			verdict = "MISSED"
			missed++
		} else {
			met++
		}
		fmt.Fprintf(w, "  goal: %s %s %.4g%s: %.3g, %s\n", g.what, word, g.limit, unit, v, verdict)
	}
	return met, missed
}
