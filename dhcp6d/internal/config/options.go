package config

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// optionVariables are the options that an Information-request is answered with.
type optionVariables struct {
	Servers4o6   servers4o6   `env:"4O6_SERVERS" kind:"none, empty, or list of IPv6 addresses and multicast" reload:"true" desc:"option 88, the DHCPv4-over-DHCPv6 servers: none does not offer it, multicast stands for ff02::1:2, empty is the option without an address"`
	DNSServers   []netip.Addr `env:"DNS_SERVERS" kind:"list of IPv6 addresses" reload:"true" desc:"option 23, the recursive DNS servers"`
	DomainSearch []string     `env:"DOMAIN_SEARCH" kind:"list of domain names" reload:"true" desc:"option 24, the domain search list"`
	NTPServers   []string     `env:"NTP_SERVERS" kind:"list of IPv6 addresses and host names" reload:"true" desc:"option 56, the NTP servers"`
	RefreshTime  seconds      `env:"INFORMATION_REFRESH_TIME" kind:"seconds or a duration, 600s at least" reload:"true" desc:"option 32: after this time clients ask again; unset lets them assume one day, so it is how fast a change of the other options gets around"`
	SolMaxRT     seconds      `env:"SOL_MAX_RT" kind:"seconds or a duration, 60s to 24h" reload:"true" desc:"option 82: the longest time between a client's Solicits"`
	InfMaxRT     seconds      `env:"INF_MAX_RT" kind:"seconds or a duration, 60s to 24h" reload:"true" desc:"option 83: the longest time between a client's Information-requests"`
	OnlyServer   bool         `env:"ONLY_SERVER" envDefault:"false" reload:"true" desc:"no other DHCPv6 server answers here: an Information-request gets a Reply also where nothing that it asks for is offered (RFC 9915 section 18.3.6), so that the client stops asking"`
	Others       []rawOption  `env:"OPTIONS" kind:"list of code:hex" reload:"true" desc:"further options by code, content in hexadecimal"`
}

// check makes wire values of the variables.
func (v *optionVariables) check(l *config.Loader) answer.Options {
	o := answer.Options{
		Offer4o6:     v.Servers4o6.offered,
		Servers4o6:   v.Servers4o6.addresses,
		DNSServers:   v.DNSServers,
		DomainSearch: v.DomainSearch,
		RefreshTime:  uint32(v.RefreshTime),
		SolMaxRT:     uint32(v.SolMaxRT),
		InfMaxRT:     uint32(v.InfMaxRT),
		OnlyServer:   v.OnlyServer,
	}
	for _, a := range v.DNSServers {
		if !isHost(a) {
			l.Mistake("DNS_SERVERS", a.String()+" is no unicast IPv6 address",
				"give addresses of DNS servers, without zone")
		}
	}
	for _, d := range v.DomainSearch {
		if err := checkDomain(d); err != nil {
			l.Mistake("DOMAIN_SEARCH", err.Error(), "give names such as example.org")
		}
	}
	for _, s := range v.NTPServers {
		a, err := netip.ParseAddr(s)
		switch {
		case err == nil && isGroup(a):
			o.NTP = append(o.NTP, answer.NTPServer{Multicast: a})
		case err == nil && isHost(a):
			o.NTP = append(o.NTP, answer.NTPServer{Unicast: a})
		case err == nil:
			l.Mistake("NTP_SERVERS", s+" is no IPv6 address of a server", "give IPv6 addresses without zone")
		default:
			if err := checkDomain(s); err != nil {
				l.Mistake("NTP_SERVERS", err.Error(), "give IPv6 addresses or names such as ntp.example.org")
			}
			o.NTP = append(o.NTP, answer.NTPServer{Name: s})
		}
	}
	if t := v.RefreshTime; t != 0 && t < 600 {
		l.Mistake("INFORMATION_REFRESH_TIME", fmt.Sprintf("%d seconds are too short", t),
			"clients refuse less than 600")
	}
	checkMaxRT(l, "SOL_MAX_RT", v.SolMaxRT)
	checkMaxRT(l, "INF_MAX_RT", v.InfMaxRT)
	for _, other := range v.Others {
		o.Others = append(o.Others, answer.Option(other))
	}
	if err := o.Check(); err != nil {
		l.Mistake("OPTIONS", err.Error(), "")
	}
	return o
}

// checkMaxRT checks a value against RFC 9915 sections 21.24 and 21.25.
func checkMaxRT(l *config.Loader, variable string, t seconds) {
	if t != 0 && (t < 60 || t > 86400) {
		l.Mistake(variable, fmt.Sprintf("%d seconds are out of range", t), "give 60 to 86400")
	}
}

// isHost reports whether an address can be that of a server.
func isHost(a netip.Addr) bool {
	return a.Is6() && !a.Is4In6() && a.Zone() == "" && !a.IsMulticast() && !a.IsUnspecified() && !a.IsLoopback()
}

// isGroup reports whether an address is a multicast address.
func isGroup(a netip.Addr) bool { return a.Is6() && a.IsMulticast() && a.Zone() == "" }

// checkDomain checks a name against the limits of the DNS encoding.
func checkDomain(name string) error {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return fmt.Errorf("%q is no domain name", name)
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.ContainsAny(label, " \t@/:") {
			return fmt.Errorf("%q is no domain name", name)
		}
	}
	return nil
}

// seconds is a time on the wire; 0 is unset.
type seconds uint32

// UnmarshalText parses a number of seconds or a duration such as 24h.
func (s *seconds) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 10, 32)
	if err != nil {
		d, err := time.ParseDuration(string(text))
		if err != nil || d < 0 || d%time.Second != 0 || d/time.Second > math.MaxUint32 {
			return fmt.Errorf("%q is no number of whole seconds", text)
		}
		n = uint64(d / time.Second)
	}
	if n == 0 {
		return errors.New("0 seconds are too short")
	}
	*s = seconds(n)
	return nil
}

// servers4o6 is option 88 as it is configured.
type servers4o6 struct {
	offered   bool
	addresses []netip.Addr
}

var allServers = netip.MustParseAddr("ff02::1:2")

// UnmarshalText parses "none", "empty", or a list of addresses and "multicast".
func (s *servers4o6) UnmarshalText(text []byte) error {
	list := config.Elements(string(text))
	if len(list) == 1 && (list[0] == "none" || list[0] == "empty") {
		*s = servers4o6{offered: list[0] == "empty"}
		return nil
	}
	seen := map[netip.Addr]bool{}
	var addresses []netip.Addr
	for _, entry := range list {
		a := allServers
		switch entry {
		case "multicast":
		case "none", "empty":
			return fmt.Errorf("%s stands alone, not in a list", entry)
		default:
			var err error
			if a, err = netip.ParseAddr(entry); err != nil || (!isHost(a) && !isGroup(a)) {
				return fmt.Errorf("%q is no IPv6 address that a client could send to", entry)
			}
		}
		if seen[a] {
			return fmt.Errorf("%v is listed twice", a)
		}
		seen[a] = true
		addresses = append(addresses, a)
	}
	*s = servers4o6{true, addresses}
	return nil
}

// rawOption is an option as code and hexadecimal digits.
type rawOption answer.Option

// UnmarshalText parses "code:hex".
func (o *rawOption) UnmarshalText(text []byte) error {
	code, content, ok := strings.Cut(string(text), ":")
	if !ok {
		return fmt.Errorf("%q has no colon after its code", text)
	}
	n, err := strconv.ParseUint(code, 10, 16)
	if err != nil || n == 0 {
		return fmt.Errorf("%q is no option code from 1 to 65535", code)
	}
	data, err := octets.Decode(strings.TrimPrefix(content, "0x"))
	if err != nil {
		return fmt.Errorf("option %d: %q is not hexadecimal", n, content)
	}
	*o = rawOption{Code: uint16(n), Data: data}
	return nil
}
