package radius

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RADIUS has no other
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2869"
)

// last is how long a server that has not answered is asked after the others.
const last = 30 * time.Second

// servers are RADIUS servers of one kind, in the order of the configuration.
type servers struct {
	config Config

	mu     sync.Mutex
	list   []string
	silent map[string]time.Time // when a server did not answer
}

func newServers(c Config, list []string) *servers {
	return &servers{config: c, list: list, silent: map[string]time.Time{}}
}

// order returns the servers in the order in which they are asked. When a server has been silent for
// a while, one request asks it first, and the others do not wait to see whether it answers.
func (s *servers) order(now time.Time) (order []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var later []string
	for _, server := range s.list {
		then, ok := s.silent[server]
		if ok && now.Sub(then) < last {
			later = append(later, server)
			continue
		}
		if ok {
			s.silent[server] = now
		}
		order = append(order, server)
	}
	return append(order, later...)
}

// exchange sends a request to one server after the other, until one answers.
func (s *servers) exchange(ctx context.Context, p *radius.Packet, access bool) (*radius.Packet, error) {
	var all error
	for _, server := range s.order(time.Now()) {
		answer, err := s.ask(ctx, p, server, access)
		s.mu.Lock()
		if err == nil {
			delete(s.silent, server)
		} else if ctx.Err() == nil {
			s.silent[server] = time.Now()
		}
		s.mu.Unlock()
		if err == nil {
			return answer, nil
		}
		all = errors.Join(all, fmt.Errorf("%s: %w", server, err))
	}
	return nil, all
}

var errNotOurs = errors.New("an answer is not made with the secret, or is to another request (RADIUS_SECRET)")

var errUnauthenticated = errors.New("the answer has no valid Message-Authenticator (RADIUS_MESSAGE_AUTHENTICATOR)")

// ask sends a request to one server, again and again until the server answers.
func (s *servers) ask(ctx context.Context, p *radius.Packet, server string, access bool) (*radius.Packet, error) {
	if access {
		if err := authenticate(p, p.Authenticator); err != nil {
			return nil, err
		}
	}
	wire, err := p.Encode()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", server) // takes datagrams from this server only
	if err != nil {
		return nil, err
	}
	defer conn.Close()                                          //nolint:errcheck // nothing waits in it
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })() // ends a read
	var wrong error
	buf := make([]byte, radius.MaxPacketLength)
	for {
		_, _ = conn.Write(wire) // if it fails, the read says so, or the time is over
		_ = conn.SetReadDeadline(time.Now().Add(s.config.Timeout * 2 / 5))
		for {
			n, err := conn.Read(buf)
			if ctx.Err() != nil {
				return nil, cmp.Or(wrong, ctx.Err())
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				return nil, err
			}
			answer, err := s.check(buf[:n], wire, p, access)
			if err == nil {
				return answer, nil
			}
			wrong = err
		}
	}
}

// check returns the answer to a request. One that may be forged is no answer: the server's own may
// still come (RFC 2865 section 3, RFC 2869 section 5.14).
func (s *servers) check(octets, request []byte, p *radius.Packet, access bool) (*radius.Packet, error) {
	answer, err := radius.Parse(octets, p.Secret)
	if err != nil {
		return nil, err
	}
	if answer.Identifier != p.Identifier || !radius.IsAuthenticResponse(octets, request, p.Secret) {
		return nil, errNotOurs
	}
	if !access && answer.Code != radius.CodeAccountingResponse {
		return nil, fmt.Errorf("the answer is %v", answer.Code)
	}
	if access {
		if there, valid := authentic(answer, p.Authenticator); !valid && (there || s.config.MessageAuthenticator) {
			return nil, errUnauthenticated
		}
	}
	return answer, nil
}

// authenticate sets the Message-Authenticator of a packet, which has the attribute already (RFC
// 2869 section 5.14). The authenticator is that of the request.
func authenticate(p *radius.Packet, authenticator [16]byte) error {
	mac := p.Get(rfc2869.MessageAuthenticator_Type)
	clear(mac)
	sum, err := messageAuthenticator(p, authenticator)
	copy(mac, sum)
	return err
}

// authentic reports whether a packet has a Message-Authenticator, and whether it is valid. The
// authenticator is that of the request.
func authentic(p *radius.Packet, authenticator [16]byte) (there, valid bool) {
	mac, there := p.Lookup(rfc2869.MessageAuthenticator_Type)
	if !there || len(mac) != md5.Size {
		return there, false
	}
	said := append([]byte(nil), mac...)
	clear(mac)
	sum, err := messageAuthenticator(p, authenticator)
	copy(mac, said)
	return true, err == nil && hmac.Equal(sum, said)
}

// messageAuthenticator computes it over a packet whose attribute is zeros.
func messageAuthenticator(p *radius.Packet, authenticator [16]byte) ([]byte, error) {
	b, err := p.MarshalBinary()
	if err != nil {
		return nil, err
	}
	copy(b[4:20], authenticator[:])
	h := hmac.New(md5.New, p.Secret)
	_, _ = h.Write(b) // never fails
	return h.Sum(nil), nil
}
