package client

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
)

// TestFollow compares messages and calls, each with its second, with what is expected while the
// server changes.
func TestFollow(t *testing.T) {
	list := func(addrs ...string) []byte {
		b := []byte{}
		for _, a := range addrs {
			b = append(b, netip.MustParseAddr(a).AsSlice()...)
		}
		return b
	}
	for _, test := range []struct {
		name    string
		servers []byte        // nil leaves option 88 out
		refresh uint32        // 0 leaves option 32 out
		bound   time.Duration // shorter than the refresh time
		last    time.Duration
		happens func(w *world) []change
		want    string
	}{
		{"RA-1, D6-33 a day without option 32", list("2001:db8::1"), 0, 0, 200000 * time.Second, nil,
			"0 ask, 0 told [2001:db8::1], 86400 ask, 172801 ask"},
		{"RA-1, D6-33 option 32 says when", list(), 1000, 0, 2500 * time.Second, nil,
			"0 ask, 0 told [ff02::1:2], 1000 ask, 2001 ask"},
		{"RA-1, D6-33 not sooner than ten minutes, whatever option 32 says", list(), 5, 0, 1300 * time.Second, nil,
			"0 ask, 0 told [ff02::1:2], 600 ask, 1201 ask"},
		{"D6-33 infinity is never", list(), 0xffffffff, 0, 1000000 * time.Second, nil, "0 ask, 0 told [ff02::1:2]"},
		{"who asks more often by choice", list(), 0, time.Minute, 100 * time.Second, nil,
			"0 ask, 0 told [ff02::1:2], 60 ask"},
		{"RA-1, Q-13 none when option 88 is gone, and it is still asked for", list("2001:db8::1"), 1000, 0, 3500 * time.Second,
			func(w *world) []change {
				return []change{after(500*time.Second, func() { w.servers = nil }), after(2500*time.Second, func() { w.servers = list("2001:db8::2") })}
			},
			"0 ask, 0 told [2001:db8::1], 1000 ask, 1000 told [], 2001 ask, 3001 ask, 3001 told [2001:db8::2]"},
		{"Q-12 none at first, and it is asked for", nil, 1000, 0, 1500 * time.Second, nil, "0 ask, 0 told [], 1000 ask"},
		{"RA-1 a refresh that nobody answers changes nothing and is repeated", list(), 1000, 0, 1100 * time.Second,
			func(w *world) []change {
				return []change{after(time.Second, func() { w.dumb = true }), after(1010*time.Second, func() { w.dumb = false })}
			},
			"0 ask, 0 told [ff02::1:2], 1000 ask, 1001 ask, 1003 ask, 1007 ask, 1015 ask"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &world{t: t, start: time.Now(), servers: test.servers}
				answer := func(b []byte) [][]byte {
					w.mu.Lock()
					defer w.mu.Unlock()
					w.note("ask")
					if w.dumb {
						return nil
					}
					replies := informer(t, &w.servers)(b)
					if test.refresh > 0 {
						replies[0] = append(replies[0], 0, byte(dhcpv6.OptionInformationRefreshTime), 0, 4)
						replies[0] = binary.BigEndian.AppendUint32(replies[0], test.refresh)
					}
					return replies
				}
				ctx, cancel := context.WithTimeout(t.Context(), test.last)
				defer cancel()
				if test.happens != nil {
					for _, c := range test.happens(w) {
						go func() {
							time.Sleep(c.after)
							w.mu.Lock()
							defer w.mu.Unlock()
							c.change()
						}()
					}
				}
				c := newClient(t, &script{serve: answer}, Options{Servers: []netip.Addr{}, Retransmit: exact})
				if err := c.Follow(ctx, test.bound, func(a []netip.Addr) { w.note("told %s", fmt.Sprint(a)) }); err != nil {
					t.Error(err)
				}
				if got := strings.Join(w.log, ", "); got != test.want {
					t.Errorf("got  %s\nwant %s", got, test.want)
				}
			})
		})
	}
}
