package outside

import "fmt"

// Field is the code of a field. One code means the same in all kinds of records.
type Field uint16

// The fields. The table below has their names and forms, docs/outside.md their meanings.
const (
	FieldDaemon   Field = 1
	FieldSoftware Field = 2
	FieldName     Field = 3
	FieldHighest  Field = 4
	FieldTimeout  Field = 5
	FieldEvents   Field = 6
	FieldCursor   Field = 7

	FieldPoint       Field = 20
	FieldKey         Field = 21
	FieldMessageType Field = 22
	FieldMessage     Field = 23
	FieldHardware    Field = 24
	FieldClientID    Field = 25
	FieldSubnet      Field = 26
	FieldInterface   Field = 27
	FieldSource      Field = 28
	FieldLinkAddress Field = 29
	FieldInterfaceID Field = 30
	FieldRemoteID    Field = 31
	FieldRelay       Field = 32
	FieldPeer        Field = 33
	FieldMessage6    Field = 34
	FieldAttachment  Field = 35

	FieldVerdict   Field = 50
	FieldReason    Field = 51
	FieldKeep      Field = 52
	FieldClass     Field = 53
	FieldAddress   Field = 54
	FieldPool      Field = 55
	FieldLeaseTime Field = 56
	FieldOption    Field = 57

	FieldEvent   Field = 70
	FieldTime    Field = 71
	FieldState   Field = 72
	FieldStart   Field = 73
	FieldChanged Field = 74
	FieldExpires Field = 75
	FieldBy      Field = 76
	FieldAgain   Field = 77
)

// form is how a value is written, and so how long it is.
type form struct {
	name        string
	least, most int
}

var (
	text     = form{"text", 0, maxValue}
	octets   = form{"octets", 0, maxValue}
	number8  = form{"number of 1 octet", 1, 1}
	number32 = form{"number of 4 octets", 4, 4}
	number64 = form{"number of 8 octets", 8, 8}
	address4 = form{"IPv4 address", 4, 4}
	address6 = form{"IPv6 address", 16, 16}
	relay    = form{"link-address (16), peer-address (16), DHCPv6 options", 32, maxValue}
	hardware = form{"htype (1), address", 1, maxValue}
	option   = form{"code (1), value", 1, maxValue}
	nothing  = form{"nothing", 0, 0}
)

// described is a field's row in the table.
type described struct {
	name string
	form form
}

var fields = map[Field]described{
	FieldDaemon:   {"daemon", text},
	FieldSoftware: {"software", text},
	FieldName:     {"name", text},
	FieldHighest:  {"highest", number8},
	FieldTimeout:  {"timeout", number32},
	FieldEvents:   {"events", number8},
	FieldCursor:   {"cursor", octets},

	FieldPoint:       {"point", text},
	FieldKey:         {"key", octets},
	FieldMessageType: {"message-type", number8},
	FieldMessage:     {"message", octets},
	FieldHardware:    {"hardware", hardware},
	FieldClientID:    {"client-id", octets},
	FieldSubnet:      {"subnet", number32},
	FieldInterface:   {"interface", text},
	FieldSource:      {"source", address6},
	FieldLinkAddress: {"link-address", address6},
	FieldInterfaceID: {"interface-id", octets},
	FieldRemoteID:    {"remote-id", octets},
	FieldRelay:       {"relay", relay},
	FieldPeer:        {"peer", text},
	FieldMessage6:    {"message6", octets},
	FieldAttachment:  {"attachment", octets},

	FieldVerdict:   {"verdict", number8},
	FieldReason:    {"reason", text},
	FieldKeep:      {"keep", number32},
	FieldClass:     {"class", text},
	FieldAddress:   {"address", address4},
	FieldPool:      {"pool", text},
	FieldLeaseTime: {"lease-time", number32},
	FieldOption:    {"option", option},

	FieldEvent:   {"event", text},
	FieldTime:    {"time", number64},
	FieldState:   {"state", text},
	FieldStart:   {"start", number64},
	FieldChanged: {"changed", number64},
	FieldExpires: {"expires", number64},
	FieldBy:      {"by", text},
	FieldAgain:   {"again", nothing},
}

// byCode is the forms of the table, where a packet loop can look without a hash.
var byCode = func() (forms [128]form) {
	for i := range forms {
		forms[i] = octets
	}
	for code, d := range fields {
		forms[code] = d.form
	}
	return forms
}()

// String returns the field's name.
func (f Field) String() string {
	if d, ok := fields[f]; ok {
		return d.name
	}
	return fmt.Sprintf("field-%d", uint16(f))
}

// fits reports whether a value of n octets has the field's form. Any value fits a field that is not
// known.
func (f Field) fits(n int) bool {
	if int(f) >= len(byCode) {
		return true
	}
	return n >= byCode[f].least && n <= byCode[f].most
}
