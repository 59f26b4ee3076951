package config

import (
	"errors"
	"net/netip"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/softwire"
	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/document"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
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

// claim is what a rule or binding gives to CEs, and where it stands.
type claim struct {
	softwire.Claim
	at *value
}

// servicesDocument is the document as it is read.
type servicesDocument struct {
	Services
	scope  *expression.Scope
	at     []*value // of the services
	claims []claim
	list   *value // the links; they are read last, because they name classes
}

// documentKeys are those of the document.
var documentKeys = []key[servicesDocument]{
	{"classes", "list of classes", "classes of clients, which entries can be for",
		func(r *reader, v *value, d *servicesDocument) {
			for _, item := range r.List(v, "classes") {
				d.class(r, item)
			}
		}},
	{"links", "list of links", "what clients are offered; the first entry that fits a client counts",
		func(_ *reader, v *value, d *servicesDocument) { d.list = v }},
}

// classDocument is a class as it is read.
type classDocument struct {
	name string
	test *value
}

var classKeys = []key[classDocument]{
	{"name", "text", "name of the class", func(r *reader, v *value, c *classDocument) { c.name, _ = r.Scalar(v, "text") }},
	{"test", "expression, see expressions.md", "what is true of the messages of these clients",
		func(_ *reader, v *value, c *classDocument) { c.test = v }},
}

func (d *servicesDocument) class(r *reader, item *value) {
	var c classDocument
	if !mapping(r, item, "a class", classKeys, &c) {
		return
	}
	if item.Get("name") == nil || c.test == nil {
		r.Fail(item, "must have a name and a test")
		return
	}
	text, ok := r.Scalar(c.test, "an expression")
	if !ok || c.name == "" {
		return
	}
	test, err := expression.CompileTest(text, &expression.Vocabulary{V6: true, Classes: d.scope})
	if wrong, is := errors.AsType[*expression.Error](err); is {
		r.FailInside(c.test, wrong.Offset, wrong.Problem)
		return
	}
	if _, err := d.scope.Add(c.name, test, nil); err != nil {
		r.Fail(item, "%v", err)
	}
}

// linkKeys are those of an entry.
var linkKeys = []key[linkDocument]{
	{"interface", "a name or pattern such as eth*", "only clients on these interfaces whose link no relay names",
		func(r *reader, v *value, l *linkDocument) {
			s, ok := r.Scalar(v, "the name of an interface")
			if _, err := path.Match(s, ""); ok && (err != nil || strings.ContainsAny(s, "/! \t,")) {
				r.Fail(v, "%q is neither the name nor a pattern of an interface", s)
			}
			l.Interface = s
		}},
	{"link", "an IPv6 prefix", "only clients whose relay names the link by an address of the prefix",
		func(r *reader, v *value, l *linkDocument) { r.prefix(v, 6, &l.Link) }},
	{"interface-id", "text, or 0x and hex", "only clients whose relay names their port so (Interface-Id)",
		func(r *reader, v *value, l *linkDocument) {
			s, ok := r.Scalar(v, "text, or 0x and hex")
			if !ok {
				return
			}
			id, err := octets.Parse(s)
			if err != nil {
				r.Fail(v, "%v", err)
			}
			l.InterfaceID = id
		}},
	{"class", "text", "only clients of this class", func(_ *reader, v *value, l *linkDocument) { l.class = v }},
	{"aftr-name", "a domain name", "DS-Lite: the AFTR (option 64, RFC 6334)", func(r *reader, v *value, l *linkDocument) {
		s, ok := r.Scalar(v, "a domain name")
		if err := checkDomain(s); ok && (err != nil || !strings.Contains(strings.TrimSuffix(s, "."), ".")) {
			r.Fail(v, "%q is no fully qualified domain name; give one such as aftr.example.net", s)
			return
		}
		l.AFTR = s
	}},
	{"4o6-servers", "empty, or list of IPv6 addresses and multicast", "DHCPv4 over DHCPv6: the servers (option 88, " +
		"RFC 7341)", func(r *reader, v *value, l *linkDocument) { l.servers4o6(r, v) }},
	{"map-e", "MAP-E, or a list of them", "MAP-E (option 94, RFC 7597); several are several MAP domains",
		func(r *reader, v *value, l *linkDocument) {
			domains := []*value{v}
			if v.Kind == yaml.SequenceNode {
				domains = r.List(v, "MAP-E")
			}
			for _, domain := range domains {
				l.mapE(r, domain)
			}
		}},
	{"map-t", "MAP-T", "MAP-T (option 95, RFC 7599)", func(r *reader, v *value, l *linkDocument) { l.mapT(r, v) }},
	{"lw4o6", "lw4o6", "lightweight 4over6 (option 96, RFC 7596)",
		func(r *reader, v *value, l *linkDocument) { l.lw4o6(r, v) }},
	{"softwire", "softwire", "the softwire for the IPv4 address that comes by 4o6 (options 90 and 137, RFC 8539)",
		func(r *reader, v *value, l *linkDocument) { l.softwire(r, v) }},
	{"priority", "list of " + strings.Join(softwire.Mechanisms(), ", "),
		"which of them a client that knows several is to take, the first one first (option 111, RFC 8026)",
		func(r *reader, v *value, l *linkDocument) { l.priority = r.List(v, "mechanisms") }},
}

// linkDocument is an entry as it is read.
type linkDocument struct {
	Service
	class    *value
	priority []*value
	claims   []claim
}

func (l *linkDocument) servers4o6(r *reader, v *value) {
	l.Offer4o6 = true
	if v.Kind == yaml.ScalarNode && v.Value == "empty" {
		return
	}
	for _, item := range r.List(v,
		"IPv6 addresses and multicast; the word empty stands for the option without an address") {
		s, ok := r.Scalar(item, "an IPv6 address or multicast")
		if !ok {
			continue
		}
		a := allServers
		if s != "multicast" {
			var err error
			if a, err = netip.ParseAddr(s); err != nil || (!isHost(a) && !isGroup(a)) {
				r.Fail(item, "%q is no IPv6 address that a client could send to", s)
				continue
			}
		}
		if slices.Contains(l.Servers4o6, a) {
			r.Fail(item, "%v is listed twice; leave one out", a)
		}
		l.Servers4o6 = append(l.Servers4o6, a)
	}
	if v.Kind == yaml.SequenceNode && len(v.Content) == 0 {
		r.Fail(v, "is an empty list; write empty for the option without an address")
	}
}

// mapDocument is MAP-E or MAP-T as it is read.
type mapDocument struct {
	rules        []softwire.Rule
	first        map[netip.Prefix]int // which of the rules has an IPv6 prefix
	claims       []claim
	borderRelays []netip.Addr
	dmr          netip.Prefix
}

var (
	rulesKey = key[mapDocument]{"rules", "list of rules", "the mapping rules (option 89)",
		func(r *reader, v *value, m *mapDocument) {
			for _, item := range r.List(v, "rules") {
				m.rule(r, item)
			}
		}}
	mapEKeys = []key[mapDocument]{rulesKey,
		{"border-relays", "list of IPv6 addresses", "where what leaves the domain is sent to (option 90)",
			func(r *reader, v *value, m *mapDocument) { m.borderRelays = r.relays(v) }}}
	mapTKeys = []key[mapDocument]{rulesKey,
		{"default-prefix", "an IPv6 prefix", "the prefix that IPv4 addresses outside of the domain are mapped " +
			"to (option 91)", func(r *reader, v *value, m *mapDocument) {
			if r.prefix(v, 6, &m.dmr); m.dmr.Bits() > 96 {
				r.Fail(v, "%v has no room for an IPv4 address behind it; give a prefix of at most 96 bits, such as /64",
					m.dmr)
			}
		}}}
)

func (l *linkDocument) mapE(r *reader, v *value) {
	var m mapDocument
	if !mapping(r, v, "MAP-E", mapEKeys, &m) {
		return
	}
	r.needs(v, "MAP-E", "rules", "border-relays")
	l.claims = append(l.claims, m.claims...)
	l.MAPE = append(l.MAPE, softwire.MAPE{Rules: m.rules, BorderRelays: m.borderRelays})
}

func (l *linkDocument) mapT(r *reader, v *value) {
	var m mapDocument
	if !mapping(r, v, "MAP-T", mapTKeys, &m) {
		return
	}
	r.needs(v, "MAP-T", "rules", "default-prefix")
	l.claims = append(l.claims, m.claims...)
	l.MAPT = &softwire.MAPT{Rules: m.rules, Default: m.dmr}
}

// needs reports what a container lacks (RFC 7598 section 6).
func (r *reader) needs(v *value, what string, keys ...string) {
	for _, k := range keys {
		switch item := v.Get(k); {
		case item == nil:
			r.Fail(v, "%s must have %s; clients ignore it without", what, k)
		case item.Kind == yaml.SequenceNode && len(item.Content) == 0:
			r.Fail(item, "is empty; clients ignore %s without one", what)
		}
	}
}

// relays reads the addresses of border relays.
func (r *reader) relays(v *value) (relays []netip.Addr) {
	for _, item := range r.List(v, "IPv6 addresses") {
		a, ok := r.address6(item)
		switch {
		case !ok:
		case slices.Contains(relays, a):
			r.Fail(item, "%v is listed twice; leave one out", a)
		default:
			relays = append(relays, a)
		}
	}
	return relays
}

// ports are the keys of port parameters, beside those of what they belong to.
func portKeys[T any](of func(*T) *softwire.Ports, more ...key[T]) []key[T] {
	number := func(most uint64, set func(p *softwire.Ports, n uint64)) func(r *reader, v *value, into *T) {
		return func(r *reader, v *value, into *T) {
			if n, ok := r.number(v, most); ok {
				p := of(into)
				p.Given = true
				set(p, n)
			}
		}
	}
	return append(more,
		key[T]{"psid-offset", "0 to 15", "bits of a port before the PSID, which are not all zero; unset means 6 for " +
			"MAP, 0 for lw4o6", number(255, func(p *softwire.Ports, n uint64) { p.Offset = uint8(n) })},
		key[T]{"psid-length", "0 to 16", "bits of the PSID: so many CEs as a power of 2 share the address; " +
			"with EA bits it follows from these, and is best left out",
			number(255, func(p *softwire.Ports, n uint64) { p.Length = min(uint8(n), 17) })},
		key[T]{"psid", "a number, also as 0x34",
			"which of the CEs that share the address this one is; not with EA bits",
			number(65535, func(p *softwire.Ports, n uint64) { p.PSID = uint16(n) })})
}

var ruleKeys = portKeys(func(r *softwire.Rule) *softwire.Ports { return &r.Ports },
	key[softwire.Rule]{"ipv6-prefix", "an IPv6 prefix", "the prefix that the end-user prefixes of the CEs begin with",
		func(r *reader, v *value, rule *softwire.Rule) { r.prefix(v, 6, &rule.IPv6) }},
	key[softwire.Rule]{"ipv4-prefix", "an IPv4 prefix", "the IPv4 addresses of the CEs",
		func(r *reader, v *value, rule *softwire.Rule) { r.prefix(v, 4, &rule.IPv4) }},
	key[softwire.Rule]{"ea-bits", "0 to 48", "bits behind ipv6-prefix that tell the rest of a CE's IPv4 address, " +
		"and its PSID", func(r *reader, v *value, rule *softwire.Rule) {
		if n, ok := r.number(v, 255); ok {
			rule.EABits = uint8(n)
		}
	}},
	key[softwire.Rule]{"forwarding", "true or false", "CEs also send to each other by this rule, not by a border relay",
		func(r *reader, v *value, rule *softwire.Rule) { r.Boolean(v, &rule.Forwarding) }},
)

// rule reads a rule, and checks its arithmetic.
func (m *mapDocument) rule(r *reader, item *value) {
	var rule softwire.Rule
	before := len(r.Mistakes)
	if !mapping(r, item, "a rule", ruleKeys, &rule) {
		return
	}
	r.needs(item, "a rule", "ipv6-prefix", "ipv4-prefix", "ea-bits")
	if len(r.Mistakes) > before {
		return
	}
	if rule.Ports.Given && item.Get("psid-offset") == nil {
		rule.Ports.Offset = softwire.DefaultOffset
	}
	if rule.EABits == 0 && item.Get("psid-length") != nil && item.Get("psid") == nil && rule.Ports.Length > 0 {
		r.Fail(item, "has psid-length and no EA bits, so it is for one CE; give its psid")
		return
	}
	for _, wrong := range rule.Check() {
		r.at(item, wrong)
	}
	if len(r.Mistakes) > before {
		return
	}
	if i, twice := m.first[rule.IPv6]; twice {
		r.Fail(item.Get("ipv6-prefix"), "%v is in the rule in line %d already, and a CE takes one rule for its "+
			"prefix; merge them, or give another prefix", rule.IPv6, m.claims[i].at.Line)
		return
	}
	if rule.WellKnown() {
		r.Warn(item.Get("psid-offset"), "with a PSID offset above %d CEs have ports below 1024, "+
			"which services expect to be their own", softwire.DefaultOffset)
	}
	if m.first == nil {
		m.first = map[netip.Prefix]int{}
	}
	m.first[rule.IPv6] = len(m.rules)
	m.rules = append(m.rules, rule)
	m.claims = append(m.claims, claim{rule.Claim(), item})
}

// at reports a problem where its field stands.
func (r *reader) at(item *value, wrong softwire.Problem) {
	names := map[softwire.Field]string{softwire.EABits: "ea-bits", softwire.IPv4Prefix: "ipv4-prefix",
		softwire.IPv6Prefix: "ipv6-prefix",
		softwire.PSIDOffset: "psid-offset", softwire.PSIDLength: "psid-length", softwire.PSID: "psid"}
	if v := item.Get(names[wrong.Field]); v != nil {
		item = v
	}
	r.Fail(item, "%s", wrong.Text)
}

// lwDocument is lw4o6 as it is read.
type lwDocument struct {
	softwire.LW4o6
	ipv4    netip.Prefix
	binding softwire.Binding
}

var lwKeys = portKeys(func(l *lwDocument) *softwire.Ports { return &l.binding.Ports },
	key[lwDocument]{"border-relays", "list of IPv6 addresses", "the lwAFTRs (option 90)",
		func(r *reader, v *value, l *lwDocument) { l.BorderRelays = r.relays(v) }},
	key[lwDocument]{"ipv4-address", "an IPv4 address", "the address of the one CE (option 92); unset leaves it to 4o6",
		func(r *reader, v *value, l *lwDocument) {
			if r.prefix(v, 4, &l.ipv4); l.ipv4.IsValid() && l.ipv4.Bits() < 32 {
				r.Fail(v, "%v is no single address", l.ipv4)
			}
		}},
	key[lwDocument]{"bind-prefix", "an IPv6 prefix", "the CE takes its address for the softwire from this prefix",
		func(r *reader, v *value, l *lwDocument) { r.prefix(v, 6, &l.binding.IPv6) }},
)

func (l *linkDocument) lw4o6(r *reader, v *value) {
	var d lwDocument
	before := len(r.Mistakes)
	if !mapping(r, v, "lw4o6", lwKeys, &d) {
		return
	}
	r.needs(v, "lw4o6", "border-relays")
	binding := v.Get("ipv4-address") != nil || v.Get("bind-prefix") != nil || d.binding.Ports.Given
	if binding {
		r.needs(v, "lw4o6 with an address", "ipv4-address", "bind-prefix")
	}
	if len(r.Mistakes) > before {
		return
	}
	if binding {
		d.binding.IPv4 = d.ipv4.Addr()
		if d.binding.Ports.Length == 0 && d.binding.Ports.PSID == 0 {
			d.binding.Ports = softwire.Ports{} // the address is not shared
		}
		for _, wrong := range d.binding.Check() {
			r.at(v, wrong)
		}
		d.Binding = &d.binding
		l.claims = append(l.claims, claim{d.binding.Claim(), v.Get("ipv4-address")})
	}
	l.LW4o6 = &d.LW4o6
}

var softwireKeys = []key[softwire.Softwire]{
	{"border-relays", "list of IPv6 addresses", "where the client sends what leaves by the softwire (option 90)",
		func(r *reader, v *value, w *softwire.Softwire) { w.BorderRelays = r.relays(v) }},
	{"bind-prefix", "an IPv6 prefix",
		"the client takes its address for the softwire from this prefix (option 137); unset leaves it to the client",
		func(r *reader, v *value, w *softwire.Softwire) { r.prefix(v, 6, &w.Bind) }},
}

func (l *linkDocument) softwire(r *reader, v *value) {
	var w softwire.Softwire
	if !mapping(r, v, "a softwire", softwireKeys, &w) {
		return
	}
	r.needs(v, "a softwire", "border-relays")
	l.Softwire = &w
}

// link reads an entry.
func (d *servicesDocument) link(r *reader, item *value) {
	l := linkDocument{Service: Service{Class: -1, Line: item.Line}}
	before := len(r.Mistakes)
	if !mapping(r, item, "a link", linkKeys, &l) {
		return
	}
	var when []string
	for _, name := range []string{"interface", "link", "interface-id", "class"} {
		if v := item.Get(name); v != nil {
			when = append(when, name+" "+v.Value)
		}
	}
	l.when = strings.Join(when, ", ")
	if l.class != nil {
		l.Class = d.number(r, l.class)
	}
	if l.Interface != "" && l.Link.IsValid() {
		r.Fail(item, "has an interface, for clients whose link no relay names, and a link, for those whose relay "+
			"does; leave one out, or write two entries")
	}
	for _, item := range l.priority {
		s, ok := r.Scalar(item, "a mechanism")
		m, known := softwire.ParseMechanism(s)
		switch {
		case !ok:
		case !known:
			r.Fail(item, "%q must be one of %s", s, strings.Join(softwire.Mechanisms(), ", "))
		case slices.Contains(l.Priority, m):
			r.Fail(item, "%s is listed twice; leave one out", s)
		default:
			l.Priority = append(l.Priority, m)
		}
	}
	offers := l.AFTR != "" || l.Offer4o6 || l.MAPE != nil || l.MAPT != nil || l.LW4o6 != nil || l.Softwire != nil
	if !offers && len(r.Mistakes) == before {
		r.Fail(item, "offers nothing; give one of aftr-name, 4o6-servers, map-e, map-t, lw4o6, softwire")
	}
	d.claims = append(d.claims, l.claims...)
	d.List = append(d.List, l.Service)
	d.at = append(d.at, item)
}

// number returns the number of the class that a value names.
func (d *servicesDocument) number(r *reader, v *value) int {
	name, ok := r.Scalar(v, "the name of a class")
	if !ok {
		return -1
	}
	n, found := d.scope.Lookup(name)
	if found {
		return n
	}
	remedy := "there are none; define it in classes"
	if names := d.scope.Names(); len(names) > 0 {
		remedy = expression.Suggest(name, names)
	}
	r.Fail(v, "no class %s is defined; %s", name, remedy)
	return -1
}

// conflicts reports rules and bindings that give a port of an address to two CEs.
func (d *servicesDocument) conflicts(r *reader) {
	claims := make([]softwire.Claim, len(d.claims))
	for i, c := range d.claims {
		claims[i] = c.Claim
	}
	for _, c := range softwire.Conflicts(claims) {
		first, second := d.claims[c.First], d.claims[c.Second]
		r.Fail(second.at, "%v overlaps with %v in line %d: two CEs would have the same address and ports; "+
			"give each other addresses or another PSID, or the same ipv6-prefix and lengths if it is the same rule",
			second.IPv4(), first.IPv4(), first.at.Line)
	}
}

// priorities reports mechanisms that are ordered and not there, and what is too much for an answer.
// elsewhere reports whether an option is offered by a variable.
func (d *servicesDocument) priorities(r *reader, elsewhere func(code uint16) bool) {
	wrong := map[string]bool{} // such as links[3
	for _, m := range r.Mistakes {
		place, _, _ := strings.Cut(m.Path, "]")
		wrong[place] = true
	}
	for i, s := range d.List {
		if place, _, _ := strings.Cut(d.at[i].Path(), "]"); wrong[place] {
			continue // it may be about what is missing
		}
		for _, m := range s.Priority {
			if !s.offers(uint16(m)) && !elsewhere(uint16(m)) {
				r.Fail(d.at[i], "priority lists %s, which these clients are not offered; add it, or leave it out of "+
					"the list", m)
			}
		}
		if err := (answer.Options{Others: s.Options()}).CheckSize(); err != nil {
			r.Fail(d.at[i], "%v", err)
		}
	}
}

// services reads the document.
func (v linksVariable) services(l *config.Loader, elsewhere func(code uint16) bool) (Services, []string) {
	if v == "" {
		return Services{}, nil
	}
	var r reader
	d := servicesDocument{Services: Services{Classes: new(expression.Classes)}}
	d.scope = d.Classes.Scope()
	if root := r.Parse(string(v), "give links: and a list, or unset the variable"); root != nil {
		if mapping(&r, root, "the document", documentKeys, &d) {
			if d.list == nil {
				r.Fail(root, "has no links; give links: and a list")
			} else {
				for _, item := range r.List(d.list, "links") {
					d.link(&r, item)
				}
			}
		}
	}
	d.conflicts(&r)
	d.priorities(&r, elsewhere)
	if mistakes, ok := errors.AsType[document.Mistakes](r.Err()); ok {
		for _, m := range mistakes {
			l.Mistake("LINKS", m.Error(), "")
		}
		return Services{}, nil
	}
	var warnings []string
	for _, text := range r.Told() {
		warnings = append(warnings, Prefix+"LINKS: "+text)
	}
	return d.Services, warnings
}

// linksVariable is the text of the document.
type linksVariable string

// LoadServices reads only the document in DHCP6D_LINKS, for who asks about it.
func LoadServices(environ []string) (Services, error) {
	own := slices.DeleteFunc(slices.Clone(environ), func(e string) bool {
		return !strings.HasPrefix(e, Prefix+"LINKS=") && !strings.HasPrefix(e, Prefix+"LINKS_FILE=")
	})
	l := config.New(Prefix, own)
	var r struct {
		Links linksVariable `env:"LINKS,required" kind:"a YAML or JSON document, or a file with it by DHCP6D_LINKS_FILE" desc:"the document to explain"`
	}
	l.Parse(&r)
	s, _ := r.Links.services(l, func(uint16) bool { return true })
	return s, l.Err()
}
