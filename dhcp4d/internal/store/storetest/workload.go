package storetest

import (
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// A Workload overwrites the records of a few addresses in groups. The version of a record is in
// Changed.
type Workload struct {
	mu        sync.Mutex            // guards the fields that Next and Step change
	Attempted [Addresses]lease.Time // highest version handed to Commit
	Acked     [Addresses]lease.Time // highest version that Commit took
	rng       *rand.Rand
	Version   lease.Time // of the newest group
}

// Addresses is how many there are.
const Addresses = 40

// NewWorkload makes a workload whose records depend on seed only.
func NewWorkload(seed uint64) *Workload {
	return &Workload{rng: rand.New(rand.NewPCG(seed, 1))}
}

// Next makes the records of one group, for the addresses that it tells.
func (w *Workload) Next(tell func(n int)) []lease.Binding {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Version++
	var records []lease.Binding
	for range 1 + w.rng.IntN(8) {
		n := w.rng.IntN(Addresses)
		r := Binding(n)
		r.Changed = w.Version
		records = append(records, r)
		w.Attempted[n] = w.Version
		tell(n)
	}
	return records
}

// Step commits one group.
func (w *Workload) Step(s store.Store) error {
	var which []int
	records := w.Next(func(n int) { which = append(which, n) })
	if _, err := s.Commit(records); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range which {
		w.Acked[n] = records[0].Changed
	}
	return nil
}

// Known returns what was acknowledged until now.
func (w *Workload) Known() [Addresses]lease.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Acked
}

// Check compares what a store holds with what was acknowledged before it stopped. It returns the
// number of records lost.
func (w *Workload) Check(s store.Store, acked [Addresses]lease.Time) (lost int, err error) {
	var found [Addresses]lease.Time
	if _, err := s.Load(func(b *lease.Binding) error {
		a := b.Addr.As4()
		n := int(a[2])<<8 | int(a[3])
		want := Binding(n)
		want.Changed = b.Changed
		if !Same(b, &want) {
			return fmt.Errorf("%+v was never written", b)
		}
		found[n] = b.Changed
		return nil
	}); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for n := range found {
		if found[n] < acked[n] {
			lost++
		}
		if found[n] > w.Attempted[n] {
			return lost, fmt.Errorf("address %d has version %d, the highest written is %d", n, found[n], w.Attempted[n])
		}
	}
	return lost, nil
}
