//go:build race

package store

// The race detector looks for something else than lost records and makes all
// of it ten times slower and more: with it the crash and fault tests try every
// 23rd point. Without it they try every one, which make test has them do too.
const stridden = 23
