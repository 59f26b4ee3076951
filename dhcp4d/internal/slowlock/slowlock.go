// Package slowlock has the lock that is held for long: over calls of the disk, or over a pause.
package slowlock

import "sync"

// Lock is a mutual exclusion, like a sync.Mutex. Who waits for it waits at a sync.Cond: a bubble of
// testing/synctest lets its clock go on then, which it does not for a mutex. So the holder may
// sleep, or call a simulated disk. The zero Lock is free.
type Lock struct {
	mu   sync.Mutex
	free sync.Cond // held has become false
	held bool      // guarded by mu
}

// Lock waits until the lock is free and takes it.
func (l *Lock) Lock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free.L = &l.mu
	for l.held {
		l.free.Wait()
	}
	l.held = true
}

// TryLock takes the lock if it is free, and reports whether it has.
func (l *Lock) TryLock() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		return false
	}
	l.held = true
	return true
}

// Unlock frees the lock.
func (l *Lock) Unlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.held {
		panic("slowlock: unlock of a free lock")
	}
	l.held = false
	l.free.Signal()
}
