// Package export is a lease as people and other programs see it: an object in
// JSON, a line in CSV, and both read back.
//
// It owns the names of the fields, which the API, its commands and the files
// that they write share. Identifiers are hexadecimal with colons, identifiers
// of relays text where they are text and 0x with hexadecimal otherwise, times
// RFC 3339 in UTC. What is written holds everything that a binding is made
// of, so that an export read back is the same lease. It knows no store and no
// table.
package export

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
)

// Lease is a lease, a former one, an offer or a quarantine.
type Lease struct {
	Address   netip.Addr `json:"address"`
	Subnet    uint32     `json:"subnet"`
	State     State      `json:"state"`
	ClientID  string     `json:"client_id"`   // empty: known by its hardware address
	HWType    byte       `json:"hw_type"`     // as in chaddr's message
	HWAddress string     `json:"hw_address"`  // may be empty
	Source    netip.Addr `json:"ipv6_source"` // empty: not known
	Point     *Point     `json:"attachment_point"`
	Start     time.Time  `json:"start"`
	Changed   time.Time  `json:"changed"`
	Expires   *time.Time `json:"expires"` // null: never
}

// State is what a lease is at the moment that it is shown.
type State string

// The states.
const (
	Offered  State = "offered"
	Bound    State = "bound"
	Expired  State = "expired" // bound until it ended; its client may have the address again
	Released State = "released"
	Declined State = "declined" // in quarantine
)

// States are all of them.
func States() []State { return []State{Offered, Bound, Expired, Released, Declined} }

// Point is an attachment point: the link and what names the port on it.
type Point struct {
	Kind    string     `json:"kind"`
	Address netip.Addr `json:"address"`
	ID      string     `json:"id"`
	Digest  bool       `json:"digest"` // the identifier was long; ID is its SHA-256
}

// kinds are the names of the kinds of attachment point.
var kinds = [...]string{
	lease.PointInterfaceID: "interface-id", // link-address and Interface-Id
	lease.PointRemoteID:    "remote-id",    // link-address and Remote-Id
	lease.PointPeer:        "relay-peer",   // link-address and peer-address
	lease.PointDirect:      "direct",       // IPv6 source and interface of dhcp6d
}

// digested marks the kind of a point whose identifier was long.
const digested = 0x80

// Of shows a binding as it is at a time. It copies what it needs.
func Of(b *lease.Binding, now lease.Time) Lease {
	l := Lease{
		Address: b.Addr, Subnet: b.Subnet, State: StateOf(b, now),
		HWType: b.HWType, HWAddress: colons(b.HWAddr), Source: b.Source, Point: pointOf(b.Point),
		Start: moment(b.Start), Changed: moment(b.Changed),
	}
	if len(b.Client) > 1 && b.Client[0] == lease.KeyIdentifier {
		l.ClientID = colons(b.Client[1:])
	}
	if b.Expires != lease.Never {
		t := moment(b.Expires)
		l.Expires = &t
	}
	return l
}

// StateOf is the state of a binding at a time.
func StateOf(b *lease.Binding, now lease.Time) State {
	switch {
	case b.State == lease.Bound && b.Expires <= now:
		return Expired
	case b.State == lease.Bound:
		return Bound
	case b.State == lease.Offered:
		return Offered
	case b.State == lease.Declined:
		return Declined
	}
	return Released
}

// Binding is the record of a lease that was shown. An offer has none.
func (l *Lease) Binding() (lease.Binding, error) {
	b := lease.Binding{
		Addr: l.Address, Subnet: l.Subnet, HWType: l.HWType, Source: l.Source,
		Start: lease.Time(l.Start.Unix()), Changed: lease.Time(l.Changed.Unix()), Expires: lease.Never,
	}
	if !l.Address.Is4() {
		return b, fmt.Errorf("address %q is no IPv4 address", l.Address)
	}
	switch l.State {
	case Bound, Expired:
		b.State = lease.Bound
	case Released:
		b.State = lease.Released
	case Declined:
		b.State = lease.Declined
	case Offered:
		return b, errors.New("an offer is not kept")
	default:
		return b, fmt.Errorf("there is no state %q", l.State)
	}
	if l.Expires != nil {
		b.Expires = lease.Time(l.Expires.Unix())
	}
	var id []byte
	var err error
	if id, err = Octets(l.ClientID); err != nil {
		return b, fmt.Errorf("client identifier: %w", err)
	}
	if b.HWAddr, err = Octets(l.HWAddress); err != nil {
		return b, fmt.Errorf("hardware address: %w", err)
	}
	if b.Client, err = Key(id, b.HWType, b.HWAddr, b.State); err != nil {
		return b, err
	}
	b.Point, err = l.Point.octets()
	return b, err
}

// The longest that DHCPv4 can carry: see the table of leases.
const (
	maxKey    = 256
	maxHWAddr = 16
)

// Key is the key of a client, and of nobody for a declined address whose
// client is not known any more.
func Key(id []byte, hwType byte, hwAddr []byte, state lease.State) ([]byte, error) {
	key := lease.AppendKey(nil, id, hwType, hwAddr)
	switch {
	case len(hwAddr) > maxHWAddr:
		return nil, fmt.Errorf("hardware address of %d octets", len(hwAddr))
	case len(key) > maxKey:
		return nil, fmt.Errorf("client identifier of %d octets", len(id))
	case len(key) == 0 && state == lease.Declined:
		return []byte{lease.KeyHardware, hwType}, nil
	case len(key) == 0:
		return nil, errors.New("neither client identifier nor hardware address")
	}
	return key, nil
}

func pointOf(octets []byte) *Point {
	if len(octets) < 17 {
		return nil
	}
	kind := octets[0] &^ digested
	p := &Point{Kind: "unknown", Address: netip.AddrFrom16([16]byte(octets[1:17])), ID: config.ShowOctets(octets[17:]), Digest: octets[0]&digested != 0}
	if int(kind) < len(kinds) && kinds[kind] != "" {
		p.Kind = kinds[kind]
	}
	return p
}

// octets are the point as a binding has it.
func (p *Point) octets() ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	var id []byte
	if p.ID != "" {
		var err error
		if id, err = config.ParseOctets(p.ID); err != nil {
			return nil, fmt.Errorf("identifier of the attachment point: %w", err)
		}
	}
	if len(id) > lease.MaxPoint-17 || !p.Address.Is6() {
		return nil, fmt.Errorf("attachment point %q of %v is not one", p.Kind, p.Address)
	}
	for kind, name := range kinds {
		if name != "" && name == p.Kind {
			octets := lease.AppendPoint(nil, byte(kind), p.Address, id)
			if p.Digest {
				octets[0] |= digested
			}
			return octets, nil
		}
	}
	return nil, fmt.Errorf("there is no kind %q of attachment point", p.Kind)
}

func moment(t lease.Time) time.Time {
	return time.Unix(int64(min(max(t, 0), math.MaxUint32)), 0).UTC()
}

func colons(b []byte) string {
	s := make([]byte, 0, 3*len(b))
	for i := range b {
		if i > 0 {
			s = append(s, ':')
		}
		s = hex.AppendEncode(s, b[i:i+1])
	}
	return string(s)
}

// Octets reads hexadecimal with or without colons, nil where there is none.
func Octets(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil {
		return nil, fmt.Errorf("%.60q is not hexadecimal", s)
	}
	return b, nil
}
