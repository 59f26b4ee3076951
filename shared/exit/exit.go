// Package exit says with which status a program ends after an error, so that a script can tell
// "there is no such thing" from "nobody could be asked".
package exit

import "errors"

// The statuses of the programs.
const (
	Failed          = 1 // anything else
	StatusNotFound  = 3 // the answer is known: there is no such thing
	StatusCannotAsk = 4 // the answer is not known: who knows it, or what holds it, cannot be read
)

type status struct {
	error
	code int
}

func (s status) Unwrap() error { return s.error }

// NotFound marks an error that says that there is no such thing.
func NotFound(err error) error { return status{err, StatusNotFound} }

// CannotAsk marks an error that says that the answer is not known.
func CannotAsk(err error) error { return status{err, StatusCannotAsk} }

// Code is the status of an error, 0 of none.
func Code(err error) int {
	if err == nil {
		return 0
	}
	if s, ok := errors.AsType[status](err); ok {
		return s.code
	}
	return Failed
}
