//go:build budget

package radius

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
)

// crowded is a program that keeps accounts of many sessions. Half of them have the User-Name crowd,
// the others the NAS-Port-Id port, and none has both. The first has names of its own.
func crowded(t testing.TB, end func(a netip.Addr)) *Radius {
	r := made(t, func(_ context.Context, a netip.Addr) error {
		end(a)
		return nil
	}, "RADIUS_SERVERS=[::1]:9", "RADIUS_ACCOUNTING_SERVERS=[::1]:9", "RADIUS_DISCONNECT_LISTEN=[::1]:0",
		"RADIUS_DISCONNECT_FROM=192.0.2.0/24")
	for i := range 5000 {
		a := netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
		c := client{user: "crowd", port: "other", mac: fmt.Sprintf("02-00-00-00-%02X-%02X", i>>8, i&255)}
		switch {
		case i == 0:
			c.user, c.port = "alone", "port-7"
		case i%2 == 0:
			c.user, c.port = "others", "port"
		}
		r.sessions.put(session{client: c, address: a, id: sessionOf(a, 1)})
	}
	return r
}

// request is a Disconnect-Request that the server 192.0.2.53 has made.
func request(attributes []byte) []byte {
	b := append([]byte{byte(radius.CodeDisconnectRequest), 7, 0, 0}, make([]byte, 16)...)
	b = append(b, attributes...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	sum := md5.Sum(append(bytes.Clone(b), secret...))
	copy(b[4:], sum[:])
	return b
}

// costly are requests that were made to cost time.
func costly() (all [][]byte) {
	for _, attributes := range [][]byte{
		[]byte("\x01\x07alone"), []byte("\x01\x07crowd"), []byte("\x01\x07crowd\x57\x06port"),
		[]byte("\x01\x07crowd\x57\x08port-7"),
		[]byte("\x1f\x1302-00-00-00-01-01"), []byte("\x57\x06port\x1f\x1302-00-00-00-01-01"),
		[]byte("\x2c\x0c0a000001-1"), []byte("\x08\x06\x0a\x00\x00\x07"),
		[]byte("\x01\x07crowd\x57\x06none"), bytes.Repeat([]byte{33, 2}, 200),
		bytes.Repeat([]byte{33, 3, 1}, 300), bytes.Repeat([]byte{18, 3, 1}, 300),
	} {
		all = append(all, request(attributes))
	}
	return all
}

// resigned is a request with what stands behind the authenticator in b.
func resigned(b []byte) []byte {
	return request(b[min(20, len(b)):min(len(b), radius.MaxPacketLength)])
}

// A Disconnect-Request costs at most twelve units for each of its octets, however many sessions
// there are.
func TestBudgetOfADisconnectRequest(t *testing.T) {
	ended, several := 0, 0
	r := crowded(t, func(netip.Addr) { ended++ })
	budgettest.Hold(t, "disconnect", 12, costly(), func(b []byte) {
		if len(b) < 20 {
			return
		}
		a := r.disconnect(t.Context(), resigned(b), server)
		if a != nil && a.Code == radius.CodeDisconnectNAK {
			several++
		}
	})
	if ended < 4 || several < 3 {
		t.Errorf("%d sessions were ended, %d requests were refused", ended, several)
	}
}

var server = &net.UDPAddr{IP: net.IPv4(192, 0, 2, 53), Port: 1}

// An Access-Accept costs at most four units for each of its octets.
func TestBudgetOfAnAccessAccept(t *testing.T) {
	r := made(t, nil, "RADIUS_SERVERS=[::1]:9")
	classes := 0
	seeds := [][]byte{
		request(bytes.Repeat([]byte{byte(rfc2865.FilterID_Type), 3, 'a'}, 300)),
		request(bytes.Repeat([]byte{byte(rfc2865.Class_Type), 2}, 500)),
		request(bytes.Repeat([]byte{byte(rfc2865.UserName_Type), 3, 'a'}, 300)),
		request([]byte("\x08\x06\xc0\x00\x02\x07")),
	}
	budgettest.Hold(t, "accept", 4, seeds, func(b []byte) {
		budget.Spend(len(b)) // what Parse reads
		if p, err := radius.Parse(resigned(b), []byte(secret)); err == nil {
			classes += len(r.accepted(p).Classes)
		}
	})
	if classes < 300 {
		t.Errorf("only %d classes", classes)
	}
}

// FuzzBudget looks for requests that cost more than TestBudgetOfADisconnectRequest knows.
func FuzzBudget(f *testing.F) {
	for _, b := range costly() {
		f.Add(b)
	}
	r := crowded(f, func(netip.Addr) {})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 20 || len(b) > radius.MaxPacketLength {
			return
		}
		b = resigned(b)
		if n := budget.Of(func() { r.disconnect(t.Context(), b, server) }); n > 12*len(b) {
			t.Fatalf("%d octets cost %d units", len(b), n)
		}
	})
}
