package answer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/softwire"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// Options are the options that an Information-request may be answered with. Numbers of 0 and empty
// lists are not offered.
type Options struct {
	Offer4o6     bool // option 88, also when Servers4o6 is empty (RFC 7341 section 7.2)
	Servers4o6   []netip.Addr
	DNSServers   []netip.Addr // option 23
	DomainSearch []string     // option 24
	NTP          []NTPServer  // option 56
	RefreshTime  uint32       // option 32, seconds
	SolMaxRT     uint32       // option 82, seconds
	InfMaxRT     uint32       // option 83, seconds
	Others       []Option
	// OnlyServer means that no other server answers the clients. An Information-request then gets a
	// Reply even if none of the options that it asks for is offered.
	OnlyServer bool
	// Supply are the codes of the options that other servers are to put into their answers, as far
	// as they are offered and the client asks for them (RFC 6422).
	Supply []uint16
}

// NTPServer is one suboption of option 56 (RFC 5908): exactly one field is set.
type NTPServer struct {
	Unicast, Multicast netip.Addr
	Name               string
}

// Option is an option by code.
type Option struct {
	Code uint16
	Data []byte
}

const (
	// maxCodes is the most codes offered: the options of a Reply are bits of a word.
	maxCodes = 64
	// maxLength is the most octets of all options together, so that a Reply always fits.
	maxLength = 16384
	// maxBeside is the most octets of options 90 and 137 in one list. A client may get those of
	// two lists: its link's, and further ones.
	maxBeside = ipc.MaxBeside / 2
)

// offer holds the encoded options of one code.
type offer struct {
	code  dhcp6.Code
	bytes []byte
}

// Any reports whether an option is offered that a client could get from another server, too.
func (o Options) Any() bool {
	return slices.ContainsFunc(o.encode(), func(f offer) bool { return !about(f.code) })
}

// about reports whether an option is about the exchange itself, or about other options. Every
// client asks for the former (RFC 9915 section 18.2.6), so they are no reason to answer.
func about(c dhcp6.Code) bool {
	return c == dhcp6.OptRefreshTime || c == dhcp6.OptSolMaxRT || c == dhcp6.OptInfMaxRT || c == dhcp6.OptS46Priority
}

// Offers reports whether the option of a code is offered.
func (o Options) Offers(code uint16) bool {
	return slices.ContainsFunc(o.encode(), func(f offer) bool { return f.code == dhcp6.Code(code) })
}

// Check returns an error that names every option that cannot be offered.
func (o Options) Check() error {
	var wrong []string
	for i, other := range o.Others {
		why := unfit(dhcp6.Code(other.Code))
		if why == "" && slices.ContainsFunc(o.Others[:i], other.repeats) {
			why = "is listed twice"
		}
		if why == "" && dhcp6.Code(other.Code) == dhcp6.OptVendorOpts && len(other.Data) < 4 {
			why = "lacks its enterprise number"
		}
		if why == "" && len(other.Data) > maxLength {
			why = "is too long"
		}
		if why == "" {
			why = other.misread()
		}
		if why != "" {
			wrong = append(wrong, fmt.Sprintf("option %d %s", other.Code, why))
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, ", "))
	}
	return o.CheckSize()
}

// CheckSize returns an error if the options do not fit into an answer.
func (o Options) CheckSize() error {
	offers, length, beside := o.encode(), 0, 0
	for _, f := range offers {
		length += len(f.bytes)
		if ipc.IsBeside(f.code) {
			beside += len(f.bytes)
		}
	}
	if beside > maxBeside {
		return fmt.Errorf("options 90 and 137 of %d octets do not fit beside a DHCPv4 message, at most %d do; "+
			"give fewer border relays", beside, maxBeside)
	}
	if len(offers) > maxCodes || length > maxLength {
		return fmt.Errorf("%d options of %d octets do not fit into an answer, at most %d of %d do", len(offers), length,
			maxCodes, maxLength)
	}
	return nil
}

// misread returns why clients ignore an option of IPv4 as a service, "" if they do not or it is
// another one.
func (o Option) misread() string {
	var err error
	switch dhcp6.Code(o.Code) {
	case dhcp6.OptAFTRName:
		_, err = softwire.ParseName(o.Data)
	case dhcp6.OptS46ContMAPE:
		_, err = softwire.ParseMAPE(o.Data)
	case dhcp6.OptS46ContMAPT:
		_, err = softwire.ParseMAPT(o.Data)
	case dhcp6.OptS46ContLW:
		_, err = softwire.ParseLW4o6(o.Data)
	case dhcp6.OptS46Priority:
		_, err = softwire.ParsePriority(o.Data)
	case dhcp6.OptS46BR:
		_, err = softwire.ParseRelay(o.Data)
	case dhcp6.OptS46BindIPv6:
		_, err = softwire.ParseBindPrefix(o.Data)
	}
	if err != nil {
		return "would be ignored by clients: " + err.Error()
	}
	return ""
}

// repeats reports whether two options must not be in one message. There may be a vendor option for
// each enterprise (RFC 9915 section 21.17).
func (o Option) repeats(p Option) bool {
	if o.Code != p.Code {
		return false
	}
	switch dhcp6.Code(o.Code) {
	case dhcp6.OptS46ContMAPE: // one for each MAP domain (RFC 7598 section 5.1)
		return false
	case dhcp6.OptS46BR: // one for each border relay (RFC 8539 section 4.1)
		return slices.Equal(o.Data, p.Data)
	}
	if dhcp6.Code(o.Code) != dhcp6.OptVendorOpts || len(o.Data) < 4 || len(p.Data) < 4 {
		return true
	}
	return [4]byte(o.Data) == [4]byte(p.Data)
}

// unfit returns why a code cannot be configured by number, "" if it can.
func unfit(c dhcp6.Code) string {
	switch c {
	case 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 18, 19, 20, 25, 26:
		return "cannot be asked for by clients" // RFC 9915 section 21.7
	case dhcp6.OptDNSServers, dhcp6.OptDomainList, dhcp6.OptNTPServer, dhcp6.OptRefreshTime,
		dhcp6.OptSolMaxRT, dhcp6.OptInfMaxRT, dhcp6.Opt4o6Server:
		return "has a variable of its own"
	case dhcp6.OptRemoteID, dhcp6.OptSubscriberID, dhcp6.OptERO, dhcp6.OptRSOO, dhcp6.OptClientLinkLayer, dhcp6.OptRelayPort:
		return "is for relays only"
	case dhcp6.OptS46Rule, dhcp6.OptS46DMR, dhcp6.OptS46V4V6Bind, dhcp6.OptS46PortParams:
		return "belongs into a container, option 94, 95 or 96" // RFC 7598 section 6
	case dhcp6.OptDHCPv4Msg:
		return "is for DHCPV4-QUERY and DHCPV4-RESPONSE only"
	}
	return ""
}

// encode returns the options' bytes, in ascending order of their codes.
func (o Options) encode() []offer {
	var offers []offer
	add := func(c dhcp6.Code, b []byte) { offers = append(offers, offer{c, b}) }
	number := func(c dhcp6.Code, v uint32) {
		if v != 0 {
			add(c, dhcp6.AppendUint32(nil, c, v))
		}
	}
	if len(o.DNSServers) > 0 {
		add(dhcp6.OptDNSServers, dhcp6.AppendAddresses(nil, dhcp6.OptDNSServers, o.DNSServers))
	}
	if len(o.DomainSearch) > 0 {
		add(dhcp6.OptDomainList, appendData(dhcp6.OptDomainList, func(b []byte) []byte {
			for _, d := range o.DomainSearch {
				b = softwire.AppendName(b, d)
			}
			return b
		}))
	}
	if len(o.NTP) > 0 {
		add(dhcp6.OptNTPServer, appendData(dhcp6.OptNTPServer, func(b []byte) []byte {
			for _, s := range o.NTP {
				b = s.append(b)
			}
			return b
		}))
	}
	number(dhcp6.OptRefreshTime, o.RefreshTime)
	number(dhcp6.OptSolMaxRT, o.SolMaxRT)
	number(dhcp6.OptInfMaxRT, o.InfMaxRT)
	if o.Offer4o6 {
		add(dhcp6.Opt4o6Server, dhcp6.AppendAddresses(nil, dhcp6.Opt4o6Server, o.Servers4o6))
	}
	for _, other := range o.Others {
		b := dhcp6.AppendOption(nil, dhcp6.Code(other.Code), other.Data)
		same := func(f offer) bool { return f.code == dhcp6.Code(other.Code) }
		if i := slices.IndexFunc(offers, same); i >= 0 {
			offers[i].bytes = append(offers[i].bytes, b...)
			continue
		}
		add(dhcp6.Code(other.Code), b)
	}
	slices.SortFunc(offers, func(a, b offer) int { return int(a.code) - int(b.code) })
	return offers
}

func appendData(c dhcp6.Code, content func([]byte) []byte) []byte {
	b := content(nil)
	b = b[:min(len(b), 65535)] // Check refuses more
	return dhcp6.AppendOption(nil, c, b)
}

// append appends the suboption (RFC 5908 section 4).
func (s NTPServer) append(b []byte) []byte {
	const unicast, multicast, name = 1, 2, 3
	switch {
	case s.Unicast.IsValid():
		b = append(b, 0, unicast, 0, 16)
		return append(b, s.Unicast.AsSlice()...)
	case s.Multicast.IsValid():
		b = append(b, 0, multicast, 0, 16)
		return append(b, s.Multicast.AsSlice()...)
	}
	fqdn := softwire.AppendName(nil, s.Name)
	b = append(b, 0, name)
	b = binary.BigEndian.AppendUint16(b, uint16(len(fqdn)))
	return append(b, fqdn...)
}
