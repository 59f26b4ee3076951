package radius

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
)

// FuzzDisconnect: a request with the right secret and any attributes ends at most one lease, and
// only with an ACK. The answer can be sent, and returns what proxies have added. A request with
// another secret gets nothing.
func FuzzDisconnect(f *testing.F) {
	f.Add(byte(radius.CodeDisconnectRequest), []byte("\x01\x08port-7"))
	f.Add(byte(radius.CodeDisconnectRequest), []byte("\x08\x06\xc0\x00\x02\x07\x21\x05one\x21\x05two"))
	f.Add(byte(radius.CodeDisconnectRequest), []byte("\x08\x06\xc0\x00\x02\x07\x08\x06\xc0\x00\x02\x08"))
	f.Add(byte(radius.CodeDisconnectRequest), []byte("\x01\x02\x37\x03\x00\x50\x02"))
	f.Add(byte(radius.CodeCoARequest), []byte("\x01\x03a"))
	f.Add(byte(radius.CodeDisconnectRequest), bytes.Repeat([]byte{33, 2}, 2038))
	var ended []netip.Addr
	r := made(f, func(_ context.Context, a netip.Addr) error {
		ended = append(ended, a)
		return nil
	}, "RADIUS_SERVERS=[::1]:9", "RADIUS_ACCOUNTING_SERVERS=[::1]:9", "RADIUS_DISCONNECT_LISTEN=[::1]:0", "RADIUS_DISCONNECT_FROM=192.0.2.0/24")
	f.Fuzz(func(t *testing.T, code byte, attributes []byte) {
		ended = nil
		server := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 53), Port: 1}
		request := func(secret string) []byte {
			b := append([]byte{code, 7, 0, 0}, make([]byte, 16)...)
			b = append(b, attributes...)
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			sum := md5.Sum(append(bytes.Clone(b), secret...))
			copy(b[4:], sum[:])
			return b
		}
		if a := r.disconnect(t.Context(), request("another"), server); a != nil || len(ended) > 0 {
			t.Fatalf("a forged request gets %+v, and ends %v", a, ended)
		}
		b := request(secret)
		a := r.disconnect(t.Context(), b, server)
		if a == nil {
			if len(ended) > 0 {
				t.Fatalf("no answer, and it ends %v", ended)
			}
			return
		}
		if len(ended) > 1 || (len(ended) == 1) != (a.Code == radius.CodeDisconnectACK) {
			t.Fatalf("%v, and it ends %v", a.Code, ended)
		}
		answer, err := a.Encode()
		if err != nil || !radius.IsAuthenticResponse(answer, b, []byte(secret)) {
			t.Fatalf("the answer %x: %v", answer, err)
		}
		asked, err := radius.Parse(b, []byte(secret))
		if err != nil {
			t.Fatalf("it is answered, and is %v", err)
		}
		want, _ := rfc2865.ProxyState_Gets(asked)
		if got, _ := rfc2865.ProxyState_Gets(a); len(got) != len(want) || !bytes.Equal(bytes.Join(got, []byte{0}), bytes.Join(want, []byte{0})) {
			t.Fatalf("%x of proxies come back as %x", want, got)
		}
	})
}
