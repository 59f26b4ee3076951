package ipc_test

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

const (
	goldenProbe = "14000000" + "0011" + "000c" + "000009bf" + "ea64" + "0004" + "01020304"
	goldenReply = "15000000" + "0011" + "0011" + "000009bf" + "ea64" + "0004" + "01020304" + "ea65" + "0001"
)

func TestProbeBytes(t *testing.T) {
	full := ipc.Probe{Full: true, Mark: 0x01020304}
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"IPC-26 plain probe", ipc.AppendProbe(nil), "14000000"},
		{"IPC-29 full probe", ipc.AppendFullProbe(nil, 0x01020304), goldenProbe},
		{"IPC-26 a plain probe is answered by who is able", ipc.Probe{}.AppendReply(nil, ipc.Able), "15000000"},
		{"IPC-29 and by no other", ipc.Probe{}.AppendReply(nil, ipc.StoreFailed), ""},
		{"IPC-29 a full probe is answered by who is able", full.AppendReply(nil, ipc.Able), goldenReply + "00"},
		{"IPC-29 and by who is not", full.AppendReply(nil, ipc.Leaving), goldenReply + "05"},
	}
	for _, tt := range tests {
		if got := hex.EncodeToString(tt.got); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestParseProbe(t *testing.T) {
	tests := []struct {
		name, datagram string
		want           ipc.Probe
		ok             bool
	}{
		{"IPC-26 plain", "14000000", ipc.Probe{}, true},
		{"IPC-29 full", goldenProbe, ipc.Probe{Full: true, Mark: 0x01020304}, true},
		{"IPC-29 full, with a suboption of later", "14000000" + "0011" + "0011" + "000009bf" + "ea64" + "0004" + "01020304" + "ea70" + "0001" + "ff",
			ipc.Probe{Full: true, Mark: 0x01020304}, true},
		{"an answer", goldenReply + "00", ipc.Probe{}, false},
		{"other flags", "14800000" + goldenProbe[8:], ipc.Probe{}, false},
		{"something after the option", goldenProbe + "00", ipc.Probe{}, false},
		{"cut", goldenProbe[:len(goldenProbe)-2], ipc.Probe{}, false},
		{"another enterprise", "14000000" + "0011" + "000c" + "000009be" + "ea64" + "0004" + "01020304", ipc.Probe{}, false},
		{"another suboption first", "14000000" + "0011" + "000c" + "000009bf" + "ea60" + "0004" + "01020304", ipc.Probe{}, false},
		{"nothing", "", ipc.Probe{}, false},
	}
	for _, tt := range tests {
		b, err := hex.DecodeString(tt.datagram)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := ipc.ParseProbe(b)
		if ok != tt.ok || (ok && got != tt.want) {
			t.Errorf("%s: %+v, %v", tt.name, got, ok)
		}
	}
}

func TestParseProbeReply(t *testing.T) {
	tests := []struct {
		name, datagram string
		want           ipc.ProbeReply
		ok             bool
	}{
		{"IPC-26 plain, which is able", "15000000", ipc.ProbeReply{}, true},
		{"IPC-29 full and able", goldenReply + "00", ipc.ProbeReply{Full: true, Mark: 0x01020304}, true},
		{"IPC-29 full and not able", goldenReply + "01", ipc.ProbeReply{Full: true, Mark: 0x01020304, Ability: ipc.StoreFailed}, true},
		{"IPC-29 for a reason of later", goldenReply + "63", ipc.ProbeReply{Full: true, Mark: 0x01020304, Ability: 99}, true},
		{"IPC-29 suboptions of later are skipped", "15000000" + "0011" + "001b" + "000009bf" + "ea64" + "0004" + "01020304" + "ea70" + "0001" + "ff" + "ea65" + "0001" + "03" + "ea71" + "0001" + "00",
			ipc.ProbeReply{Full: true, Mark: 0x01020304, Ability: ipc.Loading}, true},
		{"IPC-29 no ability is able", "15000000" + "0011" + "000c" + "000009bf" + "ea64" + "0004" + "01020304",
			ipc.ProbeReply{Full: true, Mark: 0x01020304}, true},
		{"an ability of no octet", "15000000" + "0011" + "0010" + "000009bf" + "ea64" + "0004" + "01020304" + "ea65" + "0000", ipc.ProbeReply{}, false},
		{"a suboption that runs past the option", goldenReply[:len(goldenReply)-2] + "09" + "00", ipc.ProbeReply{}, false},
		{"a probe", goldenProbe, ipc.ProbeReply{}, false},
	}
	for _, tt := range tests {
		b, err := hex.DecodeString(tt.datagram)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := ipc.ParseProbeReply(b)
		if ok != tt.ok || (ok && got != tt.want) {
			t.Errorf("%s: %+v, %v", tt.name, got, ok)
		}
	}
}

// A client that writes a probe's suboptions into its own query must not get it
// taken for a probe.
func TestAQueryIsNoProbe(t *testing.T) {
	message := dhcp4.AppendEnd(dhcp4.AppendType(dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6}), dhcp4.Discover))
	probe := ipc.AppendFullProbe(nil, 7)
	var p dhcp6.Packet
	if why := p.Parse(dhcp6.AppendOption(probe, dhcp6.OptDHCPv4Msg, message)); why != drop.None {
		t.Fatal(why)
	}
	d, why := ipc.AppendQuery(nil, &p, ipc.Context{Interface: []byte("eth0"), Source: netip.MustParseAddrPort("[fe80::1]:546")})
	if _, ok := ipc.ParseProbe(d); why != drop.None || ok {
		t.Errorf("IPC-29 %x, %v", d, why)
	}
}

func FuzzProbe(f *testing.F) {
	f.Add(ipc.AppendProbe(nil))
	f.Add(ipc.AppendFullProbe(nil, 1))
	f.Add(ipc.Probe{}.AppendReply(nil, ipc.Able))
	f.Add(ipc.Probe{Full: true, Mark: 2}.AppendReply(nil, ipc.StoreHangs))
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, ok := ipc.ParseProbe(b); ok {
			again := ipc.AppendProbe(nil)
			if p.Full {
				again = ipc.AppendFullProbe(nil, p.Mark)
			}
			if q, ok := ipc.ParseProbe(again); !ok || q != p {
				t.Errorf("%x: %+v, again %+v", b, p, q)
			}
			if !p.Full && !bytes.Equal(again, b) {
				t.Errorf("%x is no plain probe", b)
			}
		}
		if r, ok := ipc.ParseProbeReply(b); ok {
			again := ipc.Probe{Full: r.Full, Mark: r.Mark}.AppendReply(nil, r.Ability)
			if q, ok := ipc.ParseProbeReply(again); !ok || q != r {
				t.Errorf("%x: %+v, again %+v", b, r, q)
			}
		}
	})
}

func TestProbesAllocateNothing(t *testing.T) {
	buf := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		p, _ := ipc.ParseProbe(ipc.AppendFullProbe(buf, 5))
		_, _ = ipc.ParseProbeReply(p.AppendReply(buf, ipc.StoreFailed))
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
