package store

import (
	"bytes"
	"net/netip"
	"reflect"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
)

// binding is a plausible record for the address with number n.
func binding(n int) lease.Binding {
	a, m := n>>16, n&0xffff
	return lease.Binding{
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
}

func encoded(r *lease.Binding) (key, value []byte) {
	return appendKey(nil, r), appendValue(nil, r)
}

func TestRecordRoundTrip(t *testing.T) {
	full := binding(70_000)
	full.Ports, full.State, full.Expires = 0xdeadbeef, lease.Declined, lease.Never
	for name, want := range map[string]lease.Binding{
		"every field":  full,
		"no lists":     {ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, 1})}, State: lease.Bound},
		"longest":      {ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, 2})}, HWAddr: make([]byte, 255), Client: make([]byte, 257), Point: make([]byte, attachment.MaxPoint)},
		"before epoch": {ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, 3})}, Start: -1},
	} {
		t.Run(name, func(t *testing.T) {
			key, value := encoded(&want)
			if len(value) != valueLen(&want) {
				t.Errorf("valueLen says %d, there are %d", valueLen(&want), len(value))
			}
			var got lease.Binding
			if err := decode(&got, key, value); err != nil {
				t.Fatal(err)
			}
			if !same(&got, &want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

// same compares bindings; nil and empty lists are equal.
func same(a, b *lease.Binding) bool {
	x, y := *a, *b
	if !bytes.Equal(x.Client, y.Client) || !bytes.Equal(x.HWAddr, y.HWAddr) || !bytes.Equal(x.Point, y.Point) {
		return false
	}
	x.Client, x.HWAddr, x.Point = nil, nil, nil
	y.Client, y.HWAddr, y.Point = nil, nil, nil
	return reflect.DeepEqual(x, y)
}

func TestRecordRefused(t *testing.T) {
	r := binding(1)
	key, value := encoded(&r)
	newer := bytes.Clone(value)
	newer[0] = recordVersion + 1
	for name, c := range map[string]struct{ key, value []byte }{
		"empty":          {key, nil},
		"newer version":  {key, newer},
		"version zero":   {key, append([]byte{0}, value[1:]...)},
		"one octet less": {key, value[:len(value)-1]},
		"one octet more": {key, append(bytes.Clone(value), 0)},
		"short key":      {key[:keyLen-1], value},
		"another kind":   {append([]byte{2}, key[1:]...), value},
	} {
		t.Run(name, func(t *testing.T) {
			var got lease.Binding
			if err := decode(&got, c.key, c.value); err == nil {
				t.Errorf("taken for %+v", got)
			}
		})
	}
}

func TestRecordCodecDoesNotAllocate(t *testing.T) {
	r := binding(1)
	key, value := encoded(&r)
	var got lease.Binding
	if n := testing.AllocsPerRun(100, func() {
		key, value = appendKey(key[:0], &r), appendValue(value[:0], &r)
		if err := decode(&got, key, value); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// What decodes must encode to the same octets.
func FuzzRecord(f *testing.F) {
	for i := range 3 {
		r := binding(i * 70_000)
		key, value := encoded(&r)
		f.Add(key, value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		var r lease.Binding
		if decode(&r, key, value) != nil {
			return
		}
		k, v := encoded(&r)
		if !bytes.Equal(k, key) || !bytes.Equal(v, value) {
			t.Errorf("%x %x\nbecame %x %x", key, value, k, v)
		}
	})
}
