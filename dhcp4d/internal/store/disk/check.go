package disk

import (
	"fmt"
	"sync/atomic"
)

// checked implements Store.Check for both kinds of store on disk. It checks that the directory is
// still there and writes the watermark. From an error on, every Commit fails with it.
func checked(p *claim, m *marker, l *failure) error {
	err := p.check()
	if err == nil {
		err = m.flush()
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("lease store %s %w", p.dir, err)
	l.cause.CompareAndSwap(nil, &err)
	return err
}

// failure is an error of the work beside the commits. Any goroutine may read it.
type failure struct{ cause atomic.Pointer[error] }

func (f *failure) err() error {
	if p := f.cause.Load(); p != nil {
		return *p
	}
	return nil
}

func (f *failure) clear() { f.cause.Store(nil) }
