package hooks

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// aclVariables are the variables of the hook acl.
type aclVariables struct {
	Allow []aclRule `env:"ALLOW" kind:"list of prefix=…, interface-id=…, remote-id=enterprise:…; an id is text or 0x and hex" open:"true" desc:"hook acl: serve only these, and nobody else"`
	Deny  []aclRule `env:"DENY" kind:"list as for ALLOW" open:"true" desc:"hook acl: never serve these, whatever ALLOW says"`

	AllowTest aclTest `env:"ALLOW_TEST" kind:"expression, see expressions.md" open:"true" desc:"hook acl: serve only those that it is true of, and those of ALLOW"`
	DenyTest  aclTest `env:"DENY_TEST" kind:"expression as for ALLOW_TEST" open:"true" desc:"hook acl: never serve those that it is true of"`
}

// Check implements hook.Checker. A list from a file may be empty for a while.
func (v *aclVariables) Check(c *hook.Check) {
	given := c.Given("ALLOW") || c.Given("DENY") || c.Given("ALLOW_TEST") || c.Given("DENY_TEST")
	if len(v.Allow)+len(v.Deny) == 0 && !given {
		c.Mistake("", "the hook acl has nothing to do", "set "+c.Name("ALLOW")+" or "+c.Name("DENY"))
	}
}

// aclTest is an expression over what dhcp6d sees of a datagram; nil is none.
type aclTest struct{ *expression.Test }

// UnmarshalText compiles an expression.
func (t *aclTest) UnmarshalText(text []byte) (err error) {
	t.Test, err = expression.CompileTest(string(text), &expression.Vocabulary{V6: true})
	return err
}

// acl is the hook that decides who is served. It drops a packet that the list deny matches. If the
// list allow has entries, it drops a packet that allow does not match. The cost grows with the
// logarithm of the number of prefixes, and does not grow with the number of identifiers.
//
// A prefix is compared with the datagram's source. For a relayed message it is also compared with
// the address that names the client's link, and with the client's address as its relay saw it. An
// identifier denies at any level of the relay chain, but allows only at the level next to the
// client. Levels that are not believed do not count (package attachment).
type acl struct {
	allow, deny *list
	all         bool // there is no allow list, so everybody is allowed

	allowTest, denyTest *expression.Test // nil: none
	eval                expression.Evaluator
	member              expression.Membership // dhcp6d has no classes
}

func newACL(v *aclVariables, _ hook.Env, _ *acl) (*acl, error) {
	return &acl{
		allow: compile(v.Allow), deny: compile(v.Deny), all: len(v.Allow) == 0 && v.AllowTest.Test == nil,
		allowTest: v.AllowTest.Test, denyTest: v.DenyTest.Test,
	}, nil
}

// Attach implements hook.Hook.
func (a *acl) Attach(to *hook.Attachment) { event.Pkt6Receive.Run(to, a.run) }

func (a *acl) run(e *event.Datagram) drop.Reason {
	if a.deny.addresses(e.Path) {
		return hook.Drop
	}
	for i := range e.Packet.Relays() {
		if a.deny.identifiers(e.Packet.Relay(i)) {
			return hook.Drop
		}
	}
	if a.denyTest != nil && a.holds(a.denyTest, e) {
		return hook.Drop
	}
	if a.all || a.allow.addresses(e.Path) {
		return hook.Continue
	}
	if a.allowTest != nil && a.holds(a.allowTest, e) {
		return hook.Continue
	}
	if r, ok := e.Path.Relay(); ok && a.allow.identifiers(r) {
		return hook.Continue
	}
	return hook.Drop
}

// holds reports whether a test is true of a datagram.
func (a *acl) holds(test *expression.Test, e *event.Datagram) bool {
	q := expression.Query{Path: e.Path}
	if !e.Local.IsMulticast() {
		q.Local = e.Local
	}
	a.eval.Begin(q, nil, &a.member)
	return test.Holds(&a.eval)
}

// list is a list of rules compiled for lookup.
type list struct {
	prefixes     attachment.Prefixes
	interfaceIDs map[string]struct{}
	remoteIDs    map[string]struct{}
}

func compile(rules []aclRule) *list {
	l := &list{interfaceIDs: map[string]struct{}{}, remoteIDs: map[string]struct{}{}}
	var prefixes []netip.Prefix
	for _, r := range rules {
		switch {
		case r.InterfaceID != nil:
			l.interfaceIDs[string(r.InterfaceID)] = struct{}{}
		case r.RemoteID != nil:
			l.remoteIDs[string(r.RemoteID)] = struct{}{}
		default:
			prefixes = append(prefixes, r.Prefix)
		}
	}
	l.prefixes = attachment.NewPrefixes(prefixes)
	return l
}

// addresses reports whether an address that a packet comes from is listed.
func (l *list) addresses(p *attachment.Path) bool {
	if l.prefixes.Len() == 0 {
		return false
	}
	if l.prefixes.Contains(p.Source) || l.prefixes.Contains(p.Client()) {
		return true
	}
	link := p.Link()
	return link.IsValid() && l.prefixes.Contains(link)
}

// identifiers reports whether an identifier that a relay added is listed.
func (l *list) identifiers(r dhcp6.Relay) bool {
	if id := r.InterfaceID(); id != nil && len(l.interfaceIDs) > 0 {
		budget.Spend(len(id))
		if _, ok := l.interfaceIDs[string(id)]; ok {
			return true
		}
	}
	if id := r.RemoteID(); id != nil && len(l.remoteIDs) > 0 {
		budget.Spend(len(id))
		if _, ok := l.remoteIDs[string(id)]; ok {
			return true
		}
	}
	return false
}

// aclRule is one entry of an access list. Exactly one field is set.
type aclRule struct {
	Prefix      netip.Prefix
	InterfaceID []byte
	RemoteID    []byte // enterprise number (4 octets) and identifier, as on the wire
}

// UnmarshalText parses
//
//	prefix=2001:db8::/32          a prefix or an address
//	interface-id=port-7           text, or 0x and hexadecimal
//	remote-id=2495:0xdeadbeef     enterprise number, then as above
func (r *aclRule) UnmarshalText(text []byte) error {
	key, value, ok := strings.Cut(string(text), "=")
	if !ok {
		return fmt.Errorf("%q has no = between what to compare and the value", text)
	}
	var rule aclRule
	var err error
	switch key {
	case "prefix":
		rule.Prefix, err = parsePrefix(value)
	case "interface-id":
		rule.InterfaceID, err = parseID(value)
	case "remote-id":
		rule.RemoteID, err = parseRemoteID(value)
	default:
		err = fmt.Errorf("%q is none of prefix, interface-id and remote-id", key)
	}
	if err != nil {
		return err
	}
	*r = rule
	return nil
}

func parsePrefix(s string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(s)
	if a, errAddr := netip.ParseAddr(s); errAddr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil || !p.Addr().Is6() || p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%q is no IPv6 prefix or address", s)
	case config.NoHost(p):
		return netip.Prefix{}, fmt.Errorf("%q holds no address that a datagram can come from", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%q has bits set after its length (%v?)", s, p.Masked())
	}
	return p, nil
}

func parseID(s string) ([]byte, error) {
	digits, isHex := strings.CutPrefix(s, "0x")
	if !isHex {
		if s == "" {
			return nil, fmt.Errorf("an identifier is empty (0x stands for one without octets)")
		}
		return []byte(s), nil
	}
	b, err := octets.Decode(digits)
	if err != nil {
		return nil, fmt.Errorf("%q is not hexadecimal", s)
	}
	return b, nil
}

func parseRemoteID(s string) ([]byte, error) {
	number, value, ok := strings.Cut(s, ":")
	enterprise, err := strconv.ParseUint(number, 10, 32)
	if !ok || err != nil {
		return nil, fmt.Errorf("%q does not begin with an enterprise number and a colon", s)
	}
	id, err := parseID(value)
	switch {
	case err != nil:
		return nil, err
	case len(id) == 0:
		return nil, fmt.Errorf("%q has an empty identifier", s)
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(enterprise)), id...), nil
}
