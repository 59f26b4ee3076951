package ipc

import (
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// Signer signs the datagrams of one direction. One goroutine signs; each
// goroutine that sends has a Signer of its own, which is a sender of its own
// to the other side. SetKeys may be called from anywhere.
type Signer struct {
	direction Direction
	sender    uint64
	sequence  uint64
	mac       atomic.Pointer[mac]
}

// NewSigner makes a signer under a random sender id. Without keys it leaves
// datagrams as they are.
func NewSigner(d Direction, keys Keys) *Signer {
	var id [8]byte
	rand.Read(id[:]) // never fails
	s := &Signer{direction: d, sender: binary.BigEndian.Uint64(id[:])}
	s.SetKeys(keys)
	return s
}

// SetKeys changes the keys; the first one signs from the next datagram on.
func (s *Signer) SetKeys(keys Keys) {
	if len(keys) == 0 {
		s.mac.Store(nil)
		return
	}
	s.mac.Store(&newMACs(keys[:1])[0])
}

// Append signs the datagram dst[start:], whose other end is, or which comes
// from, the backend of that name. The result may exceed
// [dhcp6.MaxDatagram]; sending it then fails.
func (s *Signer) Append(dst []byte, start int, backend string, now time.Time) []byte {
	m := s.mac.Load()
	if m == nil {
		return dst
	}
	s.sequence++
	dst = append(dst, authHeader...)
	dst = binary.BigEndian.AppendUint64(dst, s.sequence)
	dst = binary.BigEndian.AppendUint32(dst, m.id)
	dst = binary.BigEndian.AppendUint64(dst, s.sender)
	dst = binary.BigEndian.AppendUint32(dst, uint32(now.Unix()))
	dst = append(dst, zeroMAC[:]...)
	copy(dst[len(dst)-macLen:], m.of(dst[start:], backend, s.direction))
	return dst
}
