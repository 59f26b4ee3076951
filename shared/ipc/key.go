package ipc

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Key is a secret that both daemons know, under a number.
type Key struct {
	ID     uint32
	Secret []byte
}

// Keys are what authenticates the link: the first signs, all verify. To change a key without a lost
// datagram, add the new one at the end on both sides, then move it to the front on both, then
// remove the old one.
type Keys []Key

// ParseKeys reads "id:base64,id:base64,…", where id is a number of 32 bits. A line end separates
// keys too. Blanks around the parts and padding of the base64 do not matter. Empty text is no keys.
// The error joins one for each mistake and quotes no secret.
func ParseKeys(text string) (Keys, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var keys Keys
	var errs []error
	seen := make(map[uint32]int)
	for i, entry := range entries(text) {
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
		return nil, keysError{err}
	}
	return keys, nil
}

// entries returns the parts between commas and line ends, without empty lines. A comma may stand
// before a line end.
func entries(text string) (all []string) {
	for line := range strings.Lines(text) {
		content := strings.TrimSpace(line)
		if strings.HasSuffix(line, "\n") {
			content = strings.TrimSuffix(content, ",")
		}
		if content != "" {
			all = append(all, strings.Split(content, ",")...)
		}
	}
	return all
}

// keysError is what is wrong with keys.
type keysError struct{ error }

// QuotesNothing marks the error as one that may be shown although the keys may not.
func (keysError) QuotesNothing() {}

// UnmarshalText is [ParseKeys] for those who read configuration.
func (k *Keys) UnmarshalText(text []byte) error {
	keys, err := ParseKeys(string(text))
	if err != nil {
		return err
	}
	*k = keys
	return nil
}

// leastSecret is the length, in octets, below which a secret may be guessed.
const leastSecret = 16

// Weak returns the id of a key that is short enough to be guessed, if any is.
func (k Keys) Weak() (id uint32, weak bool) {
	for _, key := range k {
		if len(key.Secret) < leastSecret {
			return key.ID, true
		}
	}
	return 0, false
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
		at, _ := errors.AsType[base64.CorruptInputError](err)
		return Key{}, fmt.Errorf("id %d: secret is not base64, from its character %d on", n, int64(at)+1)
	}
	if len(b) == 0 {
		return Key{}, fmt.Errorf("id %d: secret is empty, make one with: head -c 32 /dev/urandom | base64", n)
	}
	return Key{ID: uint32(n), Secret: b}, nil
}
