//go:build race

package main

// raceDetector makes everything about ten times slower.
const raceDetector = true
