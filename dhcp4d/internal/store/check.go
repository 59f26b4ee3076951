package store

import (
	"fmt"
	"sync/atomic"
)

// checked does what Check does in both kinds of store: it looks whether the directory is still
// there and writes the watermark. Commit fails with the error from then on.
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

// failure is an error that was met beside the commits. Any goroutine may ask for it.
type failure struct{ cause atomic.Pointer[error] }

func (f *failure) err() error {
	if p := f.cause.Load(); p != nil {
		return *p
	}
	return nil
}

func (f *failure) clear() { f.cause.Store(nil) }
