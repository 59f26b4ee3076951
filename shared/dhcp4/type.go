package dhcp4

// MessageType is the value of option 53 (RFC 2132 section 9.6). Zero stands for a message without
// that option.
type MessageType uint8

// The message types of RFC 2131. A server behind DHCPv6 has no use for those that later documents
// add (FORCERENEW, leasequery).
const (
	Discover MessageType = 1 + iota
	Offer
	Request
	Decline
	ACK
	NAK
	Release
	Inform
)

var typeNames = [...]string{
	Discover: "discover",
	Offer:    "offer",
	Request:  "request",
	Decline:  "decline",
	ACK:      "ack",
	NAK:      "nak",
	Release:  "release",
	Inform:   "inform",
}

// OtherType is the name of every type that [MessageTypes] does not list.
const OtherType = "other"

// String returns the type's name in lower case, as metrics and logs spell it. The names are a
// closed list: every type that RFC 2131 does not define is [OtherType].
func (t MessageType) String() string {
	if t < Discover || int(t) >= len(typeNames) {
		return OtherType
	}
	return typeNames[t]
}

// MessageTypes returns the types of RFC 2131 in the order of their numbers.
func MessageTypes() []MessageType {
	return []MessageType{Discover, Offer, Request, Decline, ACK, NAK, Release, Inform}
}

// FromClient reports whether a server takes messages of this type: DISCOVER, REQUEST, DECLINE,
// RELEASE and INFORM (RFC 2131 section 3.1, table 2).
func (t MessageType) FromClient() bool {
	const client = 1<<Discover | 1<<Request | 1<<Decline | 1<<Release | 1<<Inform
	return t <= Inform && 1<<t&client != 0
}

// The codes of the options that this project knows by name, of RFC 2132 unless stated. Options that
// only pass through from a configuration need no name here.
const (
	OptPad                   = 0
	OptSubnetMask            = 1
	OptRouter                = 3
	OptDomainNameServer      = 6
	OptHostName              = 12
	OptDomainName            = 15
	OptInterfaceMTU          = 26
	OptBroadcastAddress      = 28
	OptStaticRoute           = 33
	OptNTPServers            = 42
	OptRequestedAddress      = 50
	OptLeaseTime             = 51
	OptOverload              = 52
	OptMessageType           = 53
	OptServerIdentifier      = 54
	OptParameterRequestList  = 55
	OptMessage               = 56
	OptMaximumMessageSize    = 57
	OptRenewalTime           = 58
	OptRebindingTime         = 59
	OptVendorClass           = 60
	OptClientIdentifier      = 61
	OptTFTPServerName        = 66
	OptBootfileName          = 67
	OptUserClass             = 77  // RFC 3004
	OptRapidCommit           = 80  // RFC 4039
	OptRelayAgentInformation = 82  // RFC 3046
	OptAuthentication        = 90  // RFC 3118
	OptIPv6OnlyPreferred     = 108 // RFC 8925
	OptS46SourceAddress      = 109 // RFC 8539
	OptSubnetSelection       = 118 // RFC 3011
	OptDomainSearch          = 119 // RFC 3397
	OptClasslessStaticRoute  = 121 // RFC 3442
	OptPortParameters        = 159 // RFC 7618
	OptMSClasslessRoute      = 249 // [MS-DHCPE] section 2.2.8, the format of 121
	OptEnd                   = 255
)

// Suboptions of the Relay Agent Information option.
const (
	SubCircuitID     = 1  // RFC 3046 section 3.1
	SubRemoteID      = 2  // RFC 3046 section 3.2
	SubLinkSelection = 5  // RFC 3527
	SubServerID      = 11 // RFC 5107: server identifier override
	SubRelayPort     = 19 // RFC 8357 section 4.1: echoed, means nothing behind DHCPv6
)

// Values of the op field.
const (
	BootRequest = 1
	BootReply   = 2
)
