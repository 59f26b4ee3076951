package script

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Point is the only argument of a program: the hook point of Kea that the
// change corresponds to. A lease that is renewed is lease4_renew alone.
func Point(e lease.Event) string {
	switch e {
	case lease.Renewed:
		return "lease4_renew"
	case lease.ReleasedEvent:
		return "lease4_release"
	case lease.DeclinedEvent:
		return "lease4_decline"
	case lease.ExpiredEvent:
		return "lease4_expire"
	case lease.Reclaimed:
		return "lease4_recover"
	}
	return "leases4_committed" // allocated, or its own again
}

// Facts are the environment of a program. Where Kea's run_script hook has a
// fact, name and form are Kea's:
//
//	LEASE4_ADDRESS          192.0.2.10
//	LEASE4_HWADDR           02:00:00:00:00:01
//	LEASE4_HWADDR_TYPE      1
//	LEASE4_CLIENT_ID        ff:00:00:00:01:…, empty without one
//	LEASE4_STATE            default, declined, expired-reclaimed or released
//	LEASE4_SUBNET_ID        1
//	LEASE4_CLTT             Unix seconds of the last message
//	LEASE4_VALID_LIFETIME   seconds from then
//	LEASES4_SIZE            1, at leases4_committed; with LEASES4_AT0_ADDRESS and so on
//	QUERY4_IFACE_NAME       interface of dhcp6d, empty where no query caused the change
//	QUERY4_REMOTE_ADDR      IPv6 address of the client
//
// and what Kea has not:
//
//	LEASE4_EVENT            as in the lease log
//	LEASE4_START            Unix seconds since when the client has the address
//	LEASE4_EXPIRES          Unix seconds, or never
//	RELAYS6_SIZE            relay levels of the query, the outermost is 0:
//	RELAYS6_AT0_LINK_ADDRESS, _PEER_ADDRESS, _INTERFACE_ID, _REMOTE_ID
func Facts(e *event.Lease) []string {
	b := &e.Binding
	id := ""
	if len(b.Client) > 0 && b.Client[0] == lease.KeyIdentifier {
		id = colons(b.Client[1:])
	}
	expires, lifetime := "never", strconv.FormatUint(uint64(lease.Infinite), 10)
	if b.Expires != lease.Never {
		expires, lifetime = number(int64(b.Expires)), number(int64(max(b.Expires-b.Changed, 0)))
	}
	source := ""
	if b.Source.IsValid() {
		source = b.Source.String()
	}
	facts := [][2]string{
		{"ADDRESS", b.Addr.String()},
		{"HWADDR", colons(b.HWAddr)},
		{"HWADDR_TYPE", number(int64(b.HWType))},
		{"CLIENT_ID", id},
		{"STATE", state(e)},
		{"SUBNET_ID", number(int64(b.Subnet))},
		{"CLTT", number(int64(b.Changed))},
		{"VALID_LIFETIME", lifetime},
	}
	environ := make([]string, 0, 2*len(facts)+8+4*len(e.Relays))
	for _, f := range facts {
		environ = append(environ, "LEASE4_"+f[0]+"="+f[1])
	}
	if Point(e.Event) == "leases4_committed" {
		environ = append(environ, "LEASES4_SIZE=1", "DELETED_LEASES4_SIZE=0")
		for _, f := range facts {
			environ = append(environ, "LEASES4_AT0_"+f[0]+"="+f[1])
		}
	}
	environ = append(environ,
		"LEASE4_EVENT="+e.Event.String(),
		"LEASE4_START="+number(int64(b.Start)),
		"LEASE4_EXPIRES="+expires,
		"QUERY4_IFACE_NAME="+clean(e.Interface),
		"QUERY4_REMOTE_ADDR="+source,
		"RELAYS6_SIZE="+strconv.Itoa(len(e.Relays)),
	)
	for i, r := range e.Relays {
		at := fmt.Sprintf("RELAYS6_AT%d_", i)
		environ = append(environ, at+"LINK_ADDRESS="+r.LinkAddress.String(), at+"PEER_ADDRESS="+r.PeerAddress.String(),
			at+"INTERFACE_ID="+colons(r.InterfaceID), at+"REMOTE_ID="+colons(r.RemoteID))
	}
	return environ
}

// state is the state as Kea writes it.
func state(e *event.Lease) string {
	switch {
	case e.Binding.State == lease.Declined:
		return "declined"
	case e.Event == lease.ExpiredEvent || e.Event == lease.Reclaimed:
		return "expired-reclaimed"
	case e.Binding.State == lease.Released:
		return "released"
	}
	return "default"
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// clean is a name without what an environment cannot hold.
func clean(name string) string { return strings.ReplaceAll(name, "\x00", "") }

// colons is b in hexadecimal, the octets separated by colons.
func colons(b []byte) string {
	const digits = "0123456789abcdef"
	s := make([]byte, 0, 3*len(b))
	for i, c := range b {
		if i > 0 {
			s = append(s, ':')
		}
		s = append(s, digits[c>>4], digits[c&15])
	}
	return string(s)
}
