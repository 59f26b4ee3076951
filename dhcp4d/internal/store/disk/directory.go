package disk

import (
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/slowlock"
)

// A Directory is the directory of a store, claimed by this process. It knows which store it is, how
// far the commits of the store have come, whether leases may be missing, and the clock mark.
//
// Any goroutine may call FS, Keep, Drop, Acknowledge, RaiseSegment and Lost at any time. The
// methods of [store.Store] and [store.Repairable] are called as these say. All other methods are
// called by one goroutine at a time, the one that calls those of the store.
//
// KeepClockMark and Recovered hold mu while they write, and the watermark has a lock of its own
// that is held while it is written. Both take the lock of the claim, which is held for no system
// call.
type Directory struct {
	path  string
	kind  Kind
	claim *claim
	names []string // of the files that were there
	label label
	found Watermark // on disk, as it was last read or made
	mark  marker
	lost  failure // found by Check

	unlabelled bool // a repair converts a store of format 1, and has not written its label yet

	mu       slowlock.Lock // for one writer of the clock mark or of the label of a loaded store
	clocked  bool          // guarded by mu: whether the label says that there is a clock mark
	repaired bool          // guarded by mu: whether it says that the store was repaired
}

// Claim locks the directory of a store of a kind, and reads its label. It makes the directory if
// there is none. If it fails, it has not changed the directory. Release must follow.
func Claim(path string, kind Kind, o Options) (*Directory, error) {
	c, names, l, err := claimDirectory(o, path, kind)
	if err != nil {
		return nil, err
	}
	return &Directory{
		path: path, kind: kind, claim: c, names: names, label: l, clocked: l.clocked, repaired: l.repaired,
	}, nil
}

// FS returns the file system of the directory. It is another one after Renew.
func (d *Directory) FS() vfs.FS { return d.claim.fs() }

// Names returns the names of the files that were there when the directory was claimed.
func (d *Directory) Names() []string { return d.names }

// Lock returns the lock of the directory, for Pebble.
func (d *Directory) Lock() *pebble.Lock { return d.claim.lock }

// ID returns which store it is, 0 for one of format 1.
func (d *Directory) ID() ID { return d.label.store }

// OfFormat1 reports whether the store is of format 1, which has no watermark.
func (d *Directory) OfFormat1() bool { return d.label.format == 1 }

// BeingMade reports whether the store was never finished. Then it has acknowledged nothing.
func (d *Directory) BeingMade() bool { return d.label.making }

// Empty reports whether the store has never acknowledged anything. HasLeases reports whether a file
// of that name has leases in it.
func (d *Directory) Empty(hasLeases func(name string) bool) bool {
	return d.label.making || (d.label.format == 1 && !slices.ContainsFunc(d.names, func(name string) bool {
		return name == watermarkName || hasLeases(name)
	}))
}

// Clear removes the files of a first start that was cut short.
func (d *Directory) Clear() error {
	for _, name := range d.names {
		if name != labelName && name != lockName && name != "lost+found" {
			if err := d.FS().Remove(d.FS().PathJoin(d.path, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// Begin makes the label of a new store. Finish must follow when the store is made.
func (d *Directory) Begin() error {
	d.label = label{format: firstFormat, store: newID(), making: true}
	return d.writeLabel(d.label)
}

// Finish notes in the label that the store is made.
func (d *Directory) Finish() error {
	d.label.making = false
	return d.writeLabel(d.label)
}

// RaiseFormat writes a format into the label, if that of the label is lower. So a dhcp4d that does
// not know the format refuses the store.
func (d *Directory) RaiseFormat(format int) error {
	before := d.label.format
	if format <= before {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.label.format = format
	err := d.relabel(d.FS(), d.clocked, d.repaired)
	if err != nil {
		d.label.format = before
	}
	return err
}

// Convert gives a store of format 1 a watermark and a label of today's format.
func (d *Directory) Convert(w Watermark, repaired bool) error {
	next := label{format: firstFormat, store: newID(), repaired: repaired}
	if err := d.makeWatermark(w, next.store); err != nil {
		return err
	}
	if err := d.writeLabel(next); err != nil {
		return err
	}
	d.label, d.repaired = next, repaired
	return nil
}

// BeginRepair notes that leases may be missing. What is written from then on belongs to the store
// that ID returns. FinishRepair must follow.
func (d *Directory) BeginRepair() error {
	if d.label.format == 1 {
		d.label, d.repaired, d.unlabelled = label{format: firstFormat, store: newID(), repaired: true}, true, true
		return nil
	}
	return d.MarkRepaired()
}

// FinishRepair makes the watermark of a store that was repaired.
func (d *Directory) FinishRepair(w Watermark) error {
	if err := d.MakeWatermark(w); err != nil || !d.unlabelled {
		return err
	}
	d.unlabelled = false
	return d.writeLabel(d.label)
}

func (d *Directory) writeLabel(l label) error { return writeLabel(d.FS(), d.path, labels[d.kind], l) }

// ReadWatermark reads the watermark. A store of format 1 has none. The error is a [*Damage] unless
// reading failed.
func (d *Directory) ReadWatermark() (Watermark, error) {
	d.found = Watermark{}
	var err error
	if d.label.format != 1 {
		d.found, err = readWatermark(d.FS(), d.path, d.label.store)
	}
	return d.found, err
}

// MakeWatermark makes the watermark, and replaces one that exists.
func (d *Directory) MakeWatermark(w Watermark) error { return d.makeWatermark(w, d.label.store) }

func (d *Directory) makeWatermark(w Watermark, store ID) error {
	w.store, w.number = store, 2
	if err := newWatermark(d.FS(), d.path, w); err != nil {
		return err
	}
	d.found = w
	return nil
}

// OpenWatermark opens for writing the watermark that was last read or made.
func (d *Directory) OpenWatermark() error {
	if err := d.Keep(watermarkName); err != nil {
		return err
	}
	return d.mark.open(d.FS(), d.path, d.found)
}

// Acknowledge notes a batch or a commit that was acknowledged, for the watermark. It does not wait
// for the disk.
func (d *Directory) Acknowledge(batch uint64, sum uint32) { d.mark.note(progress{batch, sum}) }

// RaiseSegment writes into the watermark that a segment exists.
func (d *Directory) RaiseSegment(number uint32) error { return d.mark.raise(number) }

// CloseWatermark writes an exact watermark, and closes its file.
func (d *Directory) CloseWatermark() error { return d.mark.close() }

// Keep notes that from now on Check must find a file in its place.
func (d *Directory) Keep(name string) error { return d.claim.keep(name) }

// Drop notes that Check need not find a file any more.
func (d *Directory) Drop(name string) { d.claim.drop(name) }

// Check implements store.Store. It checks that the directory is still there, and writes the
// watermark.
func (d *Directory) Check() error {
	err := d.claim.check()
	if err == nil {
		err = d.mark.flush()
	}
	if err != nil {
		err = fmt.Errorf("lease store %s %w", d.path, err)
		d.lost.cause.CompareAndSwap(nil, &err)
	}
	return err
}

// Lost returns the first error of Check since the directory was claimed or renewed. Every Commit
// fails with it.
func (d *Directory) Lost() error { return d.lost.err() }

// Renew claims the directory again after a failure, in which it may have been replaced.
func (d *Directory) Renew() error {
	if err := d.claim.renew(d.label.store); err != nil {
		return err
	}
	d.lost.clear()
	return nil
}

// Release gives the directory up.
func (d *Directory) Release() { d.claim.release() }

// failure is an error of the work beside the commits. Any goroutine may read it.
type failure struct{ cause atomic.Pointer[error] }

func (f *failure) err() error {
	if p := f.cause.Load(); p != nil {
		return *p
	}
	return nil
}

func (f *failure) clear() { f.cause.Store(nil) }
