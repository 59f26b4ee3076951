package ipc

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"
)

// Key is a secret that both daemons know, under a number.
type Key struct {
	ID     uint32
	Secret []byte
}

// Keys is what signs (the first) and verifies (all). To change a key without a
// lost datagram, add the new one at the end on both sides, then move it to the
// front on both, then remove the old one.
type Keys []Key

// ParseKeys reads "id:base64,id:base64,…", id a number of 32 bits. Blanks
// around the parts and padding of the base64 do not matter; empty text is no
// keys. The error joins one for each mistake and quotes no secret.
func ParseKeys(text string) (Keys, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var keys Keys
	var errs []error
	seen := make(map[uint32]int)
	for i, entry := range strings.Split(text, ",") {
		key, err := parseKey(strings.TrimSpace(entry))
		if err != nil {
			errs = append(errs, fmt.Errorf("key %d: %w", i+1, err))
			continue
		}
		if first, twice := seen[key.ID]; twice {
			errs = append(errs, fmt.Errorf("key %d: id %d is that of key %d, give each its own", i+1, key.ID, first))
			continue
		}
		seen[key.ID] = i + 1
		keys = append(keys, key)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return keys, nil
}

// UnmarshalText is [ParseKeys] for those who read configuration.
func (k *Keys) UnmarshalText(text []byte) error {
	keys, err := ParseKeys(string(text))
	if err != nil {
		return err
	}
	*k = keys
	return nil
}

// Weak returns the id of a key that is short enough to be guessed, if any is.
func (k Keys) Weak() (id uint32, weak bool) {
	for _, key := range k {
		if len(key.Secret) < macLen {
			return key.ID, true
		}
	}
	return 0, false
}

// Start is the time from which on a [Verifier] that starts now takes
// datagrams: with keys the next full second, for which it waits, so that who
// is told afterwards that we are ready is not refused. The socket must be
// bound before, so that no other process takes datagrams after that time.
func (k Keys) Start(ctx context.Context) time.Time {
	now := time.Now()
	if len(k) == 0 {
		return now
	}
	start := now.Truncate(time.Second).Add(time.Second)
	select {
	case <-ctx.Done():
	case <-time.After(time.Until(start)):
	}
	return start
}

func parseKey(entry string) (Key, error) {
	id, secret, found := strings.Cut(entry, ":")
	if !found {
		return Key{}, errors.New("no colon, want id:base64")
	}
	n, err := strconv.ParseUint(strings.TrimSpace(id), 10, 32)
	if err != nil {
		// Not %w: what stands there may be a misplaced secret.
		return Key{}, errors.New("id is not a number from 0 to 4294967295")
	}
	secret = strings.TrimRight(strings.TrimSpace(secret), "=")
	b, err := base64.RawStdEncoding.DecodeString(secret)
	if err != nil {
		return Key{}, fmt.Errorf("id %d: secret is not base64", n)
	}
	if len(b) == 0 {
		return Key{}, fmt.Errorf("id %d: secret is empty, make one with: head -c 32 /dev/urandom | base64", n)
	}
	return Key{ID: uint32(n), Secret: b}, nil
}

// Direction is which way a datagram goes. It is signed, so that none can be
// sent back to where it came from.
type Direction byte

// The directions: from dhcp6d to dhcp4d, and back.
const (
	ToBackend   Direction = 'q'
	FromBackend Direction = 'r'
)

// SignatureLen is what a signature adds to a datagram, in octets.
const SignatureLen = authLen

// Offsets in the Authentication option.
const (
	authLen      = 47
	authSequence = 7
	authKey      = 15
	authSender   = 19
	authTime     = 27
	authMAC      = 31
	macLen       = authLen - authMAC
)

// authHeader is what every Authentication option of ours starts with: code,
// length, protocol, algorithm, replay detection method.
const authHeader = "\x00\x0b\x00\x2b\xfe\x01\x00"

// mac computes the HMACs of one key. One goroutine uses it at a time.
type mac struct {
	id   uint32
	hash hash.Hash
	// In fields, not on the stack: what a hash.Hash is given escapes.
	prefix []byte
	sum    [sha256.Size]byte
}

func newMACs(keys Keys) []mac {
	macs := make([]mac, len(keys))
	for i, k := range keys {
		macs[i] = mac{id: k.ID, hash: hmac.New(sha256.New, k.Secret)}
	}
	return macs
}

var zeroMAC [macLen]byte

// of is the HMAC of a signed datagram, whatever its last octets are.
func (m *mac) of(datagram []byte, backend string, d Direction) []byte {
	m.prefix = append(append(m.prefix[:0], backend...), 0, byte(d))
	m.hash.Reset()
	m.hash.Write(m.prefix)
	m.hash.Write(datagram[:len(datagram)-macLen])
	m.hash.Write(zeroMAC[:])
	return m.hash.Sum(m.sum[:0])[:macLen]
}
