package client

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/relay"
)

// A sent datagram, and when it was sent.
type sent struct {
	datagram []byte
	to       netip.Addr
	at       time.Time
}

// script is a transport whose server is a function.
type script struct {
	serve func(datagram []byte) [][]byte
	sent  []sent
	queue [][]byte
}

func (s *script) Send(b []byte, to netip.Addr) error {
	s.sent = append(s.sent, sent{bytes.Clone(b), to, time.Now()})
	if s.serve != nil {
		s.queue = append(s.queue, s.serve(b)...)
	}
	return nil
}

var server = netip.MustParseAddrPort("[fe80::5]:547")

func (s *script) Receive(deadline time.Time) ([]byte, netip.AddrPort, error) {
	if len(s.queue) == 0 {
		time.Sleep(time.Until(deadline))
		return nil, netip.AddrPort{}, os.ErrDeadlineExceeded
	}
	b := s.queue[0]
	s.queue = s.queue[1:]
	return b, server, nil
}

var mac = net.HardwareAddr{2, 0, 0, 0, 0, 1}

func newClient(t *testing.T, s *script, o Options) *Client {
	t.Helper()
	o.HardwareAddr = mac
	if o.Servers == nil {
		o.Servers = []netip.Addr{Multicast}
	}
	o.Random = rand.New(rand.NewPCG(1, 2))
	c, err := New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// carried decodes the DHCPv4 message of a query.
func carried(t *testing.T, query []byte) *dhcpv4.DHCPv4 {
	t.Helper()
	payload, ok := relay.Payload(query)
	if !ok {
		t.Fatalf("not exactly one option 87 in %x", query)
	}
	m, err := dhcpv4.FromBytes(payload)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// lessor answers like a server with one address. change may spoil a reply.
func lessor(t *testing.T, change func(*dhcpv4.DHCPv4)) func([]byte) [][]byte {
	return func(query []byte) [][]byte {
		m := carried(t, query)
		r, err := dhcpv4.NewReplyFromRequest(m, dhcpv4.WithYourIP(net.IPv4(192, 0, 2, 9)),
			dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.IPv4(192, 0, 2, 1))), dhcpv4.WithLeaseTime(3600))
		if err != nil {
			t.Fatal(err)
		}
		switch m.MessageType() {
		case dhcpv4.MessageTypeDiscover:
			r.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeOffer))
		case dhcpv4.MessageTypeRequest, dhcpv4.MessageTypeInform:
			r.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeAck))
		default:
			return nil
		}
		if change != nil {
			change(r)
		}
		return [][]byte{response(r.ToBytes())}
	}
}

func response(payloads ...[]byte) []byte {
	m := dhcpv6.Message{MessageType: dhcpv6.MessageTypeDHCPv4Response}
	for _, p := range payloads {
		m.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionDHCPv4Msg, OptionData: p})
	}
	return m.ToBytes()
}

func TestMessages(t *testing.T) {
	s := &script{serve: lessor(t, nil)}
	c := newClient(t, s, Options{})
	offer, err := c.Discover(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lease, err := c.Select(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	_, err1 := c.Reboot(t.Context(), lease.Address)
	_, err2 := c.Renew(t.Context(), lease)
	_, err3 := c.Rebind(t.Context(), lease)
	_, err4 := c.Inform(t.Context(), lease.Address)
	if err := errors.Join(err1, err2, err3, err4, c.Decline(lease), c.Release(lease)); err != nil {
		t.Fatal(err)
	}
	// Table 5 of RFC 2131, and the U flag of each message (RFC 7341 §6.3).
	for i, want := range []struct {
		name                        string
		t                           dhcpv4.MessageType
		u, ciaddr, address, serverd bool
	}{
		{"DISCOVER", dhcpv4.MessageTypeDiscover, false, false, false, false},
		{"REQUEST, selecting", dhcpv4.MessageTypeRequest, false, false, true, true},
		{"REQUEST, init-reboot", dhcpv4.MessageTypeRequest, false, false, true, false},
		{"REQUEST, renewing, although sent by multicast", dhcpv4.MessageTypeRequest, true, true, false, false},
		{"REQUEST, rebinding", dhcpv4.MessageTypeRequest, false, true, false, false},
		{"INFORM", dhcpv4.MessageTypeInform, false, true, false, false},
		{"DECLINE", dhcpv4.MessageTypeDecline, false, false, true, true},
		{"RELEASE", dhcpv4.MessageTypeRelease, true, true, false, true},
	} {
		t.Run("Q-3, Q-15, Q-16 "+want.name, func(t *testing.T) {
			query := s.sent[i].datagram
			m := carried(t, query)
			if query[0] != 20 || (query[1] == 0x80) != want.u || query[1]&0x7f|query[2]|query[3] != 0 {
				t.Errorf("begins with %x", query[:4])
			}
			if m.MessageType() != want.t || m.ClientIPAddr.IsUnspecified() == want.ciaddr ||
				m.Options.Has(dhcpv4.OptionRequestedIPAddress) != want.address || m.Options.Has(dhcpv4.OptionServerIdentifier) != want.serverd {
				t.Errorf("message is %s", m.Summary())
			}
			if id := m.Options.Get(dhcpv4.OptionClientIdentifier); !bytes.Equal(id, []byte{0xff, 0, 0, 0, 1, 0, 3, 0, 1, 2, 0, 0, 0, 0, 1}) {
				t.Errorf("client identifier %x", id)
			}
			if options, err := relay.ParseOptions(query[4:]); err != nil || len(options) != 1 {
				t.Errorf("options %v, %v, want 87 alone", relay.Codes(options), err)
			}
		})
	}
}

func TestPassedOver(t *testing.T) {
	good := lessor(t, nil)
	spoil := func(f func(b []byte) [][]byte) func([]byte) [][]byte {
		return func(query []byte) [][]byte { return append(f(good(query)[0]), good(query)...) }
	}
	flip := func(offset int) func([]byte) [][]byte { // an offset in the DHCPv4 message
		return spoil(func(b []byte) [][]byte { b = bytes.Clone(b); b[8+offset] ^= 1; return [][]byte{b} })
	}
	for name, serve := range map[string]func([]byte) [][]byte{
		"Q-17 a response without option 87": spoil(func([]byte) [][]byte { return [][]byte{response()} }),
		"a response with two":               spoil(func(b []byte) [][]byte { return [][]byte{response(b[8:], b[8:])} }),
		"another message type":              spoil(func(b []byte) [][]byte { b = bytes.Clone(b); b[0] = 20; return [][]byte{b} }),
		"another transaction id":            flip(4),
		"another client's chaddr":           flip(28),
		"a request instead of a reply":      flip(0),
		"a truncated datagram":              spoil(func(b []byte) [][]byte { return [][]byte{b[:100], b[:3], {}} }),
	} {
		t.Run(name+" is passed over, the next answer is taken", func(t *testing.T) {
			c := newClient(t, &script{serve: serve}, Options{Retransmit: Retransmit{First: time.Second, Max: time.Second, Tries: 1}})
			if _, err := c.Obtain(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRefusedLeases(t *testing.T) {
	if _, err := newClient(t, &script{serve: lessor(t, func(r *dhcpv4.DHCPv4) {
		if r.MessageType() == dhcpv4.MessageTypeAck {
			r.YourIPAddr = net.IPv4(192, 0, 2, 10)
		}
	})}, Options{}).Obtain(t.Context()); err == nil {
		t.Error("an ACK of another address than the OFFER's is taken")
	}
	for _, code := range []dhcpv4.OptionCode{dhcpv4.OptionServerIdentifier, dhcpv4.OptionIPAddressLeaseTime} {
		if _, err := newClient(t, &script{serve: lessor(t, func(r *dhcpv4.DHCPv4) { r.Options.Del(code) })}, Options{}).Obtain(t.Context()); err == nil {
			t.Errorf("an OFFER without %s is taken", code)
		}
	}
	_, err := newClient(t, &script{serve: lessor(t, func(r *dhcpv4.DHCPv4) {
		if r.MessageType() == dhcpv4.MessageTypeAck {
			r.UpdateOption(dhcpv4.OptMessageType(dhcpv4.MessageTypeNak))
		}
	})}, Options{}).Obtain(t.Context())
	if !errors.Is(err, ErrNak) {
		t.Errorf("a refusal gives %v", err)
	}
}

func TestRetransmission(t *testing.T) {
	t.Run("Q-24, RFC 2131 §4.1: 4, 8, 16, 32, 64 s, each give or take one, same transaction", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := &script{}
			start := time.Now()
			_, err := newClient(t, s, Options{}).Discover(t.Context())
			if !errors.Is(err, ErrNoAnswer) || len(s.sent) != 5 {
				t.Fatalf("%v after %d transmissions", err, len(s.sent))
			}
			first := carried(t, s.sent[0].datagram)
			wait := 4 * time.Second
			for i := range s.sent {
				end := time.Now()
				if i+1 < len(s.sent) {
					end = s.sent[i+1].at
				}
				if d := end.Sub(s.sent[i].at) - wait; d < -time.Second || d > time.Second {
					t.Errorf("wait %d is off by %s", i, d)
				}
				m := carried(t, s.sent[i].datagram)
				if m.TransactionID != first.TransactionID || m.NumSeconds != uint16(s.sent[i].at.Sub(start)/time.Second) {
					t.Errorf("transmission %d: xid %s, secs %d", i, m.TransactionID, m.NumSeconds)
				}
				wait *= 2
			}
		})
	})
}

// informer answers Information-requests with this content of option 88, or without the option.
func informer(t *testing.T, data *[]byte) func([]byte) [][]byte {
	return func(b []byte) [][]byte {
		m, err := dhcpv6.MessageFromBytes(b)
		if err != nil {
			t.Fatal(err)
		}
		if !m.IsOptionRequested(dhcpv6.OptionDHCP4oDHCP6Server) {
			t.Error("Q-12 option 88 is not asked for")
		}
		r, err := dhcpv6.NewReplyFromMessage(m)
		if err != nil {
			t.Fatal(err)
		}
		r.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionServerID, OptionData: []byte{0, 2, 0, 0, 0, 1}})
		if *data != nil {
			r.AddOption(&dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionDHCP4oDHCP6Server, OptionData: *data})
		}
		return [][]byte{r.ToBytes()}
	}
}

func TestServers(t *testing.T) {
	one, two := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	list := func(addrs ...netip.Addr) []byte {
		b := []byte{}
		for _, a := range addrs {
			b = append(b, a.AsSlice()...)
		}
		return b
	}
	var data []byte
	s := &script{serve: informer(t, &data)}
	c := newClient(t, s, Options{Servers: []netip.Addr{}, Retransmit: Retransmit{First: time.Millisecond, Max: time.Millisecond, Tries: 1}})
	t.Run("Q-12 no query before option 88 was seen", func(t *testing.T) {
		if _, err := c.Discover(t.Context()); !errors.Is(err, ErrNoServers) || len(s.sent) != 0 {
			t.Errorf("%v, sent %d", err, len(s.sent))
		}
	})
	for _, test := range []struct {
		name string
		data []byte
		want []netip.Addr
	}{
		{"Q-10 addresses, a repeated one counts once", list(one, two, one), []netip.Addr{one, two}},
		{"Q-9 an empty option means multicast", list(), []netip.Addr{Multicast}},
		{"Q-13 a refresh without the option stops 4o6", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			data = test.data
			info, err := c.Information(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(c.Servers()) != fmt.Sprint(test.want) || info.Offered != (test.want != nil) {
				t.Errorf("servers %v, want %v", c.Servers(), test.want)
			}
			answer := s.serve
			s.sent, s.serve = nil, nil
			err = c.Send([]byte("query"))
			s.serve = answer
			if len(s.sent) != len(test.want) || (err != nil) != (test.want == nil) {
				t.Errorf("a query went to %d servers, %v", len(s.sent), err)
			}
		})
	}
	for _, n := range []int{15, 17} {
		t.Run(fmt.Sprintf("Q-9 an option of %d octets is malformed", n), func(t *testing.T) {
			data = make([]byte, n)
			if _, err := c.Information(t.Context()); err == nil {
				t.Error("was taken")
			}
		})
	}
}

// TestRelayed: the client unwraps exactly what it wraps, and nothing else.
func TestRelayed(t *testing.T) {
	levels := relay.Chain(3, netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("fe80::1"))
	mirror := func(b []byte) []byte { // a whole Relay-forward
		out := bytes.Clone(b)
		for at := 0; out[at] == 12; {
			out[at] = 13
			id := int(binary.BigEndian.Uint16(out[at+36:]))
			at += 34 + 4 + id + 4
		}
		return out
	}
	message := []byte{21, 0, 0, 0}
	forward := relay.Wrap(levels, message)
	got, err := relay.Unwrap(levels, mirror(forward))
	if err != nil || !bytes.Equal(got, message) {
		t.Errorf("got %x, %v", got, err)
	}
	if _, err := relay.Unwrap(levels, forward); err == nil {
		t.Error("a Relay-forward is taken for a reply")
	}
	for _, offset := range []int{1, 2, 33, 40} { // hop count, link-address, peer-address, Interface-Id
		b := mirror(forward)
		b[offset] ^= 1
		if _, err := relay.Unwrap(levels, b); err == nil {
			t.Errorf("a change at octet %d is not noticed", offset)
		}
	}
}
