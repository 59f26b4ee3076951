package dhcp6

import "strconv"

// Type is a DHCPv6 message type (RFC 9915 section 7.3).
type Type uint8

// The message types of RFC 9915 section 7.3 and RFC 7341 section 6.1.
const (
	Solicit            Type = 1
	Advertise          Type = 2
	Request            Type = 3
	Confirm            Type = 4
	Renew              Type = 5
	Rebind             Type = 6
	Reply              Type = 7
	Release            Type = 8
	Decline            Type = 9
	Reconfigure        Type = 10
	InformationRequest Type = 11
	RelayForward       Type = 12
	RelayReply         Type = 13
	DHCPv4Query        Type = 20
	DHCPv4Response     Type = 21
)

var typeNames = [...]string{
	Solicit:            "Solicit",
	Advertise:          "Advertise",
	Request:            "Request",
	Confirm:            "Confirm",
	Renew:              "Renew",
	Rebind:             "Rebind",
	Reply:              "Reply",
	Release:            "Release",
	Decline:            "Decline",
	Reconfigure:        "Reconfigure",
	InformationRequest: "Information-request",
	RelayForward:       "Relay-forward",
	RelayReply:         "Relay-reply",
	DHCPv4Query:        "DHCPV4-QUERY",
	DHCPv4Response:     "DHCPV4-RESPONSE",
}

// String is the name in the RFC, for any other type its number.
func (t Type) String() string {
	if int(t) < len(typeNames) && typeNames[t] != "" {
		return typeNames[t]
	}
	return strconv.Itoa(int(t))
}

// Code is a DHCPv6 option code (RFC 9915 section 21 and the RFCs named there).
type Code uint16

// The option codes that the daemons know, named as the RFCs name them.
const (
	OptClientID        Code = 1
	OptServerID        Code = 2
	OptIANA            Code = 3
	OptIATA            Code = 4
	OptIAAddr          Code = 5
	OptORO             Code = 6
	OptPreference      Code = 7
	OptElapsedTime     Code = 8
	OptRelayMsg        Code = 9
	OptAuth            Code = 11
	OptUnicast         Code = 12
	OptStatusCode      Code = 13
	OptRapidCommit     Code = 14
	OptUserClass       Code = 15
	OptVendorClass     Code = 16
	OptVendorOpts      Code = 17
	OptInterfaceID     Code = 18
	OptReconfMsg       Code = 19
	OptReconfAccept    Code = 20
	OptDNSServers      Code = 23
	OptDomainList      Code = 24
	OptIAPD            Code = 25
	OptIAPrefix        Code = 26
	OptRefreshTime     Code = 32 // Information Refresh Time
	OptRemoteID        Code = 37 // RFC 4649
	OptSubscriberID    Code = 38 // RFC 4580
	OptERO             Code = 43 // RFC 4994
	OptNTPServer       Code = 56 // RFC 5908
	OptAFTRName        Code = 64 // RFC 6334
	OptRSOO            Code = 66 // RFC 6422
	OptClientLinkLayer Code = 79 // RFC 6939
	OptSolMaxRT        Code = 82
	OptInfMaxRT        Code = 83
	OptDHCPv4Msg       Code = 87  // RFC 7341 section 7.1
	Opt4o6Server       Code = 88  // RFC 7341 section 7.2
	OptS46Rule         Code = 89  // RFC 7598
	OptS46BR           Code = 90  // RFC 7598
	OptS46DMR          Code = 91  // RFC 7598
	OptS46V4V6Bind     Code = 92  // RFC 7598
	OptS46PortParams   Code = 93  // RFC 7598
	OptS46ContMAPE     Code = 94  // RFC 7598
	OptS46ContMAPT     Code = 95  // RFC 7598
	OptS46ContLW       Code = 96  // RFC 7598
	OptS46Priority     Code = 111 // RFC 8026
	OptRelayPort       Code = 135 // RFC 8357
	OptS46BindIPv6     Code = 137 // RFC 8539
)

// The fixed destination ports (RFC 9915 section 7.2).
const (
	ClientPort = 546
	ServerPort = 547 // of servers and relays
)
