package journal

import "github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"

// task is work beside the commits, and its result.
type task struct {
	done chan struct{}

	file    *disk.BlockFile
	name    string
	number  uint32
	content []byte
	err     error
}

// later starts work beside the commits. The task has its result once it is ready.
func (j *journal) later(work func() task) *task {
	a := &task{done: make(chan struct{})}
	j.o.Go(func() {
		r := work()
		a.file, a.name, a.number, a.content, a.err = r.file, r.name, r.number, r.content, r.err
		close(a.done)
	})
	return a
}

func (a *task) ready() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

func (a *task) result() *task {
	<-a.done
	return a
}
