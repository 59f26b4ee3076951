package commit

import "time"

// State says whether commits succeed.
type State uint8

// The states.
const (
	Working State = iota
	Broken        // the store has failed and is not yet back
	Hanging       // the current commit, or a look at what others have changed, takes longer than hangsAfter
)

// hangsAfter is longer than a commit to a healthy disk takes, and shorter than the time after which
// a client repeats its message.
const hangsAfter = time.Second

// State returns the state. Any goroutine may call it.
func (c *Committer[R]) State() State {
	switch {
	case c.failed.Load():
		return Broken
	case c.cfg.Metrics.waiting() > hangsAfter.Seconds():
		return Hanging
	case c.shared != nil && c.cfg.Metrics.foreignAge() > hangsAfter.Seconds():
		return Hanging // a look waits for an answer, or fails; no commit can be made meanwhile
	}
	return Working
}
