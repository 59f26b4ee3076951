package event

import (
	"errors"
	"fmt"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// What is made of a datagram, and its text, grow much faster than the datagram where options lie in
// options, and where domain names are pointers to each other: the text of 4096 octets of nested IA
// options took most of a second. So Decode takes no datagram that is longer, that nests deeper, or
// that has more names in a list than any honest one.
const (
	maxDecode  = 8192 // octets
	maxNesting = 3    // options in options: an address, and its status, in an IA
)

// Decode returns the datagram as an object. It allocates, so a hook that needs only a few fields
// reads Packet. Besides what cannot be decoded, the error is for a datagram of more than 8192
// octets, and for one whose relay levels or options nest deeper, or whose lists of names are
// longer, than in any honest one.
func (d *Datagram) Decode() (dhcpv6.DHCPv6, error) {
	if n := len(d.Data); n > maxDecode {
		return nil, fmt.Errorf("decoding a datagram of %d octets: at most %d are decoded", n, maxDecode)
	}
	if !shallow(d.Data, dhcp6.MaxRelays) {
		return nil, errors.New("decoding a datagram: its relay levels or options nest too deeply, or a list of " +
			"domain names is too long")
	}
	return dhcpv6.FromBytes(d.Data)
}

// shallow reports whether a message has at most so many relay levels, options that nest at most
// maxNesting deep, and no long list of names.
func shallow(message []byte, relays int) bool {
	header := 4
	if len(message) > 0 && (message[0] == byte(dhcp6.RelayForward) || message[0] == byte(dhcp6.RelayReply)) {
		header = 34
		relays--
	}
	return relays >= 0 && (len(message) < header || flat(message[header:], relays, maxNesting))
}

// flat reports whether options nest at most so deep and hold no long list of names.
func flat(options []byte, relays, nesting int) bool {
	for code, data := range dhcp6.Options(options) {
		if code == dhcp6.OptRelayMsg {
			if !shallow(data, relays) {
				return false
			}
			continue
		}
		if !fewNames(code, data) {
			return false
		}
		header, isContainer := headerOf(code)
		if !isContainer || len(data) < header {
			continue
		}
		if nesting == 0 || !flat(data[header:], relays, nesting-1) {
			return false
		}
	}
	return true
}

// fewNames reports whether an option holds no long list of names.
func fewNames(c dhcp6.Code, data []byte) bool {
	switch {
	case c == dhcp6.OptDomainList:
		return hook.FewNames(data)
	case c == optClientFQDN && len(data) > 0:
		return hook.FewNames(data[1:])
	case c == dhcp6.OptNTPServer:
		for _, name := range dhcp6.Options(data) {
			if !hook.FewNames(name) {
				return false
			}
		}
	}
	return true
}

const (
	optClientFQDN = 39 // RFC 4704
	opt4RD        = 97 // RFC 7600
)

// headerOf returns how many octets stand before the options in an option, if it holds options.
func headerOf(c dhcp6.Code) (octets int, isContainer bool) {
	switch c {
	case dhcp6.OptIANA, dhcp6.OptIAPD:
		return 12, true
	case dhcp6.OptIATA:
		return 4, true
	case dhcp6.OptIAAddr:
		return 24, true
	case dhcp6.OptIAPrefix:
		return 25, true
	case opt4RD:
		return 0, true
	}
	return 0, false
}
