package outside

import (
	"encoding/binary"
	"net/netip"
)

// Hello is the first record in each direction. The daemon sends its own at once when it has
// connected. A program answers with its own, in the version of the layout that both are to use.
type Hello struct {
	Daemon   string   // of a daemon: dhcp4d or dhcp6d
	Software string   // its version
	Name     string   // of the daemon, or of the program
	Highest  uint8    // of a daemon: the highest version of the layout that it knows
	Timeout  uint32   // of a daemon: milliseconds for which a query waits for its answer
	Points   []string // of a daemon: where it asks

	Events Events // of a program: which it wants
	Cursor []byte // of a program: of the last event that it is done with
}

// Events says which changes of leases a program wants to receive.
type Events uint8

// The events that a program may want. With a cursor in its hello, it gets those after the cursor.
const (
	NoEvents  Events = iota
	NewEvents        // from now on
	AllEvents        // all that are still known
)

// Append appends the record.
func (h *Hello) Append(b []byte) []byte {
	start := len(b)
	b = Begin(b, KindHello, 0)
	for _, f := range [...]struct {
		code  Field
		value string
	}{{FieldDaemon, h.Daemon}, {FieldSoftware, h.Software}, {FieldName, h.Name}} {
		if f.value != "" {
			b = appendText(b, f.code, f.value)
		}
	}
	if h.Highest != 0 {
		b = appendUint8(b, FieldHighest, h.Highest)
	}
	if h.Timeout != 0 {
		b = appendUint32(b, FieldTimeout, h.Timeout)
	}
	for _, p := range h.Points {
		b = appendText(b, FieldPoint, p)
	}
	if h.Events != NoEvents {
		b = appendUint8(b, FieldEvents, uint8(h.Events))
	}
	if len(h.Cursor) > 0 {
		b = AppendField(b, FieldCursor, h.Cursor)
	}
	return End(b, start)
}

// Hello returns the record as a hello, with memory of its own.
func (r Record) Hello() (h Hello) {
	for code, value := range r.Fields() {
		switch code {
		case FieldDaemon:
			h.Daemon = string(value)
		case FieldSoftware:
			h.Software = string(value)
		case FieldName:
			h.Name = string(value)
		case FieldHighest:
			h.Highest = value[0]
		case FieldTimeout:
			h.Timeout = binary.BigEndian.Uint32(value)
		case FieldPoint:
			h.Points = append(h.Points, string(value))
		case FieldEvents:
			h.Events = Events(value[0])
		case FieldCursor:
			h.Cursor = append([]byte(nil), value...)
		}
	}
	return h
}

// Relay is one relay level.
type Relay struct {
	Link, Peer netip.Addr // link-address and peer-address
	Options    []byte     // DHCPv6 options, without the Relay Message option
}

// Query is the question about one query.
type Query struct {
	Number uint64
	Point  string
	Key    []byte

	MessageType byte
	Message     []byte // DHCPv4, from dhcp4d
	Message6    []byte // DHCPv6, from dhcp6d
	HWType      byte
	HWAddr      []byte
	ClientID    []byte     // nil: none
	Subnet      uint32     // 0: not known at this point
	Interface   string     // of dhcp6d
	Peer        string     // the dhcp6d, as the configuration names it
	Source      netip.Addr // of the client
	Link        netip.Addr // of the client: link-address
	InterfaceID []byte     // of the client; nil: none
	RemoteID    []byte
	Attachment  []byte
	Relays      []Relay // from the outermost to the innermost
}

// Append appends the record.
func (q *Query) Append(b []byte) []byte {
	start := len(b)
	b = Begin(b, KindQuery, q.Number)
	b = appendText(b, FieldPoint, q.Point)
	b = AppendField(b, FieldKey, q.Key)
	if q.MessageType != 0 {
		b = appendUint8(b, FieldMessageType, q.MessageType)
	}
	b = appendGiven(b, FieldMessage, q.Message)
	b = appendGiven(b, FieldMessage6, q.Message6)
	b = appendHardware(b, q.HWType, q.HWAddr)
	b = appendGiven(b, FieldClientID, q.ClientID)
	if q.Subnet != 0 {
		b = appendUint32(b, FieldSubnet, q.Subnet)
	}
	if q.Interface != "" {
		b = appendText(b, FieldInterface, q.Interface)
	}
	if q.Peer != "" {
		b = appendText(b, FieldPeer, q.Peer)
	}
	b = appendAddress(b, FieldSource, q.Source)
	b = appendAddress(b, FieldLinkAddress, q.Link)
	b = appendGiven(b, FieldInterfaceID, q.InterfaceID)
	b = appendGiven(b, FieldRemoteID, q.RemoteID)
	b = appendGiven(b, FieldAttachment, q.Attachment)
	b = appendRelays(b, q.Relays)
	return End(b, start)
}

// Query returns the record as a question.
func (r Record) Query() Query {
	q := Query{Number: r.Number}
	for code, value := range r.Fields() {
		switch code {
		case FieldPoint:
			q.Point = string(value)
		case FieldKey:
			q.Key = value
		case FieldMessageType:
			q.MessageType = value[0]
		case FieldMessage:
			q.Message = value
		case FieldMessage6:
			q.Message6 = value
		case FieldHardware:
			q.HWType, q.HWAddr = value[0], value[1:]
		case FieldClientID:
			q.ClientID = value
		case FieldSubnet:
			q.Subnet = binary.BigEndian.Uint32(value)
		case FieldInterface:
			q.Interface = string(value)
		case FieldPeer:
			q.Peer = string(value)
		case FieldSource:
			q.Source = address(value)
		case FieldLinkAddress:
			q.Link = address(value)
		case FieldInterfaceID:
			q.InterfaceID = value
		case FieldRemoteID:
			q.RemoteID = value
		case FieldAttachment:
			q.Attachment = value
		case FieldRelay:
			q.Relays = append(q.Relays, relayOf(value))
		}
	}
	return q
}

// Verdict is a program's decision about a query.
type Verdict uint8

// The verdicts.
const (
	Continue Verdict = 1 + iota // the query goes on
	Drop                        // it is dropped
)

// Answer is the answer to a question.
type Answer struct {
	Number  uint64
	Verdict Verdict
	Reason  string // of Drop: a word of the configuration
	Keep    uint32 // seconds for which the verdict is good for all queries of the same key; 0: for this one

	// What the client gets, with Continue.
	Classes   []string
	Address   netip.Addr // IPv4; invalid: the daemon chooses
	Pool      string
	LeaseTime uint32 // seconds; 0: as configured
	Options   []Option
}

// Option is a DHCPv4 option for the reply. Without a value, the option is left out.
type Option struct {
	Code  byte
	Value []byte
}

// Append appends the record.
func (a *Answer) Append(b []byte) []byte {
	start := len(b)
	b = Begin(b, KindAnswer, a.Number)
	b = appendUint8(b, FieldVerdict, uint8(a.Verdict))
	if a.Reason != "" {
		b = appendText(b, FieldReason, a.Reason)
	}
	if a.Keep != 0 {
		b = appendUint32(b, FieldKeep, a.Keep)
	}
	for _, c := range a.Classes {
		b = appendText(b, FieldClass, c)
	}
	b = appendAddress(b, FieldAddress, a.Address)
	if a.Pool != "" {
		b = appendText(b, FieldPool, a.Pool)
	}
	if a.LeaseTime != 0 {
		b = appendUint32(b, FieldLeaseTime, a.LeaseTime)
	}
	for _, o := range a.Options {
		value := o.Value[:min(len(o.Value), maxValue-1)]
		b = binary.BigEndian.AppendUint16(b, uint16(FieldOption))
		b = binary.BigEndian.AppendUint16(b, uint16(1+len(value)))
		b = append(append(b, o.Code), value...)
	}
	return End(b, start)
}

// Answer returns the record as an answer. Its verdict is 0 if it has none.
func (r Record) Answer() Answer {
	a := Answer{Number: r.Number}
	for code, value := range r.Fields() {
		switch code {
		case FieldVerdict:
			a.Verdict = Verdict(value[0])
		case FieldReason:
			a.Reason = string(value)
		case FieldKeep:
			a.Keep = binary.BigEndian.Uint32(value)
		case FieldClass:
			a.Classes = append(a.Classes, string(value))
		case FieldAddress:
			a.Address = address(value)
		case FieldPool:
			a.Pool = string(value)
		case FieldLeaseTime:
			a.LeaseTime = binary.BigEndian.Uint32(value)
		case FieldOption:
			a.Options = append(a.Options, Option{value[0], value[1:]})
		}
	}
	return a
}

// Event is a change of a lease that is durable, or that only time has caused, such as its end.
// Times are Unix times of the wall clock.
type Event struct {
	Cursor []byte
	Again  bool // it may have been sent before
	Event  string
	Time   uint64 // milliseconds

	Address                 netip.Addr
	Subnet                  uint32
	State                   string
	HWType                  byte
	HWAddr                  []byte
	ClientID                []byte // nil: none
	Attachment              []byte
	RemoteID                []byte // nil: none
	Source                  netip.Addr
	Start, Changed, Expires uint64 // seconds; Expires 0: never

	By        string // who ordered the change; empty: a client, or time
	Interface string // of the query, if one has caused the change
	Relays    []Relay
}

// Append appends the record.
func (e *Event) Append(b []byte) []byte {
	start := len(b)
	b = Begin(b, KindEvent, 0)
	b = AppendField(b, FieldCursor, e.Cursor)
	if e.Again {
		b = AppendField(b, FieldAgain, nil)
	}
	b = appendText(b, FieldEvent, e.Event)
	b = appendUint64(b, FieldTime, e.Time)
	b = appendAddress(b, FieldAddress, e.Address)
	b = appendUint32(b, FieldSubnet, e.Subnet)
	b = appendText(b, FieldState, e.State)
	b = appendHardware(b, e.HWType, e.HWAddr)
	b = appendGiven(b, FieldClientID, e.ClientID)
	b = appendGiven(b, FieldAttachment, e.Attachment)
	b = appendGiven(b, FieldRemoteID, e.RemoteID)
	b = appendAddress(b, FieldSource, e.Source)
	b = appendUint64(b, FieldStart, e.Start)
	b = appendUint64(b, FieldChanged, e.Changed)
	if e.Expires != 0 {
		b = appendUint64(b, FieldExpires, e.Expires)
	}
	if e.By != "" {
		b = appendText(b, FieldBy, e.By)
	}
	if e.Interface != "" {
		b = appendText(b, FieldInterface, e.Interface)
	}
	b = appendRelays(b, e.Relays)
	return End(b, start)
}

// Event returns the record as an event.
func (r Record) Event() (e Event) {
	for code, value := range r.Fields() {
		switch code {
		case FieldCursor:
			e.Cursor = value
		case FieldAgain:
			e.Again = true
		case FieldEvent:
			e.Event = string(value)
		case FieldTime:
			e.Time = binary.BigEndian.Uint64(value)
		case FieldAddress:
			e.Address = address(value)
		case FieldSubnet:
			e.Subnet = binary.BigEndian.Uint32(value)
		case FieldState:
			e.State = string(value)
		case FieldHardware:
			e.HWType, e.HWAddr = value[0], value[1:]
		case FieldClientID:
			e.ClientID = value
		case FieldAttachment:
			e.Attachment = value
		case FieldRemoteID:
			e.RemoteID = value
		case FieldSource:
			e.Source = address(value)
		case FieldStart:
			e.Start = binary.BigEndian.Uint64(value)
		case FieldChanged:
			e.Changed = binary.BigEndian.Uint64(value)
		case FieldExpires:
			e.Expires = binary.BigEndian.Uint64(value)
		case FieldBy:
			e.By = string(value)
		case FieldInterface:
			e.Interface = string(value)
		case FieldRelay:
			e.Relays = append(e.Relays, relayOf(value))
		}
	}
	return e
}

// AppendDone appends a record that says: the program is done with all events up to this cursor.
func AppendDone(b []byte, cursor []byte) []byte {
	start := len(b)
	b = Begin(b, KindDone, 0)
	b = AppendField(b, FieldCursor, cursor)
	return End(b, start)
}

// AppendForget appends a record that takes back the verdict about a key. A nil key means all.
func AppendForget(b []byte, key []byte) []byte {
	start := len(b)
	b = Begin(b, KindForget, 0)
	if key != nil {
		b = AppendField(b, FieldKey, key)
	}
	return End(b, start)
}

func appendGiven(b []byte, code Field, value []byte) []byte {
	if value == nil {
		return b
	}
	return AppendField(b, code, value)
}

func appendHardware(b []byte, kind byte, addr []byte) []byte {
	if kind == 0 && len(addr) == 0 {
		return b
	}
	addr = addr[:min(len(addr), maxValue-1)]
	b = binary.BigEndian.AppendUint16(b, uint16(FieldHardware))
	b = binary.BigEndian.AppendUint16(b, uint16(1+len(addr)))
	return append(append(b, kind), addr...)
}

func appendAddress(b []byte, code Field, a netip.Addr) []byte {
	switch {
	case !a.IsValid():
		return b
	case a.Is4():
		octets := a.As4()
		return AppendField(b, code, octets[:])
	}
	octets := a.As16()
	return AppendField(b, code, octets[:])
}

func appendRelays(b []byte, relays []Relay) []byte {
	for i := range relays {
		b = AppendRelay(b, &relays[i])
	}
	return b
}

// AppendRelay appends the field of one relay level.
func AppendRelay(b []byte, r *Relay) []byte {
	options := r.Options[:min(len(r.Options), maxValue-32)]
	b = binary.BigEndian.AppendUint16(b, uint16(FieldRelay))
	b = binary.BigEndian.AppendUint16(b, uint16(32+len(options)))
	link, peer := sixteen(r.Link), sixteen(r.Peer)
	b = append(append(b, link[:]...), peer[:]...)
	return append(b, options...)
}

// sixteen returns the octets of an address, zeros if there is none.
func sixteen(a netip.Addr) (octets [16]byte) {
	if a.IsValid() {
		octets = a.As16()
	}
	return octets
}

func relayOf(value []byte) Relay {
	return Relay{Link: address(value[:16]), Peer: address(value[16:32]), Options: value[32:]}
}

// address returns the address of four or sixteen octets.
func address(value []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(value)
	return a
}
