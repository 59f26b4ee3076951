// Package leasefile is leases as people and other programs see them: an object in JSON, a line in
// CSV, and the files that hold many.
//
// [Of] and [Lease.Binding] turn a record into what is shown and back. The names of the fields are
// those of the API, of its commands and of the files. Identifiers are hexadecimal with colons;
// identifiers of relays are text where they are printable, else 0x and hexadecimal; times are RFC
// 3339 in UTC. What is shown holds everything that a record is made of, so that an export read back
// is the same lease.
//
// [Export] and [Import] move leases between the store of a stopped dhcp4d and files. Import also
// reads the lease files of kea-dhcp4.
package leasefile

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
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
	// RemoteID is the Remote-Id of the relay next to the client, as octets.ParseRemoteID takes it.
	// It is empty if there is none.
	RemoteID string `json:"remote_id,omitempty"`

	Start   *time.Time `json:"start"`   // null: not given yet, an offer
	Changed *time.Time `json:"changed"` // null: never written, an offer
	Expires *time.Time `json:"expires"` // null: never
	// Orphaned says that no subnet of the configuration has the address: the lease is kept until it
	// ends, and not renewed. It is about the configuration of the dhcp4d that was asked, so a file
	// does not have it, and it is not read back.
	Orphaned bool `json:"orphaned,omitempty"`
	// SubnetName is the name of the subnet that has the address, of the same configuration.
	SubnetName string `json:"subnet_name,omitempty"`
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

// Former is, in a question, Expired or Released.
const Former State = "former"

// Is reports whether a lease in a state is what a question for another state means.
func (s State) Is(asked State) bool {
	return s == asked || (asked == Former && (s == Expired || s == Released))
}

// States are all of them.
func States() []State { return []State{Offered, Bound, Expired, Released, Declined} }

// Point is an attachment point (package attachment): a relay and what names the port on it, or an
// interface of dhcp6d and what tells a host on it.
type Point struct {
	Kind    string     `json:"kind"`
	Address netip.Addr `json:"address"`
	ID      string     `json:"id"`
	Digest  bool       `json:"digest"` // the identifier was long; ID is its SHA-256
	// Within is, for a direct point, the dhcp6d, empty if that is not known. For a relay that is
	// not named by its address, it is the place at which the relay was seen, in hexadecimal.
	Within string `json:"within"`
	// CountedBy is what the limit counts the lease by, where that is not its attachment point.
	CountedBy string `json:"counted_by,omitempty"`
}

// kinds are the names of the kinds of attachment point.
var kinds = [...]string{
	attachment.InterfaceID:  "interface-id",  // relay and Interface-Id
	attachment.RemoteID:     "remote-id",     // relay and Remote-Id
	attachment.SubscriberID: "subscriber-id", // relay and Subscriber-Id
	attachment.Relay:        "relay-peer",    // relay and host
	attachment.Direct:       "direct",        // host and interface of dhcp6d
}

// String is the point in words.
func (p *Point) String() string {
	if p.CountedBy != "" {
		point := *p
		point.CountedBy = ""
		return point.String() + ", counted by " + quoted(p.CountedBy)
	}
	switch {
	case p.Kind != kinds[attachment.Direct]:
		s := fmt.Sprintf("%s %s at %v", p.Kind, quoted(p.ID), p.Address)
		if octets, err := octets.Parse(p.Within); err == nil && p.Within != "" {
			if within := PointOf(octets); within != nil {
				s += " within " + within.String()
			}
		}
		return s
	case p.Within != "":
		return fmt.Sprintf("%s %s of %s at %v", p.Kind, p.ID, p.Within, p.Address)
	}
	return fmt.Sprintf("%s %s at %v", p.Kind, p.ID, p.Address)
}

// quoted is an identifier in a sentence: in quotes where it has blanks.
func quoted(id string) string {
	if strings.Contains(id, " ") {
		return strconv.Quote(id)
	}
	return id
}

// Of shows a binding as it is at a time. It copies what it needs.
func Of(b *lease.Binding, now lease.Time) Lease {
	l := Lease{
		Address: b.Addr, Subnet: b.Subnet, State: StateOf(b, now),
		HWType: b.HWType, HWAddress: string(octets.AppendHex(nil, b.HWAddr)), Source: b.Source, Point: PointOf(b.Point),
		Start: since(b.Start), Changed: since(b.Changed),
	}
	if len(b.Client) > 1 && b.Client[0] == lease.KeyIdentifier {
		l.ClientID = string(octets.AppendHex(nil, b.Client[1:]))
	}
	if id := b.Remote(); len(id) >= lease.MinRemoteID {
		l.RemoteID = octets.ShowRemoteID(id)
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
		ID: lease.ID{Addr: l.Address}, Subnet: l.Subnet, HWType: l.HWType, Source: l.Source,
		Start: stored(l.Start), Changed: stored(l.Changed), Expires: lease.Never,
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
	if b.Point, err = l.Point.octets(); err != nil || l.RemoteID == "" {
		return b, err
	}
	remote, err := octets.ParseRemoteID(l.RemoteID)
	if err != nil {
		return b, fmt.Errorf("Remote-Id: %w", err)
	}
	b.RemoteID = lease.BesidePoint(b.Point, remote)
	return b, nil
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

// PointOf shows an attachment point, nil for one that is not known. It copies what it needs.
func PointOf(point []byte) *Point {
	parts, ok := attachment.Split(point)
	if !ok {
		return nil
	}
	p := &Point{Kind: kinds[parts.Kind], Address: parts.Address, ID: octets.Show(parts.Name), Digest: parts.Digest}
	if parts.Count != nil {
		p.CountedBy = octets.Show(parts.Count)
	}
	switch {
	case parts.Server != nil:
		p.Within = octets.Show(parts.Server)
	case parts.Within != nil:
		p.Within = "0x" + hex.EncodeToString(parts.Within)
	}
	return p
}

// octets are the point as a binding has it.
func (p *Point) octets() ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	kind := slices.Index(kinds[:], p.Kind)
	if p.Kind == "" || kind < 0 {
		return nil, fmt.Errorf("there is no kind %q of attachment point", p.Kind)
	}
	parts := attachment.Parts{Kind: attachment.Kind(kind), Address: p.Address, Digest: p.Digest}
	var err error
	if p.ID != "" {
		if parts.Name, err = octets.Parse(p.ID); err != nil {
			return nil, fmt.Errorf("identifier of the attachment point: %w", err)
		}
	}
	if p.CountedBy != "" {
		if parts.Count, err = octets.Parse(p.CountedBy); err != nil {
			return nil, fmt.Errorf("what the lease is counted by: %w", err)
		}
	}
	if p.Within != "" {
		within, err := octets.Parse(p.Within)
		if err != nil || len(within) > attachment.MaxPoint {
			return nil, fmt.Errorf("attachment point within %.60q, which is no place", p.Within)
		}
		if parts.Kind == attachment.Direct {
			parts.Server = within
		} else {
			parts.Within = within
		}
	}
	if !p.Address.Is6() {
		return nil, fmt.Errorf("attachment point %q of %v is not one", p.Kind, p.Address)
	}
	octets := parts.Append(nil)
	if _, ok := attachment.Split(octets); !ok || len(octets) > attachment.MaxPoint {
		return nil, fmt.Errorf("attachment point %q of %v is not one", p.Kind, p.Address)
	}
	return octets, nil
}

// since is the time of something that has happened, nil if it has not.
func since(t lease.Time) *time.Time {
	if t == 0 {
		return nil
	}
	m := moment(t)
	return &m
}

// stored is a time as a record has it.
func stored(t *time.Time) lease.Time {
	if t == nil {
		return 0
	}
	return lease.Time(t.Unix())
}

func moment(t lease.Time) time.Time {
	return time.Unix(int64(min(max(t, 0), math.MaxUint32)), 0).UTC()
}

// Octets reads hexadecimal with or without colons, nil where there is none.
func Octets(s string) ([]byte, error) {
	if s == "" {
		return nil, nil
	}
	b, err := octets.Decode(strings.TrimPrefix(s, "0x"))
	if err != nil {
		return nil, fmt.Errorf("%.60q is not hexadecimal", s)
	}
	return b, nil
}
