//go:build race

package testkit

// RaceDetector says that the test runs with the race detector, where everything takes many times as long.
const RaceDetector = true
