package event

import (
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

func TestDecodeIsBounded(t *testing.T) {
	message := func(names int) []byte {
		list := []byte("\x07example\x00")
		for range names - 1 {
			list = append(list, 0xc0, 0)
		}
		m := dhcp4.AppendType(dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1}), dhcp4.Discover)
		return dhcp4.AppendEnd(dhcp4.AppendOption(m, dhcp4.OptDomainSearch, list))
	}
	for _, c := range []struct {
		name string
		data []byte
		want bool
	}{
		{"a list of a few names", message(10), true},
		{"a list of many names", message(1000), false},
		{"more octets than any message has", append(message(1), make([]byte, dhcp4.MaxLen)...), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := (&Query{Data: c.data}).Decode(); (err == nil) != c.want {
				t.Errorf("decoded: %v, %v", err == nil, err)
			}
		})
	}
}
