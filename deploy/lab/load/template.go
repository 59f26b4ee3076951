package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/relay"
)

// What differs between messages is 4 octets long each; in a template these
// values mark the places.
const (
	markClient  = 0xd1a2b3c4 // client number: IAID, hardware address, peer address
	markPort    = 0xd5a6b7c8 // number in the Interface-Id
	markXid     = 0xd9aabbcc
	markAddress = 0xddaebfc0 // option 50 or ciaddr
	markServer  = 0xd3a4b5c6 // option 54
)

// A template is a query with places to fill.
type template struct {
	octets []byte
	places [5][]int // by field, in the order of the marks
}

var marks = [5]uint32{markClient, markPort, markXid, markAddress, markServer}

// fill writes a message into b and returns it.
func (t *template) fill(b []byte, values [5]uint32) []byte {
	b = append(b[:0], t.octets...)
	for field, places := range t.places {
		for _, at := range places {
			binary.BigEndian.PutUint32(b[at:], values[field])
		}
	}
	return b
}

func mark(m uint32) []byte { return binary.BigEndian.AppendUint32(nil, m) }

// hardware is the address of a client: 02 and the seed's low octet, its
// number.
func hardware(seed uint64, n uint32) net.HardwareAddr {
	return binary.BigEndian.AppendUint32([]byte{2, byte(seed)}, n)
}

// templates builds the four messages that the generator sends.
func templates(c Config) (discover, request, renew, release *template, err error) {
	o := client.Options{HardwareAddr: hardware(c.Seed, markClient), IAID: markClient, Servers: []netip.Addr{client.Multicast}}
	if c.Relays > 0 {
		peer := netip.AddrFrom16([16]byte(append([]byte{0xfe, 0x80, 11: 0}, mark(markClient)...)))
		o.Relays = relay.Chain(c.Relays, c.Link, peer)
		o.Relays[c.Relays-1].InterfaceID = append([]byte("port"), mark(markPort)...)
	}
	cl, err := client.New(nil, o)
	if err != nil {
		return nil, nil, nil, nil, fmt.Errorf("making a client: %w", err)
	}
	build := func(t dhcpv4.MessageType, unicast bool, ciaddr bool, options ...dhcpv4.Option) *template {
		m := cl.Message(t, options...)
		binary.BigEndian.PutUint32(m.TransactionID[:], markXid)
		if ciaddr {
			m.ClientIPAddr = mark(markAddress)
		}
		return newTemplate(cl.Query(m.ToBytes(), unicast))
	}
	parameters := dhcpv4.OptParameterRequestList(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer)
	address := dhcpv4.OptRequestedIPAddress(mark(markAddress))
	server := dhcpv4.OptServerIdentifier(mark(markServer))
	return build(dhcpv4.MessageTypeDiscover, false, false, parameters),
		build(dhcpv4.MessageTypeRequest, false, false, parameters, address, server),
		build(dhcpv4.MessageTypeRequest, true, true, parameters),
		build(dhcpv4.MessageTypeRelease, true, true, server), nil
}

func newTemplate(octets []byte) *template {
	t := &template{octets: octets}
	for field, m := range marks {
		for at := 0; ; at += 4 {
			i := bytes.Index(octets[at:], mark(m))
			if i < 0 {
				break
			}
			at += i
			t.places[field] = append(t.places[field], at)
		}
	}
	return t
}
