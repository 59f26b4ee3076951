// Package pages makes memory for large tables, in huge pages if the kernel has them. A table of
// millions is read at random. With pages of 4 KiB, each read also costs a walk through the page
// tables, and each new page a page fault.
//
// What it hands out belongs to the garbage collector like everything else.
package pages

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// huge is the size of a huge page.
const huge = 2 << 20

// Make is make([]T, n), in huge pages as far as whole ones fit into it. Where
// the kernel refuses them it is an ordinary slice.
func Make[T any](n int) []T {
	s := make([]T, n)
	start := uintptr(unsafe.Pointer(unsafe.SliceData(s)))
	end := start + uintptr(n)*unsafe.Sizeof(*new(T))
	first := (start + huge - 1) &^ (huge - 1)
	if last := end &^ (huge - 1); first < last {
		whole := unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(s)), first-start)), last-first)
		_ = unix.Madvise(whole, unix.MADV_HUGEPAGE) // it works without, too
	}
	return s
}

// Chunks are rows of one size that never move and never go. More are made as they are needed, a
// sixteenth of what there is at a time, so that huge pages fit into them once there are many.
type Chunks[T any] struct {
	All   []*T
	spare []T
}

// Add appends one chunk.
func (c *Chunks[T]) Add() {
	if len(c.spare) == 0 {
		c.spare = Make[T](max(1, len(c.All)/16))
	}
	c.All, c.spare = append(c.All, &c.spare[0]), c.spare[1:]
}
