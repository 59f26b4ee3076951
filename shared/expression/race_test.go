//go:build race

package expression

// raceDetector is whether the race detector is on. Then sync.Pool forgets at random, and package
// regexp, which keeps its machines in one, allocates.
const raceDetector = true
