// Package wireshark_test reads captures with tshark and the dissector of deploy/wireshark.
package wireshark_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc/ipctest"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
)

const script = "../../deploy/wireshark/dhcp4o6.lua"

// fields returns one line per packet of a capture. Fields are separated by "|", several values of
// one by commas.
func fields(t *testing.T, file string, options []string, names ...string) []string {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		netnstest.Skip(t, "tshark is not installed (Debian: apt-get install tshark)")
	}
	args := append([]string{"-X", "lua_script:" + script, "-r", file, "-T", "fields", "-E", "separator=|"}, options...)
	for _, n := range names {
		args = append(args, "-e", n)
	}
	cmd := exec.Command("tshark", args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil || strings.Contains(said.String(), "Lua: ") || strings.Contains(string(out), "Lua Error") {
		t.Fatalf("tshark: %v\n%s%s", err, said.String(), out)
	}
	return strings.Split(strings.TrimRight(string(out), "\n"), "\n")
}

func compare(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// faults are the fields that show what is wrong with a packet.
var faults = []string{"_ws.malformed", "_ws.expert.message"}

func TestClientAndServer(t *testing.T) {
	t.Parallel()
	compare(t, fields(t, "testdata/client-2014.pcap", []string{"-Y", "dhcp4o6"},
		append([]string{"_ws.col.Protocol", "dhcp4o6.type", "dhcp4o6.flags", "dhcp.option.dhcp", "dhcp.ip.your", "_ws.col.Info"}, faults...)...), []string{
		"DHCP4o6|20|0x000000|1|0.0.0.0|DHCPV4-QUERY: DHCP Discover - Transaction ID 0x3d89be05||",
		"DHCP4o6|21|0x000000|2|10.0.0.48|DHCPV4-RESPONSE: DHCP Offer    - Transaction ID 0x3d89be05||",
		"DHCP4o6|20|0x000000|3|0.0.0.0|DHCPV4-QUERY: DHCP Request  - Transaction ID 0x3d89be05||",
		"DHCP4o6|21|0x000000|5|10.0.0.49|DHCPV4-RESPONSE: DHCP ACK      - Transaction ID 0x3d89be05||",
	})
}

func TestKeasLink(t *testing.T) {
	t.Parallel()
	want := []string{
		"20||vs0|2001:db8:1::100|546|1", "21||vs0|2001:db8:1::100|546|2",
		"20||vs0|2001:db8:1::100|546|3", "21||vs0|2001:db8:1::100|546|5",
		"20|2|vs0|2001:db8:1::100|547|1", "21|2|vs0|2001:db8:1::100|547|2",
		"20|2|vs0|2001:db8:1::100|547|3", "21|2|vs0|2001:db8:1::100|547|5",
	}
	names := []string{"dhcp4o6.type", "dhcp4o6.relays", "dhcp4o6.ipc.interface", "dhcp4o6.ipc.source", "dhcp4o6.ipc.port", "dhcp.option.dhcp"}
	t.Run("its ports in the preferences", func(t *testing.T) {
		compare(t, fields(t, "testdata/kea-2.2.0-ipc.pcap", []string{"-o", "dhcp4o6.ipc_ports:7860-7861"}, names...), want)
	})
	t.Run("decode as", func(t *testing.T) {
		compare(t, fields(t, "testdata/kea-2.2.0-ipc.pcap", []string{"-d", "udp.port==7860,dhcp4o6", "-d", "udp.port==7861,dhcp4o6"}, names...), want)
	})
}

// TestExamples reads the four datagrams of the codec's golden files.
func TestExamples(t *testing.T) {
	t.Parallel()
	file := capture(t, frames(t, "../../shared/ipc/testdata/golden.hex")...)
	compare(t, fields(t, file, nil,
		append([]string{"dhcp4o6.type", "dhcp4o6.relays", "dhcp4o6.flags.unicast", "dhcp4o6.ipc.interface", "dhcp4o6.ipc.source", "dhcp4o6.ipc.port", "dhcp.option.dhcp"}, faults...)...), []string{
		"20||0|eth1|fe80::a00:27ff:fe12:3456|546|1||",
		"20|1|1|eth1|2001:db8:2::10|10067|3||",
		"21||0|eth1|fe80::a00:27ff:fe12:3456|546|2||",
		"21|1|0|eth1|2001:db8:2::10|10067|5||",
	})
}

// TestOurAdditions reads what only our daemons send to each other.
func TestOurAdditions(t *testing.T) {
	t.Parallel()
	key := ipc.Key{ID: 7, Secret: []byte("0123456789abcdef0123456789abcdef")}
	six, four := ipctest.New(t, drop.DHCP6D, "b", key), ipctest.New(t, drop.DHCP4D, "b", key)
	at := time.Unix(2_000_000_000, 0)
	six.Now = func() time.Time { return at }
	four.Now = six.Now
	hello := six.Probe(5)
	first := four.Answer(hello)
	six.Open(first)
	probe := six.Probe(6)
	answer := four.Answer(probe)
	six.Open(answer)
	relayed := frames(t, "../../shared/ipc/testdata/golden.hex")[1]
	var query dhcp6.Packet
	why := query.Parse(frames(t, "../../shared/ipc/testdata/golden.hex")[0])
	if why != 0 {
		t.Fatal(why)
	}
	unicast, why := ipc.AppendQuery(nil, &query, ipc.Context{
		Interface: []byte("eth1"), Source: netip.MustParseAddrPort("[2001:db8::2]:546"), Local: netip.MustParseAddr("2001:db8::547"),
	})
	if why != 0 {
		t.Fatal(why)
	}
	file := capture(t,
		ipc.AppendProbe(nil), ipc.AppendProbeReply(nil), six.PlainProbe(), hello, answer,
		six.Sign(relayed), unicast,
	)
	compare(t, fields(t, file, nil,
		append([]string{"dhcp4o6.type", "dhcp4o6.ipc.probe", "dhcp4o6.ipc.mark", "dhcp4o6.ipc.ability", "dhcp4o6.ipc.auth.algorithm", "dhcp4o6.ipc.auth.sequence",
			"dhcp4o6.ipc.auth.key", "dhcp4o6.ipc.auth.time", "dhcp4o6.ipc.auth.ready", "dhcp4o6.ipc.local", "dhcp.option.dhcp"}, faults...)...), []string{
		"20|1|||||||||||",
		"21|1|||||||||||",
		"20|1|||1|9223372036854775809|7|May 18, 2033 03:33:20.000000000 UTC|||||",
		"20|1|5||3||7||0||||",
		"21|1|6|0|3||7||1||||",
		"20||||2|1|7||||3||",
		"20|||||||||2001:db8::547|1||",
	})
	returned := fields(t, file, nil, "dhcp4o6.ipc.auth.returned")
	if got, err := strconv.Atoi(returned[5]); err != nil || got < 1 {
		t.Errorf("the clock that a datagram of a session returns is %q", returned[5])
	}
}

// TestFaults: the dissector reports faults, and none of them makes the script fail.
func TestFaults(t *testing.T) {
	t.Parallel()
	query := frames(t, "../../shared/ipc/testdata/golden.hex")[0]
	relayed := frames(t, "../../shared/ipc/testdata/golden.hex")[1]
	reserved := slices.Clone(query)
	reserved[3] = 1
	several := slices.Concat(query, query[46:])
	// An Information-request's Reply with option 88: two addresses, none, a broken one.
	address := netip.MustParseAddr("2001:db8::1").AsSlice()
	servers := func(content ...byte) []byte {
		return append([]byte{7, 0, 0, 1, 0, 88, 0, byte(len(content))}, content...)
	}
	file := capture(t,
		reserved, several, query[:46], query[:len(query)-1], relayed[:len(relayed)-1], relayed[:20],
		servers(slices.Concat(address, address)...), servers(), servers(address[:15]...),
	)
	compare(t, fields(t, file, []string{"-E", "occurrence=l"}, "dhcp4o6.server", "_ws.expert.message"), []string{
		"|Flags that must be zero are set",
		"|More than one DHCPv4 message (RFC 7341, section 6.1)",
		"|No DHCPv4 message (RFC 7341, section 6.1)",
		"|Length runs past its container or does not fit the content",
		"|Length runs past its container or does not fit the content",
		"|Length runs past its container or does not fit the content",
		"2001:db8::1|",
		"|",
		"|Length runs past its container or does not fit the content",
	})
	// Truncated after every octet.
	var cut [][]byte
	for n := range relayed {
		cut = append(cut, relayed[:n])
	}
	if got := len(fields(t, capture(t, cut...), nil, "frame.number")); got != len(cut) {
		t.Errorf("%d of %d packets", got, len(cut))
	}
}

// frames reads the blocks of a hex file: a line "# name", then lines of hex.
func frames(t *testing.T, name string) (all [][]byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(b)), "\n\n") {
		_, digits, _ := strings.Cut(block, "\n")
		frame, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, frame)
	}
	return all
}

// capture writes payloads to a pcap file, as UDP over IPv6 from port 6767 to 6768 on raw IP (link
// type 101). The checksums are not valid.
func capture(t *testing.T, payloads ...[]byte) string {
	t.Helper()
	b := []byte("\xd4\xc3\xb2\xa1\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x65\x00\x00\x00")
	for i, p := range payloads {
		length := uint16(8 + len(p))
		packet := []byte{0x60, 0, 0, 0}
		packet = binary.BigEndian.AppendUint16(packet, length)
		packet = append(packet, 17, 64)
		packet = append(packet, netip.IPv6Loopback().AsSlice()...)
		packet = append(packet, netip.IPv6Loopback().AsSlice()...)
		for _, v := range []uint16{6767, 6768, length, 0xffff} {
			packet = binary.BigEndian.AppendUint16(packet, v)
		}
		packet = append(packet, p...)
		for _, v := range []uint32{uint32(1_700_000_000 + i), 0, uint32(len(packet)), uint32(len(packet))} {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		b = append(b, packet...)
	}
	name := filepath.Join(t.TempDir(), "frames.pcap")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
