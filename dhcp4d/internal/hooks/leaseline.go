package hooks

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// appendLine appends the line of a change, a JSON object. It writes what encoding/json would write
// of the type Line in the tests, but allocates nothing.
func appendLine(b []byte, e *event.Lease) []byte {
	v := &e.Binding
	b = appendTime(append(b, `{"time":`...), e.Time.UTC())
	b = appendText(append(b, `,"event":`...), e.Event.String())
	if e.By != "" {
		b = appendText(append(b, `,"by":`...), e.By)
	}
	b = appendAddr(append(b, `,"address":`...), v.Addr)
	b = strconv.AppendUint(append(b, `,"subnet":`...), uint64(v.Subnet), 10)
	if id := identifier(v.Client); len(id) > 0 {
		b = appendHex(append(b, `,"client_id":`...), id)
	}
	b = strconv.AppendUint(append(b, `,"hw_type":`...), uint64(v.HWType), 10)
	if len(v.HWAddr) > 0 {
		b = appendHex(append(b, `,"hw_address":`...), v.HWAddr)
	}
	b = appendAddr(append(b, `,"ipv6_source":`...), v.Source)
	if e.Interface != "" {
		b = appendText(append(b, `,"interface":`...), e.Interface)
	}
	for i := range e.Relays {
		if i == 0 {
			b = append(b, `,"relays":[`...)
		} else {
			b = append(b, ',')
		}
		b = appendRelay(b, &e.Relays[i])
	}
	if len(e.Relays) > 0 {
		b = append(b, ']')
	} else if id := v.Remote(); len(id) > 0 {
		b = appendHex(append(b, `,"remote_id":`...), id) // no query has caused the change
	}
	b = appendTime(append(b, `,"start":`...), moment(v.Start))
	b = append(b, `,"expires":`...)
	if v.Expires == lease.Never {
		b = append(b, "null"...)
	} else {
		b = appendTime(b, moment(v.Expires))
	}
	return append(b, '}', '\n')
}

func appendRelay(b []byte, r *event.Relay) []byte {
	b = appendAddr(append(b, `{"link_address":`...), r.LinkAddress)
	b = appendAddr(append(b, `,"peer_address":`...), r.PeerAddress)
	if len(r.InterfaceID) > 0 {
		b = appendHex(append(b, `,"interface_id":`...), r.InterfaceID)
	}
	if len(r.RemoteID) > 0 {
		b = appendHex(append(b, `,"remote_id":`...), r.RemoteID)
	}
	return append(b, '}')
}

func moment(t lease.Time) time.Time { return time.Unix(int64(t), 0).UTC() }

// appendTime appends a time as RFC 3339 has it.
func appendTime(b []byte, t time.Time) []byte {
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
}

func appendAddr(b []byte, a netip.Addr) []byte {
	b = append(b, '"')
	if a.IsValid() {
		b = a.WithZone("").AppendTo(b)
	}
	return append(b, '"')
}

// appendText appends a name that an operator or a dhcp6d has given, as a JSON string.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			q, err := json.Marshal(s)
			if err != nil {
				panic("lease log: " + err.Error()) // a string can always be encoded
			}
			return append(b, q...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// identifier returns the client identifier in a client key, nil if the key is a hardware address.
func identifier(key []byte) []byte {
	if len(key) == 0 || key[0] != dhcp4.KeyClientID {
		return nil
	}
	return key[1:]
}

// appendHex appends v in hexadecimal and in quotes.
func appendHex(b, v []byte) []byte { return append(octets.AppendHex(append(b, '"'), v), '"') }
