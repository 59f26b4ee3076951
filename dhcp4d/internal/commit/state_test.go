package commit

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestStateOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &disk{commits: make(chan chan error)}, 10)
		if got := b.State(); got != Working {
			t.Errorf("at the start: %v", got)
		}
		time.Sleep(time.Millisecond) // times count since the start, and 0 is none
		b.add(1)
		sync := <-b.disk.commits
		time.Sleep(hangsAfter)
		if got := b.State(); got != Working {
			t.Errorf("while the disk works: %v", got)
		}
		time.Sleep(time.Millisecond)
		if got := b.State(); got != Hanging {
			t.Errorf("when the disk has not answered for more than %v: %v", hangsAfter, got)
		}
		sync <- nil
		want(t, <-b.done, 1, nil, 1)
		if got := b.State(); got != Working {
			t.Errorf("when it has: %v", got)
		}
		broken := errors.New("broken")
		b.disk.reopens = []error{broken}
		b.add(2)
		(<-b.disk.commits) <- broken
		want(t, <-b.done, 2, broken, 2)
		if got := b.State(); got != Broken {
			t.Errorf("when a commit has failed: %v", got)
		}
		b.Close()
	})
}
