package leasefile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
)

const document = `
- {id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.250], match: [{interface: eth0}], reservations: [{client-id: "ff:aa", address: 192.0.2.5}]}
- {id: 2, subnet: 10.0.0.0/8, pools: [10.0.0.10-10.200.0.0], match: [{interface: eth1}]}
`

func subnets(t testing.TB) *network.Subnets {
	t.Helper()
	s, err := config.ParseSubnets([]byte(document), config.Defaults{Authoritative: true, LeaseTime: 3600, OfferHold: 60, DeclineTime: 3600})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// at is a clock that stands still.
func at(now lease.Time) *clock.Clock {
	return clock.New(clocktest.NewMachine(time.Unix(int64(now), 0)))
}

// file writes a file to import.
func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// held is what a store holds, an address and its state and end a line.
func held(t testing.TB, s store.Store) map[string]lease.Binding {
	t.Helper()
	all := map[string]lease.Binding{}
	_, err := s.Load(func(b *lease.Binding) error {
		var own lease.Batch
		own.Add(b)
		all[b.Addr.String()] = own.Records[0]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// keaLine is a line of a lease file, bound for an hour.
func keaLine(address, client string, subnet, state int) string {
	return fmt.Sprintf("%s,02:00:00:00:00:01,%s,3600,%d,%d,0,0,,%d,\n", address, client, int(now)+1800, subnet, state)
}

func TestImportOfKea(t *testing.T) {
	path := file(t, "kea-leases4.csv", keaHeader+"\n"+
		keaLine("192.0.2.10", "ff:01", 1, 0)+
		keaLine("192.0.2.11", "ff:02", 1, 0)+
		keaLine("192.0.2.11", "ff:03", 1, 0)+ // instead of the one before
		keaLine("192.0.2.12", "", 1, 1)+ // declined
		keaLine("192.0.2.13", "ff:04", 1, 2)+ // reclaimed
		keaLine("192.0.2.14", "ff:05", 1, 3)+ // released
		fmt.Sprintf("192.0.2.15,02:00:00:00:00:01,,3600,%d,1,0,0,,0,\n", now)+ // ended just now
		fmt.Sprintf("192.0.2.10,02:00:00:00:00:01,,0,%d,1,0,0,,0,\n", now)+ // taken away
		keaLine("198.51.100.1", "ff:06", 1, 0)+ // no subnet
		keaLine("192.0.2.5", "ff:aa", 1, 0)+ // reserved
		keaLine("192.0.2.6", "ff:07", 1, 0)+ // outside the pools
		"192.0.2.16,02:00\n"+
		keaLine("10.0.0.10", "", 77, 0)) // by hardware address, another id
	s := store.NewMemory()
	p, err := Import([]string{path}, s, ImportOptions{Subnets: subnets(t), Clock: at(now)})
	if err != nil {
		t.Fatal(err)
	}
	want := [reasons]int{Malformed: 1, Overridden: 2, Deleted: 1, Ended: 2, WasReleased: 1, Unsubnetted: 1, Outside: 1}
	if p.Counts != want || p.Imported != 5 || p.Lines != 13 {
		t.Errorf("%d of %d lines imported, %v, want %v", p.Imported, p.Lines, p.Counts, want)
	}
	if x := p.Examples[Malformed]; len(x) != 1 || x[0].Where != path+" line 13" || x[0].What != "has 2 fields, the header 11" {
		t.Errorf("the line that cannot be read: %v", x)
	}
	all := held(t, s)
	for addr, want := range map[string]string{
		"192.0.2.11": "1 bound 00ff03", "192.0.2.12": "1 declined 0101020000000001", "192.0.2.5": "1 bound 00ffaa",
		"192.0.2.6": "1 bound 00ff07", "10.0.0.10": "2 bound 0101020000000001",
	} {
		b := all[addr]
		if got := fmt.Sprintf("%d %v %x", b.Subnet, b.State, b.Client); got != want || b.Expires != now+1800 || b.Changed != now-1800 || len(b.Point) != 0 {
			t.Errorf("%s is %s until %d since %d, want %s", addr, got, b.Expires-now, b.Changed-now, want)
		}
	}
	if len(all) != 5 {
		t.Errorf("%d leases in the store", len(all))
	}
	t.Run("again changes nothing", func(t *testing.T) {
		p, err := Import([]string{path}, s, ImportOptions{Subnets: subnets(t), Clock: at(now)})
		if err != nil || p.Imported != 0 || p.Counts[Present] != 5 {
			t.Errorf("%v: %d imported, %v", err, p.Imported, p.Counts)
		}
	})
	t.Run("by id the other subnet is not guessed", func(t *testing.T) {
		s := store.NewMemory()
		p, err := Import([]string{path}, s, ImportOptions{Subnets: subnets(t), ByID: true, Clock: at(now)})
		if err != nil || p.Imported != 4 || p.Counts[WrongSubnet] != 2 {
			t.Errorf("%v: %d imported, %v", err, p.Imported, p.Counts)
		}
	})
	t.Run("a dry run tells the same and writes nothing", func(t *testing.T) {
		s := store.NewMemory()
		p, err := Import([]string{path}, s, ImportOptions{Subnets: subnets(t), DryRun: true, Clock: at(now)})
		if err != nil || p.Imported != 5 || p.Counts != want || len(held(t, s)) != 0 {
			t.Errorf("%v: %d imported, %v, %d in the store", err, p.Imported, p.Counts, len(held(t, s)))
		}
	})
}

func TestImportReadsWhatACompactionLeft(t *testing.T) {
	path := file(t, "kea-leases4.csv", keaHeader+"\n"+keaLine("192.0.2.10", "ff:03", 1, 0))
	for suffix, text := range map[string]string{".2": keaLine("192.0.2.10", "ff:01", 1, 0) + keaLine("192.0.2.11", "ff:11", 1, 0), ".1": keaLine("192.0.2.10", "ff:02", 1, 0)} {
		if err := os.WriteFile(path+suffix, []byte(keaHeader+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := store.NewMemory()
	p, err := Import([]string{path}, s, ImportOptions{Subnets: subnets(t), Clock: at(now)})
	all := held(t, s)
	if err != nil || p.Imported != 2 || len(p.Files) != 3 || string(all["192.0.2.10"].Client) != "\x00\xff\x03" {
		t.Errorf("%v: %+v, %v", err, p, all)
	}
}

func TestImportRespectsWhatTheStoreHas(t *testing.T) {
	has := func(addr string, client byte, state lease.State, changed, expires lease.Time) lease.Binding {
		return lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr(addr)}, Subnet: 1, State: state, Client: []byte{0, 0xff, client}, Changed: changed, Expires: expires, Start: changed}
	}
	s := store.NewMemory()
	if _, err := s.Commit([]lease.Binding{
		has("192.0.2.10", 9, lease.Bound, now-100, now+100),    // another client's
		has("192.0.2.11", 9, lease.Bound, now-9000, now-100),   // another client's, ended
		has("192.0.2.12", 3, lease.Bound, now-10, now+100),     // renewed here since
		has("192.0.2.13", 4, lease.Bound, now-9000, now-5000),  // older than the file
		has("192.0.2.20", 5, lease.Bound, now-100, now+100),    // where client 5 is now
		has("192.0.2.15", 9, lease.Released, now-100, now-100), // free
	}); err != nil {
		t.Fatal(err)
	}
	path := file(t, "k.csv", keaHeader+"\n"+keaLine("192.0.2.10", "ff:01", 1, 0)+keaLine("192.0.2.11", "ff:02", 1, 0)+keaLine("192.0.2.12", "ff:03", 1, 0)+
		keaLine("192.0.2.13", "ff:04", 1, 0)+keaLine("192.0.2.14", "ff:05", 1, 0)+keaLine("192.0.2.15", "ff:06", 1, 0))
	p, err := Import([]string{path}, s, ImportOptions{Subnets: subnets(t), Clock: at(now)})
	want := [reasons]int{TakenByOther: 1, Present: 1, HasOther: 1}
	if err != nil || p.Counts != want || p.Imported != 3 {
		t.Fatalf("%v: %d imported, %v, want %v", err, p.Imported, p.Counts, want)
	}
	all := held(t, s)
	for addr, client := range map[string]byte{"192.0.2.10": 9, "192.0.2.11": 2, "192.0.2.12": 3, "192.0.2.13": 4, "192.0.2.15": 6, "192.0.2.20": 5} {
		if got := all[addr].Client; len(got) != 3 || got[2] != client {
			t.Errorf("%s is of %x, want ff%02x", addr, got, client)
		}
	}
}

func TestImportOfOurOwnExport(t *testing.T) {
	var all []lease.Binding
	for i, state := range []lease.State{lease.Bound, lease.Released, lease.Declined, lease.Bound} {
		all = append(all, lease.Binding{
			ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(20 + i)})}, Subnet: 1, State: state, Client: []byte{0, 0xff, byte(i)}, HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, byte(i)},
			Point: (&attachment.Parts{Kind: attachment.Direct, Address: netip.MustParseAddr("fe80::1"), Name: []byte("eth0"), Server: []byte("east")}).Append(nil), Source: netip.MustParseAddr("fe80::1"),
			Start: now - 100, Changed: now - 50, Expires: now + lease.Time(i-1)*100,
		})
	}
	for _, format := range []Format{CSV, NDJSON} {
		t.Run(string(format), func(t *testing.T) {
			var text bytes.Buffer
			w, err := NewWriter(&text, format)
			if err != nil {
				t.Fatal(err)
			}
			for i := range all {
				l := Of(&all[i], now)
				w.Write(&l)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			s := store.NewMemory()
			p, err := Import([]string{file(t, "export", text.String())}, s, ImportOptions{Subnets: subnets(t), Clock: at(now)})
			if err != nil || p.Imported != len(all) {
				t.Fatalf("%v: %+v", err, p)
			}
			back := held(t, s)
			for _, want := range all {
				if got := back[want.Addr.String()]; fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("got  %v\nwant %v", got, want)
				}
			}
		})
	}
}

// A file says nothing of ports. A lease of a part of an address must not become one of the whole.
func TestExportOfASharedAddress(t *testing.T) {
	shared := lease.Binding{
		ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.20"), Ports: 7}, Subnet: 1, State: lease.Bound,
		Client: []byte{lease.KeyIdentifier, 0xff, 1}, HWType: 1, Start: now, Changed: now, Expires: now + 100,
	}
	s := store.NewMemory()
	if _, err := s.Commit([]lease.Binding{shared}); err != nil {
		t.Fatal(err)
	}
	err := Export(io.Discard, CSV, s, at(now))
	if err == nil || !strings.Contains(err.Error(), "exporting the lease of 192.0.2.20: shared addresses") {
		t.Error(err)
	}
}

// breaking is a store whose disk fills after some commits.
type breaking struct {
	store.Store
	left int
}

var errFull = errors.New("no space left on device")

func (b *breaking) Commit(records []lease.Binding) ([]store.Refusal, error) {
	if b.left--; b.left < 0 {
		return nil, errFull
	}
	return b.Store.Commit(records)
}

func many(n int) string {
	var text strings.Builder
	text.WriteString(keaHeader + "\n")
	for i := range n {
		text.WriteString(keaLine(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}).String(), fmt.Sprintf("ff:%02x:%02x:%02x", byte(i>>16), byte(i>>8), byte(i)), 2, 0))
	}
	return text.String()
}

func TestAnImportThatFailsHalfWayIsRepeated(t *testing.T) {
	path := file(t, "k.csv", many(2*writeStep+5))
	s := store.NewMemory()
	_, err := Import([]string{path}, &breaking{s, 1}, ImportOptions{Subnets: subnets(t), Clock: at(now)})
	if !errors.Is(err, errFull) || !strings.Contains(err.Error(), "after 10000 of 20005 leases") || len(held(t, s)) != writeStep {
		t.Fatalf("%v, %d leases", err, len(held(t, s)))
	}
	var progress []string
	p, err := Import([]string{path}, s, ImportOptions{Subnets: subnets(t), Clock: at(now), Progress: func(step string, done, all int) {
		progress = append(progress, fmt.Sprint(step, " ", done, "/", all))
	}})
	if err != nil || p.Imported != writeStep+5 || p.Counts[Present] != writeStep || len(held(t, s)) != 2*writeStep+5 {
		t.Errorf("%v: %+v", err, p)
	}
	if strings.Join(progress, ", ") != "write 10000/10005, write 10005/10005" {
		t.Errorf("progress: %q", progress)
	}
}

func TestWhatCannotBeReadChangesNothing(t *testing.T) {
	good := file(t, "k.csv", keaHeader+"\n"+keaLine("192.0.2.10", "ff:01", 1, 0))
	for name, bad := range map[string]string{
		"another file":       file(t, "x", "a,b,c\n"),
		"empty":              file(t, "x", ""),
		"missing":            filepath.Join(t.TempDir(), "none"),
		"a directory":        t.TempDir(),
		"a line without end": file(t, "x", keaHeader+"\n"+strings.Repeat("x", 2<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			s := store.NewMemory()
			if _, err := Import([]string{good, bad}, s, ImportOptions{Subnets: subnets(t), Clock: at(now)}); err == nil || !strings.Contains(err.Error(), bad) {
				t.Errorf("error %v", err)
			}
			if n := len(held(t, s)); n != 0 {
				t.Errorf("%d leases in the store", n)
			}
		})
	}
}

func BenchmarkImport(b *testing.B) {
	path := file(b, "k.csv", many(1_000_000))
	for b.Loop() {
		s, err := engine.Open("pebble:"+b.TempDir(), engine.Options{Log: slog.New(slog.DiscardHandler), Now: func() lease.Time { return now }})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := Import([]string{path}, s, ImportOptions{Subnets: subnets(b), Clock: at(now)}); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
