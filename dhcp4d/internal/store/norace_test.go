//go:build !race

package store

const stridden = 1
