//go:build !race

package disk

const stridden = 1
