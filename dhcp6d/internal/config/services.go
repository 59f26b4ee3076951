package config

import (
	"net/netip"
	"slices"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/softwire"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// Services are the ways to get IPv4 that clients are told of: the document in DHCP6D_LINKS.
type Services struct {
	List    []Service // the first that fits a client counts
	Classes *expression.Classes
}

// Service is an entry of the document. It fits a client that every condition holds for.
type Service struct {
	Interface   string       // a name or pattern; empty: any
	Link        netip.Prefix // the zero Prefix: any
	InterfaceID []byte       // of the relay next to the client; nil: any
	Class       int          // of Services.Classes; -1: any

	AFTR       string
	Servers4o6 []netip.Addr
	Offer4o6   bool // option 88, also when Servers4o6 is empty
	MAPE       []softwire.MAPE
	MAPT       *softwire.MAPT
	LW4o6      *softwire.LW4o6
	Softwire   *softwire.Softwire
	Priority   []softwire.Mechanism

	Line int    // of the document
	when string // the conditions as they are written
}

// Options returns the options that tell a client of the service.
func (s Service) Options() (all []answer.Option) {
	add := func(code dhcp6.Code, data []byte) { all = append(all, answer.Option{Code: uint16(code), Data: data}) }
	if s.AFTR != "" {
		add(dhcp6.OptAFTRName, softwire.AppendName(nil, s.AFTR))
	}
	if s.Offer4o6 {
		var data []byte
		for _, a := range s.Servers4o6 {
			data = append(data, a.AsSlice()...)
		}
		add(dhcp6.Opt4o6Server, data)
	}
	for _, m := range s.MAPE {
		add(dhcp6.OptS46ContMAPE, m.AppendData(nil))
	}
	if s.MAPT != nil {
		add(dhcp6.OptS46ContMAPT, s.MAPT.AppendData(nil))
	}
	if s.LW4o6 != nil {
		add(dhcp6.OptS46ContLW, s.LW4o6.AppendData(nil))
	}
	if w := s.Softwire; w != nil {
		for _, a := range w.BorderRelays {
			add(dhcp6.OptS46BR, a.AsSlice())
		}
		if w.Bind.IsValid() {
			add(dhcp6.OptS46BindIPv6, softwire.AppendBindPrefix(nil, w.Bind))
		}
	}
	if len(s.Priority) > 0 {
		add(dhcp6.OptS46Priority, softwire.AppendPriority(nil, s.Priority))
	}
	return all
}

// String says which clients the service is for.
func (s Service) String() string {
	if s.when == "" {
		return "every client"
	}
	return s.when
}

// offers reports whether the service has the option of a code.
func (s Service) offers(code uint16) bool {
	return slices.ContainsFunc(s.Options(), func(o answer.Option) bool { return o.Code == code })
}
