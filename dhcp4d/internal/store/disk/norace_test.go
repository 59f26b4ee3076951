//go:build !race

package disk_test

const stridden = 1
