package leasefile

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
)

const now lease.Time = 1_800_000_000

// binding draws any record that a store can hold.
func binding(t *rapid.T) lease.Binding {
	octets := func(least, most int, what string) []byte {
		return rapid.SliceOfN(rapid.Byte(), least, most).Draw(t, what)
	}
	b := lease.Binding{
		ID:      lease.ID{Addr: netip.AddrFrom4([4]byte(octets(4, 4, "address")))},
		Subnet:  rapid.Uint32().Draw(t, "subnet"),
		State:   rapid.SampledFrom([]lease.State{lease.Bound, lease.Released, lease.Declined}).Draw(t, "state"),
		HWType:  rapid.Byte().Draw(t, "hw type"),
		HWAddr:  octets(1, 16, "hardware address"),
		Start:   now - lease.Time(rapid.Uint32Range(0, 1e6).Draw(t, "start")),
		Changed: now - lease.Time(rapid.Uint32Range(0, 1e6).Draw(t, "changed")),
		Expires: rapid.SampledFrom([]lease.Time{lease.Never, now, now + 1, now - 1}).Draw(t, "expires"),
	}
	var id []byte
	if rapid.Bool().Draw(t, "has identifier") {
		id = octets(2, 255, "identifier")
	}
	b.Client = lease.AppendKey(nil, id, b.HWType, b.HWAddr)
	if b.State == lease.Declined && rapid.Bool().Draw(t, "nobody's") {
		b.HWAddr, b.Client = nil, []byte{lease.KeyHardware, b.HWType}
	}
	if rapid.Bool().Draw(t, "has source") {
		b.Source = netip.AddrFrom16([16]byte(octets(16, 16, "source")))
	}
	if kind := attachment.Kind(rapid.Byte().Draw(t, "point") % 6); kind > 0 {
		parts := attachment.Parts{Kind: kind, Address: netip.AddrFrom16([16]byte(octets(16, 16, "link")))}
		if rapid.Bool().Draw(t, "counted by a name") {
			parts.Count = octets(1, 64, "count")
		}
		parts.Name = rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 60), rapid.Just([]byte("port-7")), rapid.Just([]byte("0x41"))).Draw(t, "port")
		switch {
		case rapid.Bool().Draw(t, "digest"):
			parts.Digest, parts.Name = true, octets(32, 32, "sum")
		case kind == attachment.Direct && rapid.Bool().Draw(t, "has server"):
			parts.Server = []byte(rapid.SampledFrom([]string{"east", "[::1]:6767", "0x41", "x y"}).Draw(t, "server"))
		case kind != attachment.Direct && rapid.Bool().Draw(t, "has place"):
			parts.Within = octets(1, 80, "place")
		}
		b.Point = parts.Append(nil)
	}
	if rapid.Bool().Draw(t, "has Remote-Id") {
		b.RemoteID = lease.BesidePoint(b.Point, octets(lease.MinRemoteID, lease.MaxRemoteID, "Remote-Id"))
	}
	return b
}

func same(a, b *lease.Binding) bool {
	norm := func(b lease.Binding) lease.Binding {
		b.HWAddr, b.Point = append([]byte{}, b.HWAddr...), append([]byte{}, b.Point...)
		b.RemoteID = append([]byte{}, b.RemoteID...)
		return b
	}
	return reflect.DeepEqual(norm(*a), norm(*b))
}

func TestWhatIsExportedIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []lease.Binding
		for range rapid.IntRange(0, 5).Draw(t, "leases") {
			all = append(all, binding(t))
		}
		for format, read := range map[Format]func(*bytes.Buffer, func(int, *Lease, error) error) error{
			CSV:    func(b *bytes.Buffer, fn func(int, *Lease, error) error) error { return readCSV(b, fn) },
			NDJSON: func(b *bytes.Buffer, fn func(int, *Lease, error) error) error { return readNDJSON(b, fn) },
		} {
			var file bytes.Buffer
			w, err := NewWriter(&file, format)
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				l := Of(&all[i], now)
				if err := w.Write(&l); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			text, n := file.String(), 0
			err = read(&file, func(line int, l *Lease, err error) error {
				if err != nil {
					t.Fatalf("line %d: %v\n%s", line, err, text)
				}
				b, err := l.Binding()
				if err != nil || !same(&b, &all[n]) {
					t.Fatalf("line %d: %v\n%+v\nwas\n%+v\n%s", line, err, b, all[n], text)
				}
				n++
				return nil
			})
			if err != nil || n != len(all) {
				t.Fatalf("%d of %d read back: %v\n%s", n, len(all), err, text)
			}
		}
	})
}

func TestArrayIsJSON(t *testing.T) {
	b := lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.1")}, State: lease.Bound, Client: []byte{0, 1, 2}}
	for n := range 3 {
		var file bytes.Buffer
		w, err := NewWriter(&file, Array)
		if err != nil {
			t.Fatal(err)
		}
		for range n {
			l := Of(&b, now)
			w.Write(&l)
		}
		var back []Lease
		if err := w.Close(); err != nil || json.Unmarshal(file.Bytes(), &back) != nil || len(back) != n {
			t.Errorf("%d leases: %v\n%s", n, err, file.String())
		}
	}
}

func TestD4_79Words(t *testing.T) {
	for id, want := range map[string]string{
		"port-7": "interface-id port-7 at ::", "slot 1 port 7": `interface-id "slot 1 port 7" at ::`, " x": "interface-id 0x2078 at ::", "x\x00": "interface-id 0x7800 at ::",
	} {
		t.Run("D4-79 an Interface-Id is readable: "+want, func(t *testing.T) {
			p := PointOf((&attachment.Parts{Kind: attachment.InterfaceID, Address: netip.IPv6Unspecified(), Name: []byte(id)}).Append(nil))
			if p.String() != want {
				t.Error(p.String())
			}
			if back, err := p.octets(); err != nil || !strings.HasSuffix(string(back), id) {
				t.Errorf("read back as %q, %v", back, err)
			}
		})
	}
	t.Run("D4-79 an offer was neither given nor written", func(t *testing.T) {
		l := Of(&lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.7")}, State: lease.Offered, Client: []byte("\x00\xff\x01"), Expires: now + 60}, now)
		if got, err := json.Marshal(l); err != nil || !strings.Contains(string(got), `"start":null,"changed":null`) || strings.Contains(string(got), "1970") {
			t.Errorf("%s, %v", got, err)
		}
		for i, field := range l.line() {
			if strings.Contains(field, "1970") {
				t.Errorf("%s is %s", columns[i], field)
			}
		}
	})
}

func TestWhatIsShown(t *testing.T) {
	b := lease.Binding{
		ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.7")}, Subnet: 3, State: lease.Bound, Client: []byte("\x00\xff\x01"), HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, 1},
		Source: netip.MustParseAddr("2001:db8::7"), Start: now - 10, Changed: now - 5, Expires: now + 60,
		Point: (&attachment.Parts{Kind: attachment.InterfaceID, Address: netip.MustParseAddr("2001:db8:7::1"), Name: []byte("port-7")}).Append(nil),
	}
	l := Of(&b, now)
	got, err := json.Marshal(l)
	want := `{"address":"192.0.2.7","subnet":3,"state":"bound","client_id":"ff:01","hw_type":1,"hw_address":"02:00:00:00:00:01","ipv6_source":"2001:db8::7",` +
		`"attachment_point":{"kind":"interface-id","address":"2001:db8:7::1","id":"port-7","digest":false,"within":""},` +
		`"start":"2027-01-15T07:59:50Z","changed":"2027-01-15T07:59:55Z","expires":"2027-01-15T08:01:00Z"}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	named := attachment.Parts{Kind: attachment.RemoteID, Address: netip.MustParseAddr("2001:db8:7::1"), Name: []byte("\x00\x00\x0d\xe9line 7")}
	for point, want := range map[string]string{
		string(b.Point):           `"remote_id":"3561:line 7"`,
		string(named.Append(nil)): `"id":"0x00000de96c696e652037","digest":false,"within":""},"remote_id":"3561:line 7","start"`,
	} {
		with := b
		with.Point = []byte(point)
		with.RemoteID = lease.BesidePoint(with.Point, []byte("\x00\x00\x0d\xe9line 7"))
		if got, err := json.Marshal(Of(&with, now)); err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s, %v, want %s", got, err, want)
		}
	}
	for _, c := range []struct {
		state   lease.State
		expires lease.Time
		want    State
	}{
		{lease.Bound, now + 1, Bound}, {lease.Bound, now, Expired}, {lease.Bound, lease.Never, Bound},
		{lease.Released, now, Released}, {lease.Declined, now + 9, Declined}, {lease.Offered, now + 9, Offered},
	} {
		if got := StateOf(&lease.Binding{State: c.state, Expires: c.expires}, now); got != c.want {
			t.Errorf("%v until %d is shown as %s, want %s", c.state, c.expires-now, got, c.want)
		}
	}
}

func TestWhatCannotBeALease(t *testing.T) {
	end := time.Unix(int64(now), 0)
	good := Lease{Address: netip.MustParseAddr("192.0.2.1"), State: Bound, ClientID: "ff:01", Expires: &end}
	if _, err := good.Binding(); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Lease){
		"IPv6":                   func(l *Lease) { l.Address = netip.IPv6Unspecified() },
		"no address":             func(l *Lease) { l.Address = netip.Addr{} },
		"offer":                  func(l *Lease) { l.State = Offered },
		"unknown state":          func(l *Lease) { l.State = "free" },
		"client not hexadecimal": func(l *Lease) { l.ClientID = "ff:0" },
		"client too long":        func(l *Lease) { l.ClientID = strings.Repeat("ab", 256) },
		"nobody":                 func(l *Lease) { l.ClientID = "" },
		"long hardware address":  func(l *Lease) { l.HWAddress = strings.Repeat("ab", 17) },
		"unknown point":          func(l *Lease) { l.Point = &Point{Kind: "port", Address: netip.IPv6Unspecified()} },
		"point without link":     func(l *Lease) { l.Point = &Point{Kind: "direct"} },
		"no Remote-Id":           func(l *Lease) { l.RemoteID = "line-7" },
	} {
		t.Run(name, func(t *testing.T) {
			l := good
			spoil(&l)
			if b, err := l.Binding(); err == nil {
				t.Errorf("is taken for %+v", b)
			}
		})
	}
}

// Files of earlier versions lack the newer columns.
func TestFilesOfEarlierVersionsAreRead(t *testing.T) {
	b := lease.Binding{
		ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.7")}, State: lease.Bound, Client: []byte("\x00\xff\x01"), HWType: 1, Start: now, Changed: now, Expires: now,
		Point: (&attachment.Parts{Kind: attachment.InterfaceID, Address: netip.MustParseAddr("fe80::1"), Name: []byte("port-7"),
			Within: []byte("within"), Count: []byte("x")}).Append(nil),
		RemoteID: []byte("\x00\x00\x0d\xe9line 7"),
	}
	shown := Of(&b, now)
	line := shown.line()
	for n, want := range map[int]func(*Lease){
		len(columns):   func(*Lease) {},
		countedColumns: func(l *Lease) { l.RemoteID = "" },
		withinColumns:  func(l *Lease) { l.RemoteID, l.Point.CountedBy = "", "" },
		oldColumns:     func(l *Lease) { l.RemoteID, l.Point.CountedBy, l.Point.Within = "", "", "" },
	} {
		wanted, lines := Of(&b, now), 0
		want(&wanted)
		err := readCSV(strings.NewReader(strings.Join(columns[:n], ",")+"\n"+strings.Join(line[:n], ",")+"\n"), func(_ int, l *Lease, err error) error {
			if lines++; err != nil || !reflect.DeepEqual(*l, wanted) {
				t.Errorf("%d columns: %v, %+v, want %+v", n, err, l, wanted)
			}
			return nil
		})
		if err != nil || lines != 1 {
			t.Errorf("%d columns: %d lines, %v", n, lines, err)
		}
	}
}

func FuzzReadCSV(f *testing.F) {
	f.Add(strings.Join(columns, ",") + "\n192.0.2.1,1,bound,ff:01,1,,,,,,,2027-01-15T08:00:00Z,2027-01-15T08:00:00Z,never\n")
	f.Add("\"\n,")
	f.Fuzz(func(t *testing.T, text string) {
		_ = readCSV(strings.NewReader(text), func(_ int, l *Lease, err error) error {
			if err == nil {
				readBack(t, l)
			}
			return nil
		})
	})
}

func FuzzReadNDJSON(f *testing.F) {
	f.Add(`{"address":"192.0.2.7","subnet":3,"state":"bound","client_id":"ff:01","attachment_point":{"kind":"direct","address":"::","id":"eth0"},"remote_id":"3561:line 7"}`)
	f.Fuzz(func(t *testing.T, text string) {
		_ = readNDJSON(strings.NewReader(text), func(_ int, l *Lease, err error) error {
			if err == nil {
				readBack(t, l)
			}
			return nil
		})
	})
}

// readBack holds that a lease that was read is shown and read as the same.
func readBack(t *testing.T, l *Lease) {
	b, err := l.Binding()
	if err != nil || b.Start < 0 || b.Start > now || b.Changed < 0 || b.Changed > now || (b.Expires != lease.Never && (b.Expires < 0 || b.Expires > now)) {
		return
	}
	shown := Of(&b, now)
	if again, err := shown.Binding(); err != nil || !same(&again, &b) {
		t.Errorf("%+v\nis read back as\n%+v, %v", b, again, err)
	}
}
