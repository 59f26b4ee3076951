package pass

import (
	"bytes"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

var (
	solicit = []byte{1, 9, 9, 9}
	behind  = netip.MustParseAddrPort("[2001:db8:5::547]:547")
	eth1    = []byte("eth1")
	own     = []netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("fd00:1::1"), netip.MustParseAddr("2001:db8:1::1")}
)

func servers(key Key) *Servers {
	return New(Options{Servers: []netip.AddrPort{behind}, Port: 547, Key: key, Metrics: NewMetrics(prometheus.NewRegistry())})
}

func parsed(t interface{ Fatal(...any) }, b []byte) *dhcp6.Packet {
	p := new(dhcp6.Packet)
	if why := p.Parse(b); why != drop.None {
		t.Fatal(why)
	}
	return p
}

// reply makes a Relay-reply of a Relay-forward by changing its type.
func reply(forward []byte) []byte {
	r := bytes.Clone(forward)
	r[0] = byte(dhcp6.RelayReply)
	r[bytes.LastIndex(r, solicit)] = byte(dhcp6.Advertise)
	return r
}

func TestRL32TheLinkAddress(t *testing.T) {
	configured := netip.MustParseAddr("2001:db8:ffff::1")
	of := func(want string) func([]byte) (netip.Addr, bool) {
		return func(ifc []byte) (netip.Addr, bool) { return configured, string(ifc) == want }
	}
	for name, c := range map[string]struct {
		own  []netip.Addr
		link func([]byte) (netip.Addr, bool)
		want string
	}{
		"the lowest global address":                      {own, nil, "2001:db8:1::1"},
		"a unique local address":                         {own[:2], nil, "fd00:1::1"},
		"what is configured":                             {own, of("eth1"), configured.String()},
		"what is configured for another interface":       {own, of("eth2"), "2001:db8:1::1"},
		"none, where there is a link-local address only": {own[:1], nil, "::"},
		"none, where there is no address":                {nil, nil, "::"},
	} {
		s := servers(Key{})
		s.link = c.link
		if got := s.linkAddress(eth1, c.own).String(); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Whatever the context, it comes back from a Relay-reply. Whatever is changed in the Interface-Id
// or in the peer-address of the reply, it does not.
func TestRL38_RL39TheContextComesBackOrNothingDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		address := func(name string) netip.Addr {
			return netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, name)))
		}
		back := Context{
			Interface: rapid.SliceOfN(rapid.ByteRange(1, 255), 1, 15).Draw(t, "interface"),
			Relayed:   rapid.Bool().Draw(t, "relayed"),
			Source:    netip.AddrPortFrom(address("source"), rapid.Uint16().Draw(t, "port")),
		}
		if rapid.Bool().Draw(t, "has local") {
			if back.Local = address("local"); back.Local.IsUnspecified() {
				back.Local = netip.Addr{}
			}
		}
		message := solicit
		if back.Relayed {
			message = dhcp6.AppendRelayForward(nil, 0, behind.Addr(), own[0], nil, solicit)
		}
		var c Codec
		s := servers(Key{7})
		forward, why := c.AppendForward(nil, s, parsed(t, message), own, back, nil)
		if why != drop.None {
			t.Fatal(why)
		}
		r := reply(forward)
		if back.Relayed {
			r[bytes.LastIndex(r, []byte{byte(dhcp6.RelayForward), 0})] = byte(dhcp6.RelayReply)
		}
		var p dhcp6.Packet
		if why := p.ParseReply(r); why != drop.None {
			t.Fatalf("%v: %x", why, r)
		}
		got, why := c.Context(s, &p)
		if why != drop.None || !bytes.Equal(got.Interface, back.Interface) || got.Relayed != back.Relayed || got.Source != back.Source || got.Local != back.Local {
			t.Fatalf("%+v, %v, want %+v", got, why, back)
		}
		other := servers(Key{8})
		if _, why := c.Context(other, &p); why != drop.ReplyContext {
			t.Fatalf("with another key: %v", why)
		}
		id := p.Relay(0).InterfaceID()
		at := rapid.IntRange(0, 16+len(id)-1).Draw(t, "at")
		flip := rapid.ByteRange(1, 255).Draw(t, "flip")
		if at < 16 {
			r[18+at] ^= flip
		} else {
			id[at-16] ^= flip // aliases the reply
		}
		if why := p.ParseReply(r); why != drop.None {
			t.Fatal(why)
		}
		if got, why := c.Context(s, &p); why != drop.ReplyContext {
			t.Fatalf("a context is taken although octet %d is changed: %+v", at, got)
		}
	})
}

// FuzzContext: whatever arrives is read without a panic, and is a context of ours only if it is.
func FuzzContext(f *testing.F) {
	var c Codec
	s := servers(Key{7})
	forward, _ := c.AppendForward(nil, s, parsed(f, solicit), own, Context{Interface: []byte("eth1"), Source: netip.MustParseAddrPort("[fe80::2]:546")}, nil)
	genuine := reply(forward)
	f.Add(genuine)
	f.Add(genuine[:40])
	f.Add(dhcp6.AppendOption(dhcp6.AppendOption(make([]byte, 34), dhcp6.OptInterfaceID, []byte("eth1")), dhcp6.OptRelayMsg, solicit))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p dhcp6.Packet
		if len(b) == 0 || b[0] != byte(dhcp6.RelayReply) || p.ParseReply(b) != drop.None {
			return
		}
		if back, why := c.Context(s, &p); why == drop.None && (string(back.Interface) != "eth1" || back.Source.String() != "[fe80::2]:546") {
			t.Errorf("%+v", back)
		}
	})
}

// FuzzForward: a message that is read goes on as it is, octet for octet, with a context that comes
// back from a reply.
func FuzzForward(f *testing.F) {
	var c Codec
	s := servers(Key{7})
	f.Add(solicit, false, uint16(546))
	f.Add(dhcp6.AppendRelayForward(nil, 3, own[2], own[0], nil, solicit), true, uint16(547))
	f.Add(dhcp6.AppendRelayForward(nil, 8, own[2], own[0], nil, dhcp6.AppendRelayForward(nil, 0, own[2], own[0], nil, solicit)), true, uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, relayed bool, port uint16) {
		var p, q dhcp6.Packet
		if p.Parse(b) != drop.None || relayed != (p.Relays() > 0) {
			return
		}
		back := Context{Interface: eth1, Relayed: relayed, Source: netip.AddrPortFrom(netip.MustParseAddr("fe80::2"), port)}
		before := bytes.Clone(b)
		forward, why := c.AppendForward(nil, s, &p, own, back, nil)
		if why != drop.None {
			if len(forward) > 0 {
				t.Fatalf("%v and %x", why, forward)
			}
			return
		}
		if !bytes.Equal(b, before) || !bytes.HasSuffix(forward, b) || len(forward) > dhcp6.MaxDatagram || dhcp6.Type(forward[0]) != dhcp6.RelayForward {
			t.Fatalf("%x became %x", before, forward)
		}
		if q.Parse(forward) != drop.None {
			return // what the client sent may be more than a server of ours would read
		}
		forward[0] = byte(dhcp6.RelayReply)
		if q.ParseReply(forward) != drop.None {
			return // it carries no reply
		}
		if got, why := c.Context(s, &q); why != drop.None || got.Source != back.Source || got.Relayed != relayed {
			t.Fatalf("%+v, %v, want %+v", got, why, back)
		}
	})
}

func TestRL38TheKey(t *testing.T) {
	t.Run("is made once, for its owner", func(t *testing.T) {
		dir := t.TempDir()
		made, err := ReadKey(dir)
		if err != nil || made == (Key{}) {
			t.Fatal(made, err)
		}
		again, err := ReadKey(dir)
		if err != nil || again != made {
			t.Fatal(again, err)
		}
		info, err := os.Stat(filepath.Join(dir, "relay-key"))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatal(info.Mode(), err)
		}
		files, err := fs.Glob(os.DirFS(dir), "*")
		if err != nil || len(files) != 1 {
			t.Error(files, err)
		}
	})
	for name, content := range map[string]string{
		"empty": "", "too short": "00ff\n", "too long": strings.Repeat("00", 33), "no digits": strings.Repeat("xy", 32), "odd": strings.Repeat("0", 63),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "relay-key"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadKey(dir); err == nil || !strings.Contains(err.Error(), "relay-key does not hold 64 hexadecimal digits; remove it") {
				t.Error(err)
			}
		})
	}
	t.Run("a named pipe that nobody writes to", func(t *testing.T) {
		dir := t.TempDir()
		if err := syscall.Mkfifo(filepath.Join(dir, "relay-key"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(dir); err == nil || !strings.Contains(err.Error(), "does not hold 64 hexadecimal digits") {
			t.Error(err)
		}
	})
	t.Run("without a directory", func(t *testing.T) {
		if _, err := ReadKey(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "DHCP6D_STATE_DIR") {
			t.Error(err)
		}
	})
}

func TestServersOfOneHostAreToldApart(t *testing.T) {
	second := netip.AddrPortFrom(behind.Addr(), 1547)
	reg := prometheus.NewRegistry()
	m := NewMetrics(reg)
	s := New(Options{Servers: []netip.AddrPort{behind, second}, Metrics: m})
	for from, want := range map[string]bool{"[2001:db8:5::547]:1547": true, "[2001:db8:5::547]:9": true, "[2001:db8:5::548]:547": false} {
		if got := s.Received(netip.MustParseAddrPort(from)); got != want {
			t.Errorf("%s: %v", from, got)
		}
	}
	m.Keep([]netip.AddrPort{behind, second})
	m.Keep([]netip.AddrPort{second})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		series := f.GetMetric()
		if len(series) != 1 || series[0].GetLabel()[0].GetValue() != second.String() {
			t.Errorf("%v", f)
		}
		if strings.Contains(f.GetName(), "received") && series[0].GetCounter().GetValue() != 1 {
			t.Errorf("%v", f)
		}
	}
	if New(Options{Metrics: m}) != nil {
		t.Error("servers without a server")
	}
}
