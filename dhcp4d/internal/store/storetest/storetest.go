// Package storetest has what the tests of every kind of store need: bindings to store, a look at
// what a store holds, and what each store in a directory refuses.
package storetest

import (
	"bytes"
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
)

// Binding returns a plausible record for the address with number n.
func Binding(n int) lease.Binding {
	a, m := n>>16, n&0xffff
	b := lease.Binding{
		ID:      lease.ID{Addr: netip.AddrFrom4([4]byte{10, byte(a), byte(m >> 8), byte(m)})},
		Subnet:  uint32(n%7 + 1),
		State:   lease.Bound,
		Client:  []byte{1, 0xff, 0, 0, 0, 1, 0, 3, 0, 1, 2, 0, 0, byte(a), byte(m >> 8), byte(m)},
		HWType:  1,
		HWAddr:  []byte{2, 0, 0, byte(a), byte(m >> 8), byte(m)},
		Point:   []byte{4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, byte(a), byte(m >> 8), byte(m), 'e', 't', 'h', '0'},
		Source:  netip.AddrFrom16([16]byte{0xfe, 0x80, 14: byte(m >> 8), 15: byte(m)}),
		Start:   1_700_000_000,
		Changed: 1_700_000_000,
		Expires: 1_700_003_600,
	}
	if n%3 == 2 {
		b.RemoteID = []byte{0, 0, 0xd, 0xe9, 'l', byte(a), byte(m >> 8), byte(m)}
	}
	return b
}

// Same compares bindings; nil and empty lists are equal.
func Same(a, b *lease.Binding) bool {
	x, y := *a, *b
	if !bytes.Equal(x.Client, y.Client) || !bytes.Equal(x.HWAddr, y.HWAddr) || !bytes.Equal(x.Point, y.Point) ||
		!bytes.Equal(x.RemoteID, y.RemoteID) {
		return false
	}
	x.Client, x.HWAddr, x.Point, x.RemoteID = nil, nil, nil, nil
	y.Client, y.HWAddr, y.Point, y.RemoteID = nil, nil, nil, nil
	return reflect.DeepEqual(x, y)
}

// Key is the key of a binding in what [Load] returns.
func Key(b *lease.Binding) string { return fmt.Sprint(b.Addr, b.Ports) }

// Load returns every binding of a store.
func Load(s store.Store) (map[string]lease.Binding, store.Loaded, error) {
	got := make(map[string]lease.Binding)
	l, err := s.Load(func(b *lease.Binding) error {
		var batch lease.Batch
		batch.Add(b)
		got[Key(b)] = batch.Records[0]
		return nil
	})
	return got, l, err
}

// Contents returns every binding of a store that can be loaded.
func Contents(t testing.TB, s store.Store) map[string]lease.Binding {
	t.Helper()
	got, _, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
