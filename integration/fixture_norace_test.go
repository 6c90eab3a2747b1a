//go:build !race

package integration_test

// raceDetector: the tests run without it.
const raceDetector = false
