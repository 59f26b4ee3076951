package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
)

// reserving returns a document with a subnet that names a file of reservations.
func reserving(t testing.TB, subnet, content string) (doc, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "reservations.csv")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("[{id: 1, subnet: %s, match: [], reservations-file: %s, reservations: [{client-id: '01:02', address: 10.0.0.2}]}]", subnet, path), path
}

func TestD4_88ReservationsFile(t *testing.T) {
	t.Run("sound", func(t *testing.T) {
		doc, _ := reserving(t, "10.0.0.0/24", `address,hw-address,client-id,lease-time,boot-file-name
# a comment
10.0.0.9, 02:00:00:00:00:09,,5m,"a, b"
10.0.0.8,,ff:01,,
`)
		s := mustParse(t, doc).ByID(1)
		if n := len(s.Reservations.All()); n != 3 {
			t.Fatalf("%d reservations", n)
		}
		nine := s.Reservations.Of(&network.Identity{HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, 9}}, nil)
		if nine == nil || nine.Addr != addr("10.0.0.9") || nine.Times.Default != 300 || string(nine.BootFileName) != "a, b" {
			t.Errorf("%+v", nine)
		}
		if eight := s.Reservations.Of(&network.Identity{ClientID: []byte{0xff, 1}}, nil); eight == nil ||
			eight.Addr != addr("10.0.0.8") || eight.Times.Default != 0 {
			t.Errorf("%+v", eight)
		}
	})
	for _, c := range []struct{ name, content, want string }{
		{"empty", "", "is no list of reservations: EOF"},
		{"an unknown column", "address,mac\n", `"mac" can be no column`},
		{"a column twice", "address,address\n", "the column address is there twice"},
		{"a value too many", "address,hw-address\n10.0.0.9,02:00,1\n", "record on line 2: wrong number of fields"},
		{"no address", "address,hw-address\n,02:00:00:00:00:09\n", "line 2: gives its client nothing; give it an address, pools, or options"},
		{"no client", "address,hw-address\n10.0.0.9,\n", "line 2: must name its client in one way"},
		{"a wrong address", "address,hw-address\n10.0.0,02:00:00:00:00:09\n", `line 2: address: "10.0.0" is no IPv4 address`},
		{"an address twice", "address,hw-address\n10.0.0.9,02:00\n10.0.0.9,02:01\n", "line 3: address: 10.0.0.9 is reserved already in line 2 of its file"},
		{"an address of the document", "address,hw-address\n10.0.0.2,02:00\n", "line 2: address: 10.0.0.2 is reserved already in line 1"},
		{"a client twice", "address,hw-address\n10.0.0.9,02:00\n10.0.0.8,02:00\n", "line 3: the same client or attachment point has a reservation already in line 2 of its file"},
		{"outside the subnet", "address,hw-address\n10.0.1.9,02:00\n", "10.0.1.9 is not in the subnet 10.0.0.0/24"},
		{"many mistakes", "address,hw-address\n" + strings.Repeat(",02:00\n", 30), "has more mistakes than 20"},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc, _ := reserving(t, "10.0.0.0/24", c.content)
			_, err := ParseSubnets([]byte(doc), defaults)
			if err == nil || !strings.Contains(err.Error(), c.want) ||
				!strings.Contains(err.Error(), "line 1, column 61: subnets[0].reservations-file: ") {
				t.Errorf("%v\nwant %s", err, c.want)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		doc, path := reserving(t, "10.0.0.0/24", "")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if _, err := ParseSubnets([]byte(doc), defaults); err == nil || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("%v", err)
		}
	})
}

// manyReservations returns a file of n reservations by hardware address.
func manyReservations(n int) string {
	var b strings.Builder
	b.WriteString("address,hw-address\n")
	a := netip.MustParseAddr("10.1.0.0")
	for i := range n {
		fmt.Fprintf(&b, "%v,02:00:%02x:%02x:%02x:%02x\n", a, byte(i>>24), byte(i>>16), byte(i>>8), byte(i))
		a = a.Next()
	}
	return b.String()
}

func BenchmarkReservationsFile(b *testing.B) {
	doc, _ := reserving(b, "10.0.0.0/8", manyReservations(100_000))
	for b.Loop() {
		if s, err := ParseSubnets([]byte(doc), defaults); err != nil || len(s.All[0].Reservations.All()) != 100_001 {
			b.Fatal(err)
		}
	}
}

// BenchmarkReservationOf measures finding a client's reservation among few and among many.
func BenchmarkReservationOf(b *testing.B) {
	for _, n := range []int{10, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			doc, _ := reserving(b, "10.0.0.0/8", manyReservations(n))
			s := mustParse(b, doc).ByID(1)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				k := i % n
				if s.Reservations.Of(&network.Identity{HWType: 1, HWAddr: []byte{2, 0, byte(k >> 24), byte(k >> 16), byte(k >> 8), byte(k)}}, nil) == nil {
					b.Fatal(k)
				}
			}
		})
	}
}

// FuzzReservationsFile: a file is taken with what it holds, or its mistakes have words.
func FuzzReservationsFile(f *testing.F) {
	f.Add("address,hw-address,client-id,lease-time\n10.0.0.9,02:00:00:00:00:09,,5m\n10.0.0.8,,ff:01,\n")
	f.Add("address,hw-address\n\"10.0.0.9\n")
	f.Add("address,address\n#\n")
	f.Add("interface-id,class,flex-id\n'port',a,0x01\n")
	f.Fuzz(func(t *testing.T, content string) {
		doc, _ := reserving(t, "10.0.0.0/24", content)
		s, err := ParseSubnets([]byte(doc), defaults)
		if (err == nil) == (s == nil) || (err != nil && err.Error() == "") {
			t.Fatal(s, err)
		}
		if err == nil {
			for i := range s.All {
				checkInvariants(t, s, &s.All[i])
			}
		}
	})
}
