//go:build !race

package daemon

// raceDetector says that everything takes many times as long.
const raceDetector = false
