package radius

import (
	"net"
	"testing"

	"layeh.com/radius"
	"layeh.com/radius/rfc2869"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// A forged Accept comes before the Reject of the server. It lets nobody in, and the server's answer
// counts.
func TestForgedAnswersLetNobodyIn(t *testing.T) {
	accept := func(p *radius.Packet, secret string, change func(a *radius.Packet)) []byte {
		a := p.Response(radius.CodeAccessAccept)
		a.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
		a.Secret = []byte(secret)
		change(a)
		if a.Get(rfc2869.MessageAuthenticator_Type) != nil {
			if err := authenticate(a, p.Authenticator); err != nil {
				panic(err)
			}
		}
		b, err := a.Encode()
		if err != nil {
			panic(err)
		}
		return b
	}
	same := func(*radius.Packet) {}
	for _, tt := range []struct {
		name   string
		forged func(p *radius.Packet) []byte
		times  int
		from   string // empty: the server's own socket
		want   outside.Answer
	}{
		{"none, and the server's counts", func(p *radius.Packet) []byte { return nil }, 0, "", rejected},
		{"made with another secret", func(p *radius.Packet) []byte { return accept(p, "guess", same) }, 1, "", rejected},
		{"as many as one can send", func(p *radius.Packet) []byte { return accept(p, "guess", same) }, 300, "", rejected},
		{"with another identifier", func(p *radius.Packet) []byte { return accept(p, secret, func(a *radius.Packet) { a.Identifier++ }) }, 1, "", rejected},
		{"for another request", func(p *radius.Packet) []byte {
			other := *p
			other.Authenticator[3] ^= 1
			return accept(&other, secret, same)
		}, 1, "", rejected},
		{"with a bit that was changed on the way", func(p *radius.Packet) []byte {
			b := accept(p, secret, same)
			b[len(b)-1] ^= 1
			return b
		}, 1, "", rejected},
		{"cut off", func(p *radius.Packet) []byte { return accept(p, secret, same)[:19] }, 1, "", rejected},
		{"from another address", func(p *radius.Packet) []byte { return accept(p, secret, same) }, 1, "127.0.0.2:0", rejected},
		{"from another port", func(p *radius.Packet) []byte { return accept(p, secret, same) }, 1, "127.0.0.1:0", rejected},
		// With BlastRADIUS (CVE-2024-3596) the response authenticator is right.
		{"without Message-Authenticator", func(p *radius.Packet) []byte {
			return accept(p, secret, func(a *radius.Packet) { a.Del(rfc2869.MessageAuthenticator_Type) })
		}, 1, "", rejected},
		{"with another Message-Authenticator", func(p *radius.Packet) []byte {
			a := p.Response(radius.CodeAccessAccept)
			a.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
			b, err := a.Encode()
			if err != nil {
				panic(err)
			}
			return b
		}, 1, "", rejected},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = conn.Close() })
			forger := conn
			if tt.from != "" {
				if forger, err = net.ListenPacket("udp", tt.from); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = forger.Close() })
			}
			go func() {
				buf := make([]byte, radius.MaxPacketLength)
				for {
					n, from, err := conn.ReadFrom(buf)
					if err != nil {
						return
					}
					p, err := radius.Parse(buf[:n], []byte(secret))
					if err != nil {
						continue
					}
					for range tt.times {
						_, _ = forger.WriteTo(tt.forged(p), from)
					}
					b, err := signed(p.Response(radius.CodeAccessReject), p).Encode()
					if err == nil {
						_, _ = conn.WriteTo(b, from)
					}
				}
			}()
			r := made(t, nil, "RADIUS_SERVERS="+conn.LocalAddr().String())
			got := r.decide(asked())
			if got.Verdict != tt.want.Verdict || got.Reason != tt.want.Reason {
				t.Errorf("the verdict is %+v, want %+v", got, tt.want)
			}
		})
	}
}

var rejected = outside.Answer{Verdict: outside.Drop, Reason: "rejected"}
