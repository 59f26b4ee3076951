package event

import (
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
)

// nested returns an option that holds itself n times, each time behind a header of so many octets.
func nested(c dhcp6.Code, header, n int) []byte {
	var b []byte
	for range n {
		b = dhcp6.AppendOption(nil, c, append(make([]byte, header), b...))
	}
	return b
}

// names returns a name and pointers to it, n names in all.
func names(n int) []byte {
	b := []byte("\x07example\x00")
	for range n - 1 {
		b = append(b, 0xc0, 0)
	}
	return b
}

func TestDecodeIsBounded(t *testing.T) {
	message := func(options []byte) []byte {
		return append(dhcp6.AppendMessage(nil, dhcp6.Solicit, [3]byte{}), options...)
	}
	relayed := func(n int) []byte {
		b := message(nil)
		for i := range n {
			b = dhcp6.AppendRelayForward(nil, uint8(i), netip.IPv6Unspecified(), netip.MustParseAddr("fe80::1"), nil, b)
		}
		return b
	}
	status := dhcp6.AppendOption(nil, dhcp6.OptStatusCode, []byte{0, 0})
	address := dhcp6.AppendOption(nil, dhcp6.OptIAAddr, append(make([]byte, 24), status...))
	ia := dhcp6.AppendOption(nil, dhcp6.OptIANA, append(make([]byte, 12), address...))
	for _, c := range []struct {
		name string
		data []byte
		want bool
	}{
		{"an IA with an address and its status", message(ia), true},
		{"nine relay levels", relayed(9), true},
		{"ten relay levels", relayed(10), false},
		{"three IA in each other", message(nested(dhcp6.OptIANA, 12, 3)), true},
		{"four IA in each other", message(nested(dhcp6.OptIANA, 12, 4)), false},
		{"IA that fill 4096 octets", message(nested(dhcp6.OptIANA, 12, 250)), false},
		{"prefixes in each other", message(nested(dhcp6.OptIAPrefix, 25, 100)), false},
		{"addresses in each other", message(nested(dhcp6.OptIAAddr, 24, 100)), false},
		{"temporary addresses in each other", message(nested(dhcp6.OptIATA, 4, 100)), false},
		{"4RD in each other", message(nested(opt4RD, 0, 100)), false},
		{"prefix delegations in each other, behind a relay", dhcp6.AppendRelayForward(nil, 0, netip.IPv6Unspecified(),
			netip.MustParseAddr("fe80::1"), nil, message(nested(dhcp6.OptIAPD, 12, 100))), false},
		{"a list of a few names", message(dhcp6.AppendOption(nil, dhcp6.OptDomainList, names(10))), true},
		{"a list of many names", message(dhcp6.AppendOption(nil, dhcp6.OptDomainList, names(65))), false},
		{"many names of a client", message(dhcp6.AppendOption(nil, optClientFQDN, append([]byte{0}, names(65)...))), false},
		{"many names of a time server", message(dhcp6.AppendOption(nil, dhcp6.OptNTPServer, dhcp6.AppendOption(nil, 3, names(65)))), false},
		{"8192 octets", message(dhcp6.AppendOption(nil, 200, make([]byte, 8184))), true},
		{"8193 octets", message(dhcp6.AppendOption(nil, 200, make([]byte, 8185))), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := (&Datagram{Data: c.data}).Decode(); (err == nil) != c.want {
				t.Errorf("decoded: %v, %v", err == nil, err)
			}
		})
	}
}
