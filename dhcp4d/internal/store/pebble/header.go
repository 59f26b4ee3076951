package pebble

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/cockroachdb/pebble/v2"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/disk"
)

// A header is a record of a Pebble store about itself. Every commit merges a header of its own,
// which counts one commit, into the one that is there. So number and commits differ if a log or a
// table between the first and the newest commit is lost.
type header struct {
	store   disk.ID
	number  uint64 // of the newest commit
	commits uint64 // that are there
	created lease.Time
	clock   lease.Time // the latest time that the store has seen
}

// headerKey sorts before every key of a record.
var headerKey = []byte{0x00}

const (
	headerVersion   = 2
	headerValueLen  = 1 + 5*8
	headerValueLen1 = 1 + 2*8 // of version 1
)

func (h *header) append(dst []byte) []byte {
	dst = append(dst, headerVersion)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.store))
	dst = binary.BigEndian.AppendUint64(dst, h.number)
	dst = binary.BigEndian.AppendUint64(dst, h.commits)
	dst = binary.BigEndian.AppendUint64(dst, uint64(h.created))
	return binary.BigEndian.AppendUint64(dst, uint64(h.clock))
}

// parseHeader reads a header of version 2 or 1. Version 1 names no store and counts no commits.
func parseHeader(value []byte) (h header, err error) {
	switch {
	case len(value) == headerValueLen && value[0] == headerVersion:
		h.store = disk.ID(binary.BigEndian.Uint64(value[1:]))
		h.number = binary.BigEndian.Uint64(value[9:])
		h.commits = binary.BigEndian.Uint64(value[17:])
		value = value[24:]
	case len(value) == headerValueLen1 && value[0] == 1:
	default:
		return h, errors.New("header is malformed")
	}
	h.created = lease.Time(binary.BigEndian.Uint64(value[1:]))
	h.clock = lease.Time(binary.BigEndian.Uint64(value[9:]))
	return h, nil
}

// noStore is the store of a header that was merged from headers of several stores.
const noStore = ^disk.ID(0)

// merge adds another header, older or newer.
func (h *header) merge(other *header) {
	switch {
	case h.store == 0:
		h.store = other.store
	case other.store != 0 && other.store != h.store:
		h.store = noStore
	}
	h.number = max(h.number, other.number)
	h.commits += other.commits
	h.created = max(h.created, other.created) // only one header has it
	h.clock = max(h.clock, other.clock)
}

// headerMerger merges headers for Pebble. It has the name of the merger of format 1, which never
// merged anything, because Pebble refuses to open a store whose merger has another name.
var headerMerger = &pebble.Merger{
	Name: "pebble.concatenate",
	Merge: func(_, value []byte) (pebble.ValueMerger, error) {
		m := new(mergedHeader)
		return m, m.MergeOlder(value)
	},
}

type mergedHeader struct{ header }

// MergeNewer implements pebble.ValueMerger.
func (m *mergedHeader) MergeNewer(value []byte) error { return m.MergeOlder(value) }

// MergeOlder implements pebble.ValueMerger.
func (m *mergedHeader) MergeOlder(value []byte) error {
	h, err := parseHeader(value)
	if err == nil {
		m.merge(&h)
	}
	return err
}

// Finish implements pebble.ValueMerger.
func (m *mergedHeader) Finish(bool) ([]byte, io.Closer, error) { return m.append(nil), nil, nil }
