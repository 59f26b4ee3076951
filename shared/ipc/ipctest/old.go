package ipctest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"os"
	"strconv"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// Attacks returns how many datagrams an attacker sends in a test: DHCP4O6_ATTACKS, or without that
// a number that a test run can wait for.
func Attacks(run int) int {
	if n, err := strconv.Atoi(os.Getenv("DHCP4O6_ATTACKS")); err == nil {
		return n
	}
	return run
}

// Old is a daemon that knows no sessions: it authenticates by HMAC alone. It is written after the
// package comment of package ipc, without that package's code.
type Old struct {
	Key     ipc.Key
	Backend string // name of the dhcp4d of the two
	From    byte   // direction: 'q' from dhcp6d, 'r' from dhcp4d
	Sent    uint64 // sequence number of the last datagram
}

// head begins the trailer: code and length of the Authentication option, protocol, algorithm,
// replay detection method.
const head = "\x00\x0b\x00\x2b\xfe\x01\x00"

// Sign returns the content with the trailer of the next sequence number and a time.
func (o *Old) Sign(content []byte, at time.Time) []byte {
	o.Sent++
	d := append(bytes.Clone(content), head...)
	d = binary.BigEndian.AppendUint64(d, o.Sent)
	d = binary.BigEndian.AppendUint32(d, o.Key.ID)
	d = binary.BigEndian.AppendUint64(d, 0x1717)
	d = binary.BigEndian.AppendUint32(d, uint32(at.Unix()))
	return append(d, o.tag(o.From, d)...)
}

// Takes reports whether the daemon accepts a datagram of the other one.
func (o *Old) Takes(d []byte) bool {
	rest := len(d) - sha256.Size/2
	return len(d) >= ipc.SignatureLen && string(d[len(d)-ipc.SignatureLen:][:len(head)]) == head &&
		hmac.Equal(o.tag('q'^'r'^o.From, d[:rest]), d[rest:])
}

// tag returns the half of the HMAC that is sent, over a datagram whose tag is zero.
func (o *Old) tag(from byte, d []byte) []byte {
	m := hmac.New(sha256.New, o.Key.Secret)
	m.Write(append([]byte(o.Backend), 0, from))
	m.Write(d)
	m.Write(make([]byte, sha256.Size/2))
	return m.Sum(nil)[:sha256.Size/2]
}
