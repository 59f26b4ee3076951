package commit

import (
	"errors"
	"testing"
	"time"
)

func TestStateOfTheStore(t *testing.T) {
	b := start(t, &disk{commits: make(chan chan error)}, 10)
	b.cfg.Metrics.made = time.Now().Add(-time.Hour)
	if got := b.State(); got != Working {
		t.Errorf("at the start: %v", got)
	}
	b.add(1)
	sync := <-b.disk.commits
	if got := b.State(); got != Working {
		t.Errorf("while the disk works: %v", got)
	}
	b.cfg.Metrics.begin(time.Now().Add(-hangsAfter - time.Millisecond))
	if got := b.State(); got != Hanging {
		t.Errorf("when the disk has not answered for %v: %v", hangsAfter, got)
	}
	sync <- nil
	want(t, <-b.done, 1, nil, 1)
	if got := b.State(); got != Working {
		t.Errorf("when it has: %v", got)
	}
	broken := errors.New("broken")
	b.disk.reopens = []error{broken, broken, broken, broken, broken, broken, broken, broken}
	b.add(2)
	(<-b.disk.commits) <- broken
	want(t, <-b.done, 2, broken, 2)
	if got := b.State(); got != Broken {
		t.Errorf("when a commit has failed: %v", got)
	}
	b.Close()
}
