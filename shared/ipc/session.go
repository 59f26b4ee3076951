package ipc

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"sync/atomic"
)

// Identity is who a process is towards one peer: random, drawn at each start.
type Identity [16]byte

// signers is how many goroutines of a process may sign. Each has a number, and sequence numbers of
// its own.
const signers = 4

// counterBits is what is left of a sequence number below the signer's number.
const counterBits = 56

// session is what one process of dhcp6d and one of dhcp4d have in common. Its keys come from the
// identities of both, so it ends when either process does.
type session struct {
	dhcp6d, dhcp4d Identity
	backend        string // name of the dhcp4d
	id             uint64
	begun          uint32 // our clock when the session was made; nothing older is taken
	left           uint32 // our clock when another session replaced it

	keys  atomic.Pointer[sessionKeys]
	heard atomic.Uint32 // the other's clock as heard last, which each datagram returns
	ready atomic.Bool   // the other has the session too

	seen [signers]window // by signer; they belong to the goroutine that opens
}

// sessionKeys are the keys of a session, in the order of the configured ones that they come from.
type sessionKeys struct {
	from *keySet
	list []sessionKey
}

// sessionKey comes from one configured key.
type sessionKey struct {
	id                     uint32
	toBackend, fromBackend sealer
}

func newSession(dhcp6d, dhcp4d Identity, backend string, keys *keySet, now uint32) *session {
	s := &session{dhcp6d: dhcp6d, dhcp4d: dhcp4d, backend: backend, begun: now}
	both := sha256.Sum256(append(append([]byte("dhcp4o6 session"), dhcp6d[:]...), dhcp4d[:]...))
	s.id = binary.BigEndian.Uint64(both[:])
	s.derive(keys)
	return s
}

// use returns the session's keys for a set of configured ones. It derives them anew only after a
// reload. The same configured key gives the same keys again.
func (s *session) use(keys *keySet) *sessionKeys {
	if k := s.keys.Load(); k.from == keys {
		return k
	}
	return s.derive(keys)
}

func (s *session) derive(keys *keySet) *sessionKeys {
	k := &sessionKeys{from: keys}
	salt := append(append([]byte(nil), s.dhcp6d[:]...), s.dhcp4d[:]...)
	for _, configured := range keys.keys {
		root, err := hkdf.Extract(sha256.New, configured.Secret, salt)
		if err != nil {
			panic("ipc: " + err.Error())
		}
		k.list = append(k.list, sessionKey{
			id:          configured.ID,
			toBackend:   newSealer(root, s.backend, ToBackend),
			fromBackend: newSealer(root, s.backend, FromBackend),
		})
	}
	s.keys.Store(k)
	return k
}

// of returns the session's key for a direction that comes from a configured key, nil if that is not
// configured.
func (k *sessionKeys) of(id uint32, d Direction) *sealer {
	for i := range k.list {
		if k.list[i].id == id {
			return k.list[i].direction(d)
		}
	}
	return nil
}

func (k *sessionKey) direction(d Direction) *sealer {
	if d == ToBackend {
		return &k.toBackend
	}
	return &k.fromBackend
}

// sealer makes the tags of one direction of a session. Any number of goroutines may use it.
//
// A tag is GMAC with the sequence number as nonce, encrypted once more under a second key. GMAC
// alone gives its key away when a nonce comes twice, as after a virtual machine was copied. Here
// the attacker never sees a GMAC: two tags under one nonce tell him nothing but whether the
// datagrams are the same. This is the encrypted Wegman-Carter construction; without the nonce it is
// how AES-GCM-SIV (RFC 8452) makes its tag.
type sealer struct {
	gmac  cipher.AEAD
	outer cipher.Block
}

func newSealer(root []byte, backend string, d Direction) sealer {
	info := "dhcp4o6 session\x00" + backend + "\x00" + string(rune(d))
	keys, err := hkdf.Expand(sha256.New, root, info, 2*16)
	if err != nil {
		panic("ipc: " + err.Error())
	}
	inner, err := aes.NewCipher(keys[:16])
	if err != nil {
		panic("ipc: " + err.Error())
	}
	gmac, err := cipher.NewGCM(inner)
	if err != nil {
		panic("ipc: " + err.Error())
	}
	outer, err := aes.NewCipher(keys[16:])
	if err != nil {
		panic("ipc: " + err.Error())
	}
	return sealer{gmac, outer}
}

// nonceLen is the length of GMAC's nonce, of which the last 8 octets are the sequence number.
const nonceLen = 12

// appendTag appends to dst the tag of a datagram. Nonce is memory of the caller's that holds the
// nonce; on the stack it would be allocated.
func (s *sealer) appendTag(dst, datagram []byte, nonce *[nonceLen]byte) []byte {
	at := len(dst)
	dst = s.gmac.Seal(dst, nonce[:], nil, datagram)
	s.outer.Encrypt(dst[at:], dst[at:])
	return dst
}

// sealing is the memory that one goroutine needs to make and compare tags.
type sealing struct {
	nonce [nonceLen]byte
	tag   [tagLen]byte
}

func (m *sealing) setNonce(sequence uint64) {
	binary.BigEndian.PutUint64(m.nonce[nonceLen-8:], sequence)
}

// appendTag appends the tag of dst[start:].
func (m *sealing) appendTag(dst []byte, start int, s *sealer, sequence uint64) []byte {
	m.setNonce(sequence)
	return s.appendTag(dst, dst[start:], &m.nonce)
}

// genuine reports whether a datagram's last octets are the tag of the others.
func (m *sealing) genuine(s *sealer, datagram []byte, sequence uint64) bool {
	m.setNonce(sequence)
	end := len(datagram) - tagLen
	want := s.appendTag(m.tag[:0], datagram[:end], &m.nonce)
	return subtle.ConstantTimeCompare(want, datagram[end:]) == 1
}
