//go:build !race

package faults

// raceDetector says that everything takes ten times as long.
const raceDetector = false
