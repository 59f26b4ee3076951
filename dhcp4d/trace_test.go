package main

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// The command trace follows a client through a running dhcp4d: a lease from the OFFER to the disk,
// and why the client then gets nothing.
func TestTrace(t *testing.T) {
	const token = "DHCP4D_API_TOKEN=s3cret-s3cret-s3cret"
	api := freePort(t)
	s := newSite(t, token, "DHCP4D_API_LISTEN="+api)
	var out, said output
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"trace", "-api", "http://" + api, "-hw-address", "02-00-00-00-00-07", "-packets"}, []string{token}, &out, &said)
	}()
	shows := func(parts ...string) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			text, missing := out.String(), ""
			for _, p := range parts {
				if !strings.Contains(text, p) {
					missing = p
				}
			}
			if missing == "" {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("does not show %q:\n%s\n%s", missing, text, said.String())
			}
		}
	}
	for end := time.Now().Add(time.Minute); !strings.Contains(said.String(), "following"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("does not follow: %s", said.String())
		}
	}
	offer := s.ask(dhcp4.Discover, 7, netip.Addr{})
	shows("dhcp4d xid 0x", "DISCOVER", "subnet 1, 192.0.2.0/24", "decision: OFFER of "+offer.YIAddr().String(), "sent to dhcp6d at", "DHCPv4 Message")
	server, _ := offer.Addr(dhcp4.OptServerIdentifier)
	s.ask(dhcp4.Request, 7, netip.Addr{}, dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, offer.YIAddr()), dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, server))
	shows("decision: ACK of "+offer.YIAddr().String(), "the lease is allocated", "committed: the lease is on stable storage")
	s.ask(dhcp4.Discover, 8, netip.Addr{}) // another's
	s.ask(dhcp4.Release, 7, offer.YIAddr(), dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, server))
	shows("no answer (released)")
	if strings.Contains(out.String(), "020000000008") {
		t.Errorf("another client is shown:\n%s", out.String())
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("trace ended with %v", err)
	}
}
