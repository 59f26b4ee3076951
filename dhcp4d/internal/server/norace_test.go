//go:build !race

package server

// flood is how many queries of made-up clients the tests send.
const flood = 1_000_000
