// Package bench holds the benchmarks that need several rooms of the house and real servers. It has no code of its own.
package bench
