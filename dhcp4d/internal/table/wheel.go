package table

import "github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"

// wheel finds the entries that are due. It is a ring of seconds. Each has a list of the entries
// that end in that second, in this round or a later one. A round takes 18 hours, so the entry of a
// longer lease is looked at once a round. A renewed binding stays in its list until its old end
// comes, because moving it at each renewal would touch four more lines of memory.
type wheel struct {
	heads   []uint32
	now     uint32 // the first second whose list has not been walked to its end
	cursor  uint32 // where the walk of that list goes on
	resumed bool
}

const (
	wheelSize = 1 << 16
	isHead    = 1 << 31 // in entry.prev: the rest is a slot of the wheel
)

// due returns the second in which an active entry ends.
func (t *Table) due(e *entry) uint32 {
	if e.phase == offered {
		return t.offers.offers[e.offer].deadline
	}
	return e.expires
}

// schedule puts an active entry into the wheel, or moves it there.
func (t *Table) schedule(ref uint32) {
	t.unschedule(ref)
	e, w := t.entries.at(ref), &t.wheel
	due := t.due(e)
	if due == never {
		return
	}
	if w.heads == nil {
		w.heads = make([]uint32, wheelSize)
	}
	first := w.now
	if w.resumed {
		first++ // the walk through this second may be past the head
	}
	s := max(due, first) % wheelSize
	e.prev, e.next = isHead|s, w.heads[s]
	if e.next != 0 {
		t.entries.at(e.next).prev = ref
	}
	w.heads[s] = ref
}

// unschedule takes an entry out of the wheel if it is there.
func (t *Table) unschedule(ref uint32) {
	e, w := t.entries.at(ref), &t.wheel
	if e.prev == 0 {
		return
	}
	if w.cursor == ref {
		w.cursor = e.next
	}
	if e.prev&isHead != 0 {
		w.heads[e.prev&^isHead] = e.next
	} else {
		t.entries.at(e.prev).next = e.next
	}
	if e.next != 0 {
		t.entries.at(e.next).prev = e.prev
	}
	e.prev, e.next = 0, 0
}

// Expire ends the holds, bindings and quarantines that are due. It looks at no more than most
// entries, and reports whether it must be called again. It writes nothing: on disk a binding ends
// by its time.
func (t *Table) Expire(now lease.Time, most int) (more bool) {
	w, until := &t.wheel, pack(now)
	if w.heads == nil || until < w.now {
		return false
	}
	if until-w.now >= wheelSize && !w.resumed {
		// One round covers every entry.
		w.now = until - wheelSize + 1
	}
	for ; w.now <= until; w.now++ {
		if !w.resumed {
			w.cursor, w.resumed = w.heads[w.now%wheelSize], true
		}
		for w.cursor != 0 {
			if most--; most < 0 {
				return true
			}
			ref := w.cursor
			w.cursor = t.entries.at(ref).next
			if !t.settle(ref, now) && t.due(t.entries.at(ref))%wheelSize != w.now%wheelSize {
				t.schedule(ref)
			}
		}
		w.resumed = false
	}
	return false
}

// settle ends an entry if it is due, and reports whether it was.
func (t *Table) settle(ref uint32, now lease.Time) bool {
	e := t.entries.at(ref)
	if e.phase == idle || t.due(e) > pack(now) {
		return false
	}
	switch e.phase {
	case bound:
		t.ended(lease.EventExpired, ref)
		if e.offer != 0 && t.offers.offers[e.offer].deadline > pack(now) {
			t.setPhase(e, offered)
			t.schedule(ref)
			return true
		}
		t.dropOffer(ref)
		t.retire(ref)
	case offered:
		t.endOffered(ref)
	case resting:
		t.wake(ref)
	}
	return true
}

// ended calls Options.Ended for an entry.
func (t *Table) ended(event lease.Event, ref uint32) {
	if t.options.Ended != nil {
		t.fill(ref, &t.scratch)
		t.options.Ended(event, &t.scratch, t.pending(t.entries.at(ref)))
	}
}
