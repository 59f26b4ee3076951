package leasefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

const (
	keaHeader   = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname,state,user_context"
	keaHeader30 = keaHeader + ",pool_id"
	keaHeader10 = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,fqdn_rev,hostname"
)

func TestLines(t *testing.T) {
	for _, c := range []struct{ name, keaHeader, line, want string }{
		{"active", keaHeader, "192.0.2.10,02:00:00:00:00:01,ff:00:01,3600,1800003600,1,0,0,,0,", "192.0.2.10 subnet 1 client ff0001 hw 020000000001 state 0 1800000000-1800003600"},
		{"of Kea 3", keaHeader30, "192.0.2.10,02:00:00:00:00:01,,3600,1800003600,7,0,0,host&#x2cname,0,{ \"a\": 1&#x2c \"b\": 2 },0", "192.0.2.10 subnet 7 client  hw 020000000001 state 0 1800000000-1800003600"},
		{"of Kea 1.0, without state", keaHeader10, "192.0.2.10,02:00:00:00:00:01,,3600,1800003600,7,0,0,", "192.0.2.10 subnet 7 client  hw 020000000001 state 0 1800000000-1800003600"},
		{"short line of an older Kea", keaHeader30, "192.0.2.10,02:00:00:00:00:01,,3600,1800003600,7,0,0,", "192.0.2.10 subnet 7 client  hw 020000000001 state 0 1800000000-1800003600"},
		{"declined has lost its client", keaHeader, "192.0.2.11,,,86400,1800086400,1,0,0,,1,", "192.0.2.11 subnet 1 client  hw  state 1 1800000000-1800086400"},
		{"reclaimed", keaHeader, "192.0.2.11,02:00:00:00:00:01,,3600,1800003600,1,0,0,,2,", "192.0.2.11 subnet 1 client  hw 020000000001 state 2 1800000000-1800003600"},
		{"released", keaHeader, "192.0.2.11,02:00:00:00:00:01,,3600,1800003600,1,0,0,,3,", "192.0.2.11 subnet 1 client  hw 020000000001 state 3 1800000000-1800003600"},
		{"a lifetime of zero takes it away", keaHeader, "192.0.2.11,02:00:00:00:00:01,,0,1800003600,1,0,0,,0,", "192.0.2.11 subnet 1 client  hw 020000000001 state 4 1800003600-1800003600"},
		{"infinite", keaHeader, "192.0.2.11,02:00:00:00:00:01,,4294967295,6094967295,1,0,0,,0,", fmt.Sprintf("192.0.2.11 subnet 1 client  hw 020000000001 state 0 1800000000-%d", lease.Never)},
		{"IPv6", keaHeader, "2001:db8::1,02:00:00:00:00:01,,3600,1800003600,1,0,0,,0,", `"2001:db8::1" is no IPv4 address`},
		{"no address", keaHeader, ",02:00:00:00:00:01,,3600,1800003600,1,0,0,,0,", `"" is no IPv4 address`},
		{"cut short", keaHeader, "192.0.2.10,02:00:00", "has 2 fields, the header 11"},
		{"too many fields", keaHeader, strings.Repeat(",", 11), "has 12 fields, the header 11"},
		{"client identifier not hexadecimal", keaHeader, "192.0.2.10,,zz,3600,1800003600,1,0,0,,0,", `client_id: "zz" is not octets in hexadecimal`},
		{"lifetime not a number", keaHeader, "192.0.2.10,,,-1,1800003600,1,0,0,,0,", `valid_lifetime "-1" is not a number`},
		{"unknown state", keaHeader, "192.0.2.10,,,3600,1800003600,1,0,0,,9,", `state "9" is not a number up to 3`},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := 0
			err := readKea(strings.NewReader(c.keaHeader+"\n"+c.line+"\n\n"), func(line int, l *keaLease, err error) error {
				n++
				got := fmt.Sprintf("%v subnet %d client %x hw %x state %d %d-%d", l.Address, l.SubnetID, l.ClientID, l.HWAddr, l.State, l.Changed, l.Expires)
				if err != nil {
					got = err.Error()
				}
				if line != 2 || !strings.HasPrefix(got, c.want) {
					t.Errorf("line %d: got %s\nwant %s", line, got, c.want)
				}
				return nil
			})
			if err != nil || n != 1 {
				t.Errorf("%d lines: %v", n, err)
			}
		})
	}
	t.Run("another file", func(t *testing.T) {
		for _, text := range []string{"address,duid\n", "{}", "address,hwaddr,client_id\n"} {
			err := readKea(strings.NewReader(text), func(int, *keaLease, error) error { return nil })
			if err == nil || !strings.Contains(err.Error(), "no lease file of kea-dhcp4") {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

func TestFilesOfACompaction(t *testing.T) {
	for _, c := range []struct{ name, there, want string }{
		{"none", "", ""},
		{"the file alone", ".", "."},
		{"compacted before", ". .2", ".2 ."},
		{"stopped while compacting", ". .1 .2 .output", ".2 .1 ."},
		{"stopped between two renames", ". .1 .2 .completed", ".completed ."},
		{"before the new file was begun", ".1 .2", ".2 .1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "leases.csv")
			for suffix := range strings.FieldsSeq(c.there) {
				if err := os.WriteFile(path+strings.TrimSuffix(suffix, "."), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			files, err := keaFiles(path)
			var got []string
			for _, f := range files {
				got = append(got, "."+strings.TrimPrefix(strings.TrimPrefix(f, path), "."))
			}
			if strings.Join(got, " ") != c.want || errors.Is(err, fs.ErrNotExist) != (c.want == "") {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
		})
	}
}

func FuzzReadKea(f *testing.F) {
	f.Add(keaHeader + "\n192.0.2.10,02:00:00:00:00:01,ff:00:01,3600,1800003600,1,0,0,,0,\n")
	f.Add(keaHeader30 + "\n192.0.2.11,,,4294967295,6094967295,1,0,0,,1,,0\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		_ = readKea(strings.NewReader(text), func(_ int, l *keaLease, err error) error {
			if err != nil {
				return nil //nolint:nilerr // a line that cannot be read does not end the reading
			}
			if b, err := l.binding(); err == nil && (!b.Addr.Is4() || len(b.Client) == 0 || b.Changed < 0) {
				t.Errorf("%+v", b)
			}
			return nil
		})
	})
}
