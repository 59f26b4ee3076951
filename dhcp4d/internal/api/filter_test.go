package api

import (
	"crypto/sha256"
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
)

// Leases are found by what is at their attachment point, in any notation.
func TestFilterByPlace(t *testing.T) {
	router, other := netip.MustParseAddr("2001:db8:1::1"), netip.MustParseAddr("2001:db8:2::1")
	long := []byte(strings.Repeat("long", 40))
	sum := sha256.Sum256(long)
	place := func(p attachment.Parts) []byte { return p.Append(nil) }
	nested := place(attachment.Parts{Kind: attachment.InterfaceID, Address: other, Name: []byte("olt-3")})
	f := &fake{}
	for i, point := range [][]byte{
		place(attachment.Parts{Kind: attachment.InterfaceID, Address: router, Name: []byte("port-7")}), // and the Remote-Id 3561:l8
		place(attachment.Parts{Kind: attachment.RemoteID, Address: router, Name: []byte{0, 0, 0x0d, 0xe9, 'l', '7'}}),
		place(attachment.Parts{Kind: attachment.InterfaceID, Address: netip.MustParseAddr("fe80::1"), Name: []byte{0, 0xff}, Within: nested}),
		place(attachment.Parts{Kind: attachment.InterfaceID, Address: other, Name: sum[:], Digest: true}),
		place(attachment.Parts{Kind: attachment.Direct, Address: router, Name: []byte("port-7")}),
		nil,
	} {
		f.all = append(f.all, lease.Binding{
			ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}, Subnet: 1, State: lease.Bound, Client: []byte{lease.KeyIdentifier, 0xff, byte(i)},
			HWType: 1, HWAddr: []byte{2, 0, 0x5e, 0x10, 0, byte(i)}, Point: point, Expires: now + 100,
		})
	}
	f.all[0].RemoteID = []byte{0, 0, 0x0d, 0xe9, 'l', '8'}
	f.all[4].State, f.all[5].Expires = lease.Released, now-1
	for _, c := range []struct{ parameter, value, want string }{
		{"interface_id", "port-7", "0"},
		{"interface_id", "0x706f72742d37", "0"},
		{"interface_id", "0x00-ff", "2"},
		{"interface_id", "olt-3", "2"},
		{"interface_id", string(long), "3"},
		{"interface_id", "l7", ""},
		{"remote_id", "3561:l7", "1"},
		{"remote_id", "3561:0x6c37", "1"},
		{"remote_id", "0x00000de96c37", "1"},
		{"remote_id", "9:l7", ""},
		{"remote_id", "3561:l8", "0"},
		{"remote_id", "3561:0x6c38", "0"},
		{"remote_id", "0x00000de96c38", "0"},
		{"remote_id", "0x00-00-0D-E9-6C-38", "0"},
		{"remote_id", "9:l8", ""},
		{"link_address", "2001:db8:1::1", "01"},
		{"link_address", "2001:db8::/32", "0123"},
		{"link_address", "fe80::/10", "2"},
		{"hw_address", "02:00:5e:10:00:03", "3"},
		{"hw_address", "2:0:5E:10:0:3", "3"},
		{"hw_address", "02-00-5e-10-00-03", "3"},
		{"hw_address", "0200.5e10.0003", "3"},
		{"hw_address", "02005e-100003", "3"},
		{"hw_address", "02005E100003", "3"},
		{"hw_address", "0x02005e100003", "3"},
		{"hw_address", "02 00 5e 10 00 03", "3"},
		{"subnet", "north", "012345"},
		{"subnet", "1", "012345"},
		{"state", "former", "45"},
		{"state", "expired", "5"},
	} {
		t.Run(c.parameter+" "+c.value[:min(20, len(c.value))], func(t *testing.T) {
			w := call(guarded(f), "GET", "/v1/leases?"+url.Values{c.parameter: {c.value}}.Encode(), "")
			var p page
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			got := ""
			for _, l := range p.Leases {
				b := l.Address.As4()
				got += string('0' + b[3])
			}
			if got != c.want {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
	for _, c := range [][2]string{
		{"hw_address", "02:00:5e:10:00:0g"},
		{"hw_address", "02::01"},
		{"hw_address", "2:0:123"},
		{"interface_id", "0xzz"},
		{"remote_id", "l7"},
		{"link_address", "router"},
		{"subnet", "nowhere"},
		{"state", "active"},
	} {
		if w := call(guarded(f), "GET", "/v1/leases?"+url.Values{c[0]: {c[1]}}.Encode(), ""); w.Code != 400 || !strings.Contains(w.Body.String(), c[0]) {
			t.Errorf("%s=%s: %d %s", c[0], c[1], w.Code, w.Body)
		}
	}
}
