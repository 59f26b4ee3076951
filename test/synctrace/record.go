package synctrace

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A binding is a record of either store. Its key is a kind, the address and a port set. At octet 24
// of its value is the time when the lease ends.
type binding struct {
	address [4]byte
	ends    int64
}

const (
	kindBinding = 1
	keyLen      = 1 + 4 + 4
)

var errBatch = errors.New("a batch in the log cannot be read")

func readBinding(key, value []byte) (r binding, err error) {
	if len(value) < 32 || value[0] != 1 {
		return r, fmt.Errorf("%w: a binding of %d octets, %.1x", errBatch, len(value), value)
	}
	return binding{[4]byte(key[1:]), int64(binary.BigEndian.Uint64(value[24:]))}, nil
}
