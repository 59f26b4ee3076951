package interop

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/expression/expressiontest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// asked are the operands of the expressions that Kea evaluates, too. It has neither pkt.len, which
// Kea counts in another way, nor sub-options of option 43, which Kea reads later.
var asked = expressiontest.Generator{
	Values: []string{
		"option[12].hex", "option[host-name].text", "option[60].hex", "option[vendor-class-identifier].text", "option[61].hex", "option[93].hex",
		"option[55].hex", "option[50].hex", "option[66].hex", "option[231].hex", "option[82].option[1].hex", "option[82].option[2].hex",
		"relay4[1].hex", "relay4[9].hex", "pkt4.mac", "pkt4.hlen", "pkt4.htype", "pkt4.ciaddr", "pkt4.giaddr", "pkt4.yiaddr", "pkt4.siaddr",
		"pkt4.msgtype", "pkt4.transid", "pkt.iface", "vendor.enterprise", "vendor-class.enterprise", "vendor[3561].option[1].hex",
		"vendor[*].option[2].hex", "vendor[9].option[1].hex", "vendor-class[*].data", "vendor-class[3561].data[1]", "vendor-class[0].data[7]",
	},
	Tests: []string{
		"option[12].exists", "option[66].exists", "option[60].exists", "relay4[1].exists", "relay4[9].exists", "option[82].option[2].exists",
		"vendor[3561].exists", "vendor[*].exists", "vendor[9].exists", "vendor-class[3561].exists", "vendor-class[9].exists",
		"vendor[3561].option[1].exists", "member('VENDOR_CLASS_Acme-Phone/2.1')", "member('ALL')", "option[61].option[1].exists", "member('first')",
	},
	Literals: []string{"'Acme-Phone/2.1'", "'port-7'", "0x020000000007", "'eth0'", "'Host-7'", "'access'", "192.0.2.7", "'first'", "0x0101", "'hello'"},
}

// askedOf are the options of the DISCOVERs.
var askedOf = [][]byte{
	nil,
	option4(12, "Host-7", 60, "Acme-Phone/2.1", 61, "\x01\x02\x00\x00\x00\x00\x07", 55, "\x01\x03\x06", 93, "\x00\x07"),
	option4(12, "Host-7\x00\x00", 60, "Acme-Phone/2.1\x00", 82, "\x01\x06port-7\x02\x03abc", 50, "\xc0\x00\x02\x63"),
	option4(60, "a.b-c", 66, "\x00\x00", 124, "\x00\x00\x0d\xe9\x05first\x00\x00\x0d\xe9\x06second", 125, "\x00\x00\x0d\xe9\x0b\x01\x05hello\x02\x02ab"),
	option4(231, "one", 231, "two", 125, "\x00\x00\x00\x09\x03\x01\x01x", 82, "\x09\x00\x01\x01z\x01\x01y", 12, "x"),
}

// option4 encodes options: code, value, code, value and so on.
func option4(pairs ...any) (b []byte) {
	for i := 0; i < len(pairs); i += 2 {
		b = dhcp4.AppendOption(b, byte(pairs[i].(int)), []byte(pairs[i+1].(string)))
	}
	return b
}

// TestExpressions compares the values of generated expressions with Kea's, for many queries. Each
// expression is the test of a class, and Kea's log says which are true.
func TestExpressions(t *testing.T) {
	const number = 600
	g := asked
	g.Rand = rand.New(rand.NewPCG(16, 1))
	classes := new(expression.Classes)
	scope := classes.Scope()
	names := &expression.Vocabulary{Classes: scope, Option: func(name string) (byte, bool) {
		code, ok := map[string]byte{"host-name": 12, "vendor-class-identifier": 60}[name]
		return code, ok
	}}
	type class struct {
		Name string `json:"name"`
		Test string `json:"test"`
	}
	all := []class{{"first", "substring(option[60].hex, 0, 4) == 'Acme'"}}
	for i := range number {
		all = append(all, class{fmt.Sprintf("e%d", i), g.Test(3)})
	}
	all = append(all, class{"last", "'a' == 'a'"})
	for _, c := range all {
		test, err := expression.CompileTest(c.Test, names)
		if err == nil {
			_, err = scope.Add(c.Name, test, nil)
		}
		if err != nil {
			t.Fatalf("%s: %v", c.Test, err)
		}
	}

	s := network(t, "", servers.Kea)
	v6 := ipcEnd(t, s, 6767)
	config, err := json.Marshal(map[string]any{"Dhcp4": map[string]any{
		"interfaces-config": map[string]any{"interfaces": []string{"access"}, "dhcp-socket-type": "udp"}, "dhcp4o6-port": 6767,
		"lease-database": map[string]any{"type": "memfile", "persist": false},
		"client-classes": all,
		"subnet4":        []any{map[string]any{"id": 1, "subnet": "192.0.2.0/24", "4o6-interface": "access"}},
		"loggers": []any{map[string]any{"name": "kea-dhcp4", "severity": "INFO",
			"output_options": []any{map[string]any{"output": "stderr", "flush": true}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	kea, err := servers.StartKeaDHCPv4(s.Server, t.TempDir(), string(config))
	if err != nil {
		t.Fatal(err)
	}
	result := regexp.MustCompile(`EVAL_RESULT Expression (\w+) evaluated to 1\n`)
	before := len(kea.Output())
	held := 0
	for i, options := range askedOf {
		b := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: dhcp4.BootRequest, HType: 1, HLen: 6, Xid: dhcp4.Xid(i + 1), CHAddr: [16]byte{2, 0, 0, 0, 0, 7},
			CIAddr: netip.MustParseAddr("192.0.2.7")})
		b = dhcp4.AppendEnd(append(dhcp4.AppendType(b, dhcp4.Discover), options...))
		if _, err := v6.WriteToUDPAddrPort(keaFrame(b), netip.AddrPortFrom(netip.IPv6Loopback(), 6768)); err != nil {
			t.Fatal(err)
		}
		inKea := map[string]bool{}
		for deadline := time.Now().Add(20 * time.Second); !inKea["last"]; {
			if time.Now().After(deadline) {
				t.Fatalf("Kea's log has no classes of query %d:\n%s", i, kea.Output())
			}
			for _, m := range result.FindAllStringSubmatch(kea.Output()[before:], -1) {
				inKea[m[1]] = true
			}
			time.Sleep(10 * time.Millisecond) // then look again
		}
		before = len(kea.Output())
		var m dhcp4.Message
		if why := m.Parse(b); why != drop.None {
			t.Fatal(why)
		}
		var packet dhcp6.Packet
		if why := packet.Parse(keaFrame(b)); why != drop.None {
			t.Fatal(why)
		}
		e := new(expression.Evaluator)
		e.Begin(expression.Query{Message: &m, Path: &attachment.Path{Packet: &packet, Source: netip.MustParseAddr("fe80::1"), Interface: []byte("access")}},
			classes, new(expression.Membership))
		for n, c := range all {
			ours := e.Member(n)
			if ours != inKea[c.Name] {
				t.Errorf("query %d, %s: ours %v, Kea's %v", i, c.Test, ours, inKea[c.Name])
			}
			if ours {
				held++
			}
		}
	}
	if share := held * 100 / (len(askedOf) * number); share < 10 || share > 90 {
		t.Errorf("%d %% of the expressions are true; so few or so many prove little", share)
	}
}

// keaFrame returns a query as a v6 half sends it.
func keaFrame(message []byte) []byte {
	context := binary.BigEndian.AppendUint32(nil, isc)
	context = dhcp6.AppendOption(context, 60000, []byte("access"))
	context = dhcp6.AppendOption(context, 60001, netip.MustParseAddr("fe80::1").AsSlice())
	context = dhcp6.AppendOption(context, 60002, []byte{2, 34})
	b := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
	b = dhcp6.AppendOption(b, dhcp6.OptVendorOpts, context)
	return dhcp6.AppendOption(b, dhcp6.OptDHCPv4Msg, message)
}
