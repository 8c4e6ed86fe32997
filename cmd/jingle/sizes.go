package main

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// byteCount is a flag's value in bytes: a number, with a unit or without.
type byteCount uint64

// String implements [pflag.Value].
func (b *byteCount) String() string { return strconv.FormatUint(uint64(*b), 10) }

// Type implements [pflag.Value].
func (b *byteCount) Type() string { return "bytes" }

// Set implements [pflag.Value]: k, M, G and T stand for powers of 1024, as KiB, MiB and so on do, and kB, MB for powers of 1000.
func (b *byteCount) Set(text string) error {
	digits := strings.TrimRight(text, "kKMGTiB")
	unit := text[len(digits):]
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || n < 0 || math.IsInf(n, 0) || math.IsNaN(n) {
		return errSize
	}
	base := 1024.0
	switch {
	case unit == "" || unit == "B":
		unit = ""
	case len(unit) == 1, len(unit) == 3 && unit[1:] == "iB":
	case len(unit) == 2 && unit[1] == 'B':
		base = 1000
	default:
		return errSize
	}
	if unit != "" {
		power := strings.IndexByte("kMGT", strings.Replace(unit, "K", "k", 1)[0]) + 1
		if power == 0 {
			return errSize
		}
		n *= math.Pow(base, float64(power))
	}
	if n > math.MaxInt64 {
		return errSize
	}
	*b = byteCount(n)
	return nil
}

var errSize = errors.New("a size is a number of bytes, or one such as 500k, 10M or 2G")
