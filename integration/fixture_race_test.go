//go:build race

package integration_test

// raceDetector: the tests run with it, so the program is built with it too.
const raceDetector = true
