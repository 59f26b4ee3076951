package interop

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// configurations are configurations of Kea, from the tests of the importer.
const configurations = "../../dhcp4d/internal/kea/testdata"

// asking is a client that asks both servers for an address and for all options.
type asking struct {
	name    string
	source  string // the client or relay that dhcp6d got the query from
	mac     byte
	options []byte
	only    []byte // the options that it asks for, nil for all
	within  string // the address that both must give, or a prefix that it must be in; silent if neither may answer
	// differ are the options that differ between the servers, with the reason. siaddr, sname and
	// file are 256 to 258.
	differ map[int]string
	served string // with silent: a source whose clients are answered, if not those of source
}

// Codes for fields of the header.
const (
	siaddr = 256 + iota
	sname
	file
)

// Why some options differ. docs/kea.md lists them.
const (
	scaled    = "the lease is shorter than the timer: Kea leaves the timer out, ours takes a part of the lease"
	classless = "who gets option 121 ignores options 3 and 33 (RFC 3442), so ours leaves them out"
	message   = "option 56 cannot be configured"
	echoed    = "Kea returns the name that a client sends"
	timersFor = "no timers are configured; who asks for them gets those of RFC 2131 from ours, none from Kea"
	unasked   = "always-send of a vendor's option; Kea sends it only to clients that send option 124 or 125"
)

var imports = map[string][]asking{
	"access.conf": {
		{name: "a client of a pool", source: "2001:db8:1::7", mac: 1, within: "192.0.2.96/27"},
		{name: "it asks for a long time", source: "2001:db8:1::7", mac: 2, options: option4(51, "\x00\x00\xff\xff"), within: "192.0.2.96/27"},
		{name: "it asks for a short time", source: "2001:db8:1::7", mac: 3, options: option4(51, "\x00\x00\x00\x01"), within: "192.0.2.96/27",
			differ: map[int]string{59: scaled}},
		{name: "it asks for nothing but the log servers", source: "2001:db8:1::7", mac: 4, only: []byte{7}, within: "192.0.2.96/27"},
		{name: "a phone", source: "2001:db8:1::7", mac: 5, options: option4(60, "Acme-Phone-1"), within: "192.0.2.96/27"},
		{name: "a new phone is in two classes", source: "2001:db8:1::7", mac: 6, options: option4(60, "Acme-Phone-2"), within: "192.0.2.96/27",
			differ: map[int]string{58: scaled, 59: scaled}},
		{name: "a new phone on another link", source: "2001:db8:2::7", mac: 7, options: option4(60, "Acme-Phone-2"), within: "198.51.100.0/24",
			differ: map[int]string{59: scaled}},
		{name: "a class that Kea makes of the vendor class", source: "2001:db8:1::7", mac: 8, options: option4(60, "camera"), within: "192.0.2.96/27"},
		{name: "a class for one subnet", source: "2001:db8:2::7", mac: 9, options: option4(60, "anything"), within: "198.51.100.0/24"},
		{name: "by hardware address", source: "2001:db8:1::7", mac: 0x11, within: "192.0.2.11/32"},
		{name: "a phone by hardware address", source: "2001:db8:1::7", mac: 0x11, options: option4(60, "Acme-Phone-2"), within: "192.0.2.11/32",
			differ: map[int]string{58: scaled, 59: scaled}},
		{name: "by client identifier", source: "2001:db8:1::7", mac: 0x12, options: option4(61, "\x01\x02\x03\x04"), within: "192.0.2.12/32"},
		{name: "by client identifier in text", source: "2001:db8:1::7", mac: 0x13, options: option4(61, "text"), within: "192.0.2.13/32"},
		{name: "by DUID", source: "2001:db8:1::7", mac: 0x16, options: option4(61, "\xff\x00\x00\x00\x01\x00\x03\x00\x01\x02\x00\x00\x00\x00\x16"), within: "192.0.2.16/32"},
		{name: "a reservation without an address", source: "2001:db8:1::7", mac: 0x14, within: "192.0.2.96/27"},
		{name: "a phone with a reservation without an address", source: "2001:db8:1::7", mac: 0x14, options: option4(60, "Acme-Phone-1"), within: "192.0.2.96/27"},
		{name: "by interface", source: "fe80::7", mac: 0x15, within: "203.0.113.0/24"},
		{name: "a class that is dropped", source: "2001:db8:1::7", mac: 0xad, within: "silent"},
	},
	"boot.conf": {
		{name: "a client", source: "fe80::7", mac: 1, within: "192.0.2.64/26"},
		{name: "it asks for nothing that is there", source: "fe80::7", mac: 2, only: []byte{2}, within: "192.0.2.64/26"},
		{name: "it sends its name", source: "fe80::7", mac: 3, options: option4(12, "mine"), only: []byte{3, 12}, within: "192.0.2.64/26",
			differ: map[int]string{12: echoed}},
		{name: "it sends its name and does not ask for one", source: "fe80::7", mac: 4, options: option4(12, "mine"), only: []byte{3}, within: "192.0.2.64/26",
			differ: map[int]string{12: echoed}},
		{name: "EFI", source: "fe80::7", mac: 5, options: option4(60, "PXEClient:Arch:00007:UNDI:003016", 93, "\x00\x07"), within: "192.0.2.64/26"},
		{name: "BIOS", source: "fe80::7", mac: 6, options: option4(60, "PXEClient:Arch:00000:UNDI:002001", 93, "\x00\x00"), within: "192.0.2.64/26"},
		{name: "iPXE", source: "fe80::7", mac: 7, options: option4(60, "PXEClient:Arch:00007:UNDI:003016", 77, "iPXE", 93, "\x00\x07"), within: "192.0.2.64/26"},
		{name: "an access point", source: "fe80::7", mac: 8, options: option4(60, "ubnt"), within: "192.0.2.64/26"},
		{name: "an access point with a reservation", source: "fe80::7", mac: 0x31, options: option4(60, "ubnt"), within: "192.0.2.31/32"},
		{name: "EFI with a reservation", source: "fe80::7", mac: 0x32, options: option4(60, "PXEClient:Arch:00007:UNDI:003016"), within: "192.0.2.32/32"},
		{name: "a phone", source: "fe80::7", mac: 9, options: option4(60, "Cisco Systems, Inc. IP Phone"), within: "192.0.2.64/26"},
		{name: "a phone that asks for little", source: "fe80::7", mac: 10, options: option4(60, "Cisco"), only: []byte{1, 3}, within: "192.0.2.64/26"},
		{name: "a cable modem", source: "fe80::7", mac: 11, options: option4(60, "docsis3.0"), within: "192.0.2.64/26"},
	},
	"known.conf": {
		{name: "nobody that is known", source: "2001:db8:1::7", mac: 1, within: "192.0.2.96/28"},
		{name: "known by a name at the top", source: "2001:db8:1::7", mac: 0x41, within: "192.0.2.192/27"},
		{name: "known by a name in the subnet", source: "2001:db8:1::7", mac: 0x42, within: "192.0.2.192/27"},
		{name: "known, with a vendor class", source: "2001:db8:1::7", mac: 0x42, options: option4(60, "phone"), within: "192.0.2.192/27"},
		{name: "known by a class", source: "2001:db8:1::7", mac: 5, options: option4(61, "\x01\xaa\xbb"), within: "192.0.2.192/27"},
		{name: "known by an address", source: "2001:db8:1::7", mac: 0x43, within: "192.0.2.43/32"},
		{name: "a camera in a subnet for cameras", source: "2001:db8:2::7", mac: 6, options: option4(60, "cam"), within: "203.0.113.0/27"},
		{name: "others in a subnet for cameras", source: "2001:db8:2::7", mac: 7, within: "silent", served: "2001:db8:1::7"},
	},
	"options.conf": {
		{name: "it asks for everything", source: "fe80::7", mac: 1, options: option4(124, "\x00\x00\x01\x53\x02\x01x"), within: "192.0.2.0/24",
			differ: map[int]string{3: classless, 33: classless, 56: message}},
		{name: "it asks for the time offset", source: "fe80::7", mac: 2, only: []byte{2}, within: "192.0.2.0/24",
			differ: map[int]string{125: unasked}},
	},
	"shared.conf": {
		{name: "a phone has the first subnet", source: "fe80::7", mac: 1, options: option4(60, "phone"), within: "192.0.2.8/29"},
		{name: "others have the second", source: "fe80::7", mac: 2, within: "198.51.100.0/24"},
		{name: "the subnet's option goes before the class's", source: "fe80::7", mac: 3, options: option4(60, "lab"), within: "198.51.100.0/24"},
		{name: "a reservation in the second", source: "fe80::7", mac: 0x21, within: "198.51.100.200/32"},
		{name: "a phone with a reservation in the second", source: "fe80::7", mac: 0x21, options: option4(60, "phone"), within: "198.51.100.200/32"},
		{name: "another phone", source: "fe80::7", mac: 4, options: option4(60, "phone"), within: "192.0.2.8/29"},
		{name: "a phone when the first subnet is full", source: "fe80::7", mac: 5, options: option4(60, "phone"), within: "198.51.100.0/24"},
	},
}

// TestImportedConfigurations runs Kea with a configuration, and dhcp4d with what import-config
// makes of it. It compares the answers option by option.
func TestImportedConfigurations(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(imports)) {
		t.Run(name, func(t *testing.T) { compareImported(t, name) })
	}
}

func compareImported(t *testing.T, name string) {
	s := network(t, servers.Ours, servers.Kea)
	v6 := ipcEnd(t, s, 6767)
	config, err := os.ReadFile(filepath.Join(configurations, name))
	if err != nil {
		t.Fatal(err)
	}
	kea, err := servers.StartKeaDHCPv4(s.Server, t.TempDir(), string(config))
	if err != nil {
		t.Fatal(err)
	}
	const ours = 6778
	half, err := servers.StartImported(t.Context(), s.Server, t.TempDir(), filepath.Join(configurations, name), "DHCP4D_STORE=memory:",
		fmt.Sprintf("DHCP4D_IPC_LISTEN=[::1]:%d", ours))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("Kea:\n%s\nours:\n%s", kea.Output(), half.Output())
		}
	})
	timers := strings.Contains(string(config), "renew-timer") || strings.Contains(string(config), `"calculate-tee-times": true`)
	for i, q := range imports[name] {
		if !timers && q.only == nil {
			q.differ = maps.Clone(q.differ)
			if q.differ == nil {
				q.differ = map[int]string{}
			}
			q.differ[58], q.differ[59] = timersFor, timersFor
		}
		t.Run(q.name, func(t *testing.T) {
			q.compare(t, asker{v6, 6768, uint32(4 * i)}, asker{v6, ours, uint32(4 * i)})
		})
	}
}

// asker sends messages to one server.
type asker struct {
	v6   *net.UDPConn
	port uint16
	xid  uint32
}

// ask sends a message, and after it another one that both servers answer. It returns the answer to
// the first, nil if the answer to the second comes without it.
func (a asker) ask(t *testing.T, q *asking, typ dhcp4.MessageType, options []byte) *dhcp4.Message {
	t.Helper()
	a.xid++
	send := func(source string, mac byte, xid uint32, options []byte) {
		b := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: dhcp4.BootRequest, HType: 1, HLen: 6, Xid: dhcp4.Xid(xid), CHAddr: [16]byte{2, 0, 0, 0, 0, mac}})
		if q.mac == 0xad && mac == q.mac {
			b[28+4] = 0x0d // pkt4.mac of the class DROP
		}
		b = dhcp4.AppendEnd(append(dhcp4.AppendType(b, typ), options...))
		if _, err := a.v6.WriteToUDPAddrPort(framed(source, b), netip.AddrPortFrom(netip.IPv6Loopback(), a.port)); err != nil {
			t.Fatal(err)
		}
	}
	send(q.source, q.mac, a.xid, slices.Concat(options, q.options, q.requested()))
	if q.within == "silent" {
		send(cmp.Or(q.served, q.source), 0x77, a.xid+1, nil)
	}
	frame, err := next(a.v6, 10*time.Second)
	if err != nil {
		t.Fatalf("port %d: %v", a.port, err)
	}
	carried, ok := relay.Payload(frame)
	m := new(dhcp4.Message)
	if why := m.Parse(carried); !ok || why != drop.None {
		t.Fatalf("port %d: %x: %v", a.port, frame, why)
	}
	switch m.Xid() {
	case dhcp4.Xid(a.xid):
		return m
	case dhcp4.Xid(a.xid + 1):
		return nil
	}
	t.Fatalf("port %d: xid %x, want %x", a.port, m.Xid(), a.xid)
	return nil
}

// requested returns a parameter request list, and the option that allows long replies.
func (q *asking) requested() []byte {
	list := q.only
	for code := byte(1); q.only == nil && code < 255; code++ {
		list = append(list, code)
	}
	return append(dhcp4.AppendOption(nil, 55, list), option4(57, "\x05\xa0")...)
}

// framed returns a query as a v6 half sends it.
func framed(source string, message []byte) []byte {
	return bytes.Replace(keaFrame(message), netip.MustParseAddr("fe80::1").AsSlice(), netip.MustParseAddr(source).AsSlice(), 1)
}

func (q *asking) compare(t *testing.T, kea, ours asker) {
	theirs, own := kea.ask(t, q, dhcp4.Discover, nil), ours.ask(t, q, dhcp4.Discover, nil)
	if q.within == "silent" {
		if theirs != nil || own != nil {
			t.Errorf("Kea answers: %v, dhcp4d answers: %v; neither may", theirs != nil, own != nil)
		}
		return
	}
	q.same(t, "OFFER", theirs, own)
	kea.xid++
	ours.xid++
	request := func(a asker, offer *dhcp4.Message) *dhcp4.Message {
		id, _ := offer.Option(54)
		return a.ask(t, q, dhcp4.Request, option4(50, string(offer.YIAddr().AsSlice()), 54, string(id)))
	}
	q.same(t, "ACK", request(kea, theirs), request(ours, own))
}

// same compares two answers.
func (q *asking) same(t *testing.T, what string, theirs, own *dhcp4.Message) {
	t.Helper()
	if theirs == nil || own == nil {
		t.Fatalf("%s: Kea answers: %v, dhcp4d answers: %v", what, theirs != nil, own != nil)
	}
	within := netip.MustParsePrefix(q.within)
	for server, m := range map[string]*dhcp4.Message{"Kea": theirs, "ours": own} {
		if !within.Contains(m.YIAddr()) {
			t.Errorf("%s: %s gives %s, want %s", what, server, m.YIAddr(), within)
		}
	}
	if theirs.Type() != own.Type() {
		t.Errorf("%s: Kea answers %v, dhcp4d %v", what, theirs.Type(), own.Type())
	}
	a, b := facts(theirs), facts(own)
	for key := range 256 + 3 {
		x, inKea := a[key]
		y, inOurs := b[key]
		equal := inKea == inOurs && x == y
		switch reason := q.differ[key]; {
		case equal && reason != "":
			t.Errorf("%s: option %d is the same, and the list says that it differs: %s", what, key, reason)
		case !equal && reason == "":
			t.Errorf("%s: option %d: Kea %q (sent: %v), dhcp4d %q (sent: %v)", what, key, x, inKea, y, inOurs)
		}
	}
}

// facts returns the options of an answer, and the header fields about booting.
func facts(m *dhcp4.Message) map[int]string {
	all := map[int]string{siaddr: m.SIAddr().String(), sname: strings.TrimRight(string(m.SName()), "\x00"), file: strings.TrimRight(string(m.File()), "\x00")}
	if overload, ok := m.Option(52); ok && overload[0]&2 != 0 {
		delete(all, sname)
	}
	for code := range m.All() {
		value, _ := m.Option(code)
		if code == 119 { // compressed or not (RFC 3397)
			value = []byte(strings.Join(domains(value), " "))
		}
		all[int(code)] = string(value)
	}
	return all
}

// domains returns the names of a list, which may be compressed.
func domains(wire []byte) (names []string) {
	for at := 0; at < len(wire); {
		name, end := "", -1
		for i := at; i < len(wire); {
			n := int(wire[i])
			if n >= 0xc0 {
				if end < 0 {
					end = i + 2
				}
				i = (n&0x3f)<<8 | int(wire[i+1])
				continue
			}
			if n == 0 {
				if end < 0 {
					end = i + 1
				}
				break
			}
			name += string(wire[i+1:i+1+n]) + "."
			i += 1 + n
		}
		names, at = append(names, name), max(end, at+1)
	}
	return names
}
