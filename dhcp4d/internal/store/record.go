package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// BindingKind is the first octet of a record's key. A store may have other keys for itself.
const BindingKind = 0x01

// KeyLen is the length of a record's key in octets.
const KeyLen = 1 + 4 + 4

const fixedLen = 1 + 1 + 1 + 1 + 4 + 3*8 + 16 + 2 + 2

// The versions of records. A lease without a Remote-Id has a record of the first one, so that an
// older dhcp4d can read it.
const (
	plainRecord    = 1
	remoteIDRecord = 2
	newestRecord   = remoteIDRecord
)

// The formats of a store in a directory, as its label names them. They say what the records may be.
// A dhcp4d refuses a store of a format that it does not know. Otherwise it would take records that
// it does not know for damage.
const (
	PlainFormat    = 2 // all records are of version 1
	RemoteIDFormat = 3 // records may be of version 2
	NewestFormat   = RemoteIDFormat
)

// FormatFor returns the lowest format of a store that may have the records.
func FormatFor(records []lease.Binding) int {
	for i := range records {
		if len(records[i].RemoteID) > 0 {
			return RemoteIDFormat
		}
	}
	return PlainFormat
}

// AppendKey appends the key of r: its address and port set.
func AppendKey(dst []byte, r *lease.Binding) []byte {
	a := r.Addr.As4()
	dst = append(dst, BindingKind, a[0], a[1], a[2], a[3])
	return binary.BigEndian.AppendUint32(dst, uint32(r.Ports))
}

// ValueLen returns how many octets AppendValue appends.
func ValueLen(r *lease.Binding) int {
	n := fixedLen + len(r.HWAddr) + len(r.Client) + len(r.Point)
	if len(r.RemoteID) > 0 {
		n += 1 + len(r.RemoteID)
	}
	return n
}

// AppendValue appends everything of r but its key.
func AppendValue(dst []byte, r *lease.Binding) []byte {
	if len(r.HWAddr) > math.MaxUint8 || len(r.Client) > math.MaxUint16 || len(r.Point) > math.MaxUint16 ||
		len(r.RemoteID) > math.MaxUint8 {
		panic("store: a binding longer than anything that DHCPv4 can carry")
	}
	version := byte(plainRecord)
	if len(r.RemoteID) > 0 {
		version = remoteIDRecord
	}
	dst = append(dst, version, byte(r.State), r.HWType, byte(len(r.HWAddr)))
	dst = binary.BigEndian.AppendUint32(dst, r.Subnet)
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Start))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Changed))
	dst = binary.BigEndian.AppendUint64(dst, uint64(r.Expires))
	var source [16]byte
	if r.Source.IsValid() {
		source = r.Source.As16()
	}
	dst = append(dst, source[:]...)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.Client)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.Point)))
	if version == remoteIDRecord {
		dst = append(dst, byte(len(r.RemoteID)))
	}
	dst = append(dst, r.HWAddr...)
	dst = append(dst, r.Client...)
	dst = append(dst, r.Point...)
	return append(dst, r.RemoteID...)
}

var errRecord = errors.New("record is malformed")

// NewerError is the error of a record that this dhcp4d cannot read, because a newer one has written
// it. Nothing is wrong with the store.
type NewerError struct{ version byte }

func (e *NewerError) Error() string {
	return fmt.Sprintf("record is of version %d, this dhcp4d knows %d", e.version, newestRecord)
}

// Decode reads a record into r. The slices of r then point into value.
func Decode(r *lease.Binding, key, value []byte) error {
	if len(key) != KeyLen || key[0] != BindingKind || len(value) < 1 {
		return errRecord
	}
	if value[0] > newestRecord {
		return &NewerError{value[0]}
	}
	if value[0] < plainRecord || len(value) < fixedLen {
		return errRecord
	}
	r.Addr = netip.AddrFrom4([4]byte(key[1:5]))
	r.Ports = lease.PortSet(binary.BigEndian.Uint32(key[5:]))
	r.State, r.HWType = lease.State(value[1]), value[2]
	hw := int(value[3])
	r.Subnet = binary.BigEndian.Uint32(value[4:])
	r.Start = lease.Time(binary.BigEndian.Uint64(value[8:]))
	r.Changed = lease.Time(binary.BigEndian.Uint64(value[16:]))
	r.Expires = lease.Time(binary.BigEndian.Uint64(value[24:]))
	r.Source = netip.Addr{}
	if source := [16]byte(value[32:48]); source != [16]byte{} {
		r.Source = netip.AddrFrom16(source)
	}
	client := int(binary.BigEndian.Uint16(value[48:]))
	point := int(binary.BigEndian.Uint16(value[50:]))
	rest, remoteID := value[fixedLen:], 0
	if value[0] == remoteIDRecord {
		if len(rest) == 0 || rest[0] == 0 {
			return errRecord
		}
		remoteID, rest = int(rest[0]), rest[1:]
	}
	if len(rest) != hw+client+point+remoteID {
		return errRecord
	}
	r.HWAddr, rest = rest[:hw:hw], rest[hw:]
	r.Client, rest = rest[:client:client], rest[client:]
	r.Point, r.RemoteID = rest[:point:point], rest[point:]
	return nil
}
