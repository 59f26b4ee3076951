package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
)

// kind is a kind of message that the generator sends. Messages of a kind are sent together, in this
// order: a lease is given back before the next one is requested.
type kind uint8

const (
	release kind = iota
	decline
	discover
	request
	renew
	inform
	kinds
)

// values are the fields in which messages differ, 4 octets each: client number (in IAID, hardware
// address and peer address), number in the Interface-Id, octets 4 to 7 of the link-address,
// transaction id, address (option 50 or ciaddr) and server identifier.
type values [6]uint32

// marks are the values that mark the fields in a template.
var marks = values{0xd1a2b3c4, 0xd5a6b7c8, 0xd7b8c9da, 0xd9aabbcc, 0xddaebfc0, 0xd3a4b5c6}

const (
	markClient = iota
	markPort
	markLink
	markXid
	markAddress
	markServer
)

// A template is a message with fields to fill.
type template struct {
	octets []byte
	marks  []marked
}

// marked is where a field is.
type marked struct{ at, field int }

func newTemplate(octets []byte) template {
	t := template{octets: octets}
	for field, m := range marks {
		for at := 0; ; at += 4 {
			i := bytes.Index(octets[at:], be32(m))
			if i < 0 {
				break
			}
			at += i
			t.marks = append(t.marks, marked{at, field})
		}
	}
	return t
}

// fill writes the values into a copy of the template.
func (t *template) fill(b []byte, v values) {
	for _, p := range t.marks {
		binary.BigEndian.PutUint32(b[p.at:], v[p.field])
	}
}

func be32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func mark(field int) []byte { return be32(marks[field]) }

// hardware returns the address of a client: 02, the low octet of the seed, the client's number.
func hardware(seed uint64, n uint32) net.HardwareAddr {
	return binary.BigEndian.AppendUint32([]byte{2, byte(seed)}, n)
}

// templates builds the messages with package client.
func templates(c Config) (all [kinds]template, err error) {
	o := client.Options{HardwareAddr: hardware(c.Seed, marks[markClient]), IAID: marks[markClient],
		Servers: []netip.Addr{client.Multicast}}
	if c.Relays > 0 {
		peer := netip.AddrFrom16([16]byte(append([]byte{0xfe, 0x80, 11: 0}, mark(markClient)...)))
		link := c.Link.As16()
		copy(link[4:], mark(markLink))
		o.Relays = relay.Chain(c.Relays, netip.AddrFrom16(link), peer)
		o.Relays[c.Relays-1].InterfaceID = append([]byte("port"), mark(markPort)...)
	}
	cl, err := client.New(nil, o)
	if err != nil {
		return all, fmt.Errorf("making a client: %w", err)
	}
	build := func(t dhcpv4.MessageType, unicast bool, ciaddr bool, options ...dhcpv4.Option) template {
		m := cl.Message(t, options...)
		copy(m.TransactionID[:], mark(markXid))
		if ciaddr {
			m.ClientIPAddr = mark(markAddress)
		}
		return newTemplate(cl.Query(m.ToBytes(), unicast))
	}
	parameters := dhcpv4.OptParameterRequestList(dhcpv4.OptionSubnetMask, dhcpv4.OptionRouter,
		dhcpv4.OptionDomainNameServer)
	address := dhcpv4.OptRequestedIPAddress(mark(markAddress))
	server := dhcpv4.OptServerIdentifier(mark(markServer))
	return [kinds]template{
		release:  build(dhcpv4.MessageTypeRelease, true, true, server),
		decline:  build(dhcpv4.MessageTypeDecline, false, false, address, server),
		discover: build(dhcpv4.MessageTypeDiscover, false, false, parameters),
		request:  build(dhcpv4.MessageTypeRequest, false, false, parameters, address, server),
		renew:    build(dhcpv4.MessageTypeRequest, true, true, parameters),
		inform:   build(dhcpv4.MessageTypeInform, true, true, parameters),
	}, nil
}

// chainOf returns the template of what an answer's relay levels must hold: the hop counts,
// addresses and Interface-Ids of the query's.
func chainOf(query []byte) (template, error) {
	var octets []byte
	b := query
	for len(b) >= levelLen && b[0] == typeRelayForward {
		level, inner, ok := readLevel(octets, b)
		if !ok {
			return template{}, fmt.Errorf("relay chain %x cannot be read", query)
		}
		octets, b = level, inner
	}
	return newTemplate(octets), nil
}
