package leaselog

import (
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// Who names a client by its identifiers.
func (c *Client) Who() string {
	var parts []string
	if c.ClientID != "" {
		parts = append(parts, c.ClientID)
	}
	if c.HWAddress != "" {
		parts = append(parts, "hw "+c.HWAddress)
	}
	if parts == nil {
		return "not known"
	}
	return strings.Join(parts, ", ")
}

// Where tells where a client was, from dhcp6d's interface to the relay next to it.
func (c *Client) Where() string {
	var parts []string
	if c.Interface != "" {
		parts = append(parts, "interface "+c.Interface)
	}
	for _, r := range c.Relays {
		s := "relay link-address " + r.LinkAddress
		if r.InterfaceID != "" {
			s += " Interface-Id " + legible(r.InterfaceID)
		}
		if r.RemoteID != "" {
			s += " Remote-Id " + remoteID(r.RemoteID)
		}
		parts = append(parts, s)
	}
	if c.RemoteID != "" {
		parts = append(parts, "Remote-Id "+remoteID(c.RemoteID))
	}
	if parts == nil {
		return "not known"
	}
	return strings.Join(parts, ", ")
}

// legible is an identifier as text if it is text.
func legible(hex string) string {
	b, err := octets.Decode(hex)
	if err != nil {
		return hex
	}
	for _, c := range b {
		if c < ' ' || c > '~' {
			return hex
		}
	}
	return strconv.Quote(string(b))
}

// remoteID is a Remote-Id as "dhcp4d leases list" shows and takes it.
func remoteID(hex string) string {
	b, err := octets.Decode(hex)
	if err != nil {
		return hex
	}
	return octets.ShowRemoteID(b)
}
