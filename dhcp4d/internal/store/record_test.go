package store_test

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
)

func encoded(r *lease.Binding) (key, value []byte) {
	return store.AppendKey(nil, r), store.AppendValue(nil, r)
}

func TestRecordRoundTrip(t *testing.T) {
	full := storetest.Binding(70_000)
	full.Ports, full.State, full.Expires = 0xdeadbeef, lease.Declined, lease.Never
	for name, want := range map[string]lease.Binding{
		"every field": full,
		"no lists":    {ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, 1})}, State: lease.Bound},
		"longest": {ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, 2})}, HWAddr: make([]byte, 255), Client: make([]byte, 257), Point: make([]byte, attachment.MaxPoint),
			RemoteID: make([]byte, 255)},
		"Remote-Id":    {ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, 4})}, Client: []byte{1}, RemoteID: []byte{0, 0, 0, 9, 'l'}},
		"before epoch": {ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, 3})}, Start: -1},
	} {
		t.Run(name, func(t *testing.T) {
			key, value := encoded(&want)
			if len(value) != store.ValueLen(&want) {
				t.Errorf("ValueLen says %d, there are %d", store.ValueLen(&want), len(value))
			}
			var got lease.Binding
			if err := store.Decode(&got, key, value); err != nil {
				t.Fatal(err)
			}
			if !storetest.Same(&got, &want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// firstLen is the length of a value of version 1 without its lists.
const firstLen = 52

// A lease without a Remote-Id has the octets that every version reads.
func TestRecordsWithoutRemoteIDAreOfTheFirstVersion(t *testing.T) {
	r := storetest.Binding(1)
	_, value := encoded(&r)
	if value[0] != 1 || len(value) != firstLen+len(r.HWAddr)+len(r.Client)+len(r.Point) {
		t.Errorf("version %d, %d octets", value[0], len(value))
	}
	r.RemoteID = []byte{0, 0, 0, 9, 'l'}
	if _, value := encoded(&r); value[0] != 2 {
		t.Errorf("version %d with a Remote-Id", value[0])
	}
}

func TestRecordRefused(t *testing.T) {
	r := storetest.Binding(1)
	key, value := encoded(&r)
	newer := bytes.Clone(value)
	newer[0] = 3
	r.RemoteID = []byte{0, 0, 0, 9, 'l'}
	_, second := encoded(&r)
	none := bytes.Clone(second[:len(second)-len(r.RemoteID)])
	none[firstLen] = 0
	for name, c := range map[string]struct{ key, value []byte }{
		"empty":                                  {key, nil},
		"newer version":                          {key, newer},
		"version zero":                           {key, append([]byte{0}, value[1:]...)},
		"one octet less":                         {key, value[:len(value)-1]},
		"one octet more":                         {key, append(bytes.Clone(value), 0)},
		"short key":                              {key[:store.KeyLen-1], value},
		"another kind":                           {append([]byte{2}, key[1:]...), value},
		"version 2 with the octets of version 1": {key, append([]byte{2}, value[1:]...)},
		"version 1 with the octets of version 2": {key, append([]byte{1}, second[1:]...)},
		"version 2 without a Remote-Id":          {key, none},
		"version 2 that ends before the length":  {key, second[:firstLen]},
		"version 2 with one octet less":          {key, second[:len(second)-1]},
		"version 2 with one octet more":          {key, append(bytes.Clone(second), 0)},
	} {
		t.Run(name, func(t *testing.T) {
			var got lease.Binding
			if err := store.Decode(&got, c.key, c.value); err == nil {
				t.Errorf("taken for %+v", got)
			}
		})
	}
}

func TestRecordCodecDoesNotAllocate(t *testing.T) {
	r := storetest.Binding(1)
	r.RemoteID = []byte{0, 0, 0, 9, 'l'}
	key, value := encoded(&r)
	var got lease.Binding
	if n := testing.AllocsPerRun(100, func() {
		key, value = store.AppendKey(key[:0], &r), store.AppendValue(value[:0], &r)
		if err := store.Decode(&got, key, value); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What decodes must encode to the same octets.
func FuzzRecord(f *testing.F) {
	for i := range 3 {
		r := storetest.Binding(i * 70_000)
		key, value := encoded(&r)
		f.Add(key, value)
		r.RemoteID = bytes.Repeat([]byte{byte(i)}, 1+i*127)
		key, value = encoded(&r)
		f.Add(key, value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var r lease.Binding
		if store.Decode(&r, key, value) != nil {
			return
		}
		k, v := encoded(&r)
		if !bytes.Equal(k, key) || !bytes.Equal(v, value) {
			t.Errorf("%x %x\nbecame %x %x", key, value, k, v)
		}
	})
}
