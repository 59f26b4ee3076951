package journal

import (
	"errors"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// keepUnused is how many free files are kept to be written over.
const keepUnused = 2

// advance goes on to the next segment.
func (j *journal) advance() error {
	if j.next == nil {
		j.prepare()
	}
	r := j.next.result()
	if r.err != nil { // it may have failed a while ago: try again
		j.prepare()
		r = j.next.result()
	}
	j.next = nil
	if j.noFile = r.err != nil; j.noFile {
		return r.err
	}
	if j.out != nil {
		if err := j.out.Close(); err != nil {
			_ = r.file.Close()
			return err
		}
	}
	j.out = r.file
	j.segments = append(j.segments, &segment{name: r.name, number: r.number, format: 2})
	j.allow()
	j.measure()
	return nil
}

// prepare makes the next segment beside the commits, and notes in the watermark that it is there.
func (j *journal) prepare() {
	number := j.nextNumber()
	name := segmentName(number)
	j.trim()
	old, surplus := "", j.surplus
	j.surplus = nil
	if len(j.unused) > 0 {
		old, j.unused = j.unused[0], j.unused[1:]
	}
	j.next = j.later(func() (a task) {
		a.number, a.name = number, name
		if a.file, a.err = newSegment(j.o, j.dir, old, name, j.size); a.err == nil {
			if a.err = errors.Join(j.Keep(name), j.RaiseSegment(number)); a.err != nil {
				_ = a.file.Close()
			}
		}
		for _, name := range surplus {
			_ = j.o.FS.Remove(j.o.FS.PathJoin(j.dir, name)) // a file too many does no harm
		}
		return a
	})
}

// nextNumber returns the number of the segment after the newest.
func (j *journal) nextNumber() uint32 {
	if len(j.segments) == 0 {
		return max(1, j.found.Segment)
	}
	return following(j.current().number)
}

// trim marks the unused files beyond keepUnused as surplus. It keeps the next segment if that has
// been made, because the watermark says that it is there.
func (j *journal) trim() {
	j.keepFirst(segmentName(j.nextNumber()))
	if n := len(j.unused); n > keepUnused {
		j.surplus = append(j.surplus, j.unused[keepUnused:]...)
		j.unused = j.unused[:keepUnused:keepUnused]
	}
}

// measure computes how much of the disk the journal takes.
func (j *journal) measure() {
	files := len(j.segments) + len(j.unused) + len(j.surplus)
	if j.next != nil {
		files++
	}
	j.bytes.Store(uint64(files)*uint64(j.size) + 2*disk.BlockSize)
}
