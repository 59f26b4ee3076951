package listen

import (
	"encoding/binary"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

// device is an interface of this host as the kernel describes it, served or not.
type device struct {
	Interface
	loopback bool
	port     bool // of a bridge, bond or team
	mtu      int
}

// minMTU is the least MTU of a link with IPv6 (RFC 8200 section 5). Below it the kernel removes
// IPv6 from the interface, and the memberships with it.
const minMTU = 1280

// ipv6 reports whether the interface can hold memberships.
func (s *device) ipv6() bool { return s.mtu >= minMTU }

// interfaces returns all interfaces of the network namespace.
func interfaces() ([]device, error) {
	links, err := dump(unix.RTM_GETLINK, unix.AF_UNSPEC)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	addresses, err := dump(unix.RTM_GETADDR, unix.AF_INET6)
	if err != nil {
		return nil, fmt.Errorf("list addresses of interfaces: %w", err)
	}
	own := make(map[int][]netip.Addr)
	for i := range addresses {
		if index, a, ok := parseAddress(&addresses[i]); ok {
			own[index] = append(own[index], a)
		}
	}
	var found []device
	for i := range links {
		if s, ok := parseLink(&links[i]); ok {
			s.Addresses = own[s.Index]
			found = append(found, s)
		}
	}
	return found, nil
}

func dump(kind, family int) ([]syscall.NetlinkMessage, error) {
	b, err := syscall.NetlinkRIB(kind, family)
	if err != nil {
		return nil, err
	}
	return syscall.ParseNetlinkMessage(b)
}

// parseLink reads RTM_NEWLINK and RTM_DELLINK. It is not ok for messages that are not about the
// interface itself but about its role in a bridge, for instance.
func parseLink(m *syscall.NetlinkMessage) (s device, ok bool) {
	if (m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK) || len(m.Data) < unix.SizeofIfInfomsg {
		return s, false
	}
	// struct ifinfomsg: family 1, pad 1, type 2, index 4, flags 4, change 4.
	if m.Data[0] != unix.AF_UNSPEC {
		return s, false
	}
	s.Index = int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
	flags := binary.NativeEndian.Uint32(m.Data[8:])
	s.loopback = flags&unix.IFF_LOOPBACK != 0
	s.Up = flags&unix.IFF_UP != 0 && flags&unix.IFF_RUNNING != 0
	s.mtu = minMTU // events of wireless drivers do not have it
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return s, false
	}
	for _, a := range attributes {
		budget.Spend(1)
		switch {
		case a.Attr.Type == unix.IFLA_IFNAME && len(a.Value) > 0:
			s.Name = text(a.Value)
		case a.Attr.Type == unix.IFLA_MTU && len(a.Value) >= 4:
			s.mtu = int(binary.NativeEndian.Uint32(a.Value))
		case a.Attr.Type&^unix.NLA_F_NESTED == unix.IFLA_PROP_LIST:
			for name := range nested(a.Value, unix.IFLA_ALT_IFNAME) {
				s.Names = append(s.Names, text(name))
			}
		case a.Attr.Type&^unix.NLA_F_NESTED == unix.IFLA_LINKINFO:
			for kind := range nested(a.Value, unix.IFLA_INFO_SLAVE_KIND) {
				s.port = slices.Contains([]string{"bridge", "bond", "team"}, text(kind))
			}
		}
	}
	s.Names = slices.Insert(s.Names, 0, s.Name)
	return s, s.Name != ""
}

// nested returns the values of one type among the attributes in b (struct nlattr: length 2, type 2,
// value, padding to 4).
func nested(b []byte, kind uint16) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			budget.Spend(1)
			n := int(binary.NativeEndian.Uint16(b))
			if n < unix.SizeofNlAttr || n > len(b) {
				return
			}
			if binary.NativeEndian.Uint16(b[2:]) == kind && !yield(b[unix.SizeofNlAttr:n]) {
				return
			}
			b = b[min((n+3)&^3, len(b)):]
		}
	}
}

// text returns a string without its terminating zero.
func text(b []byte) string {
	budget.Spend(len(b))
	return strings.TrimSuffix(string(b), "\x00")
}

// parseAddress reads RTM_NEWADDR. It is not ok for an address that cannot be used, because its
// duplicate address detection has not ended or has failed.
func parseAddress(m *syscall.NetlinkMessage) (index int, a netip.Addr, ok bool) {
	if m.Header.Type != unix.RTM_NEWADDR || len(m.Data) < unix.SizeofIfAddrmsg {
		return 0, a, false
	}
	// struct ifaddrmsg: family 1, prefix length 1, flags 1, scope 1, index 4.
	flags, index := m.Data[2], int(binary.NativeEndian.Uint32(m.Data[4:]))
	if flags&unix.IFA_F_DADFAILED != 0 || (flags&unix.IFA_F_TENTATIVE != 0 && flags&unix.IFA_F_OPTIMISTIC == 0) {
		return 0, a, false
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return 0, a, false
	}
	for _, attribute := range attributes {
		budget.Spend(1)
		if len(attribute.Value) != 16 {
			continue
		}
		switch attribute.Attr.Type {
		case unix.IFA_ADDRESS:
			if !a.IsValid() { // on a point-to-point link this is the other end, and IFA_LOCAL is ours
				a = netip.AddrFrom16([16]byte(attribute.Value))
			}
		case unix.IFA_LOCAL:
			a = netip.AddrFrom16([16]byte(attribute.Value))
		}
	}
	return index, a, a.IsValid()
}

// names returns the names of interfaces, for messages to people.
func names(found []device) []string {
	var ns []string
	for i := range found {
		ns = append(ns, found[i].Name)
	}
	slices.Sort(ns)
	return ns
}
