//go:build race

package server

// flood is how many queries of made-up clients the tests send: with the race
// detector fewer, since it looks for something else than memory.
const flood = 30_000
