// Package radius asks RADIUS servers whether clients are served and what they get, keeps accounts
// of their leases, and ends leases when a server says so. It is a program outside (package
// program): dhcp4d asks it about queries and tells it what becomes of leases.
//
// # Access
//
// An Access-Request names the client by User-Name, Calling-Station-Id (its hardware address),
// NAS-Port-Id and ADSL-Agent-Circuit-Id (its Interface-Id) and ADSL-Agent-Remote-Id. An
// Access-Accept may bring:
//
//	Framed-IP-Address  the address; 255.255.255.254 leaves the choice to dhcp4d
//	Framed-Pool        the name of the pools
//	Filter-Id          a class with marked: true, several times
//	Session-Timeout    the lease time
//	Class              comes back in the accounts
//
// # Accounting
//
// allocated and reused are Start, renewed is Interim-Update, released, expired and declined are
// Stop. Records go out one by one and in their order. One that no server takes is sent again until
// one does.
package radius

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc4679"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/outside/program"
)

// Radius is the program.
type Radius struct {
	config             Config
	log                *slog.Logger
	access, accounting *servers
	ctx                context.Context
	program            program.Program
	end                func(ctx context.Context, a netip.Addr) error // ends a lease

	sessionLog *sessionLog // of told; nil: there is no accounting

	mu       sync.Mutex
	clients  map[string]*client // by attachment point, hardware address and client identifier
	sessions *sessions

	asking, disconnecting complaints
}

// client is what we know of a client. It does not change.
type client struct {
	user  string
	class [][]byte
	key   []byte // of dhcp4d's verdict about it
	mac   string
	port  string
}

// equal reports whether two clients are the same in every field.
func (c *client) equal(o *client) bool {
	return c.user == o.user && c.mac == o.mac && c.port == o.port && bytes.Equal(c.key, o.key) &&
		slices.EqualFunc(c.class, o.class, bytes.Equal)
}

// maxClients bounds what is remembered. Beyond it, accounts lack the Class of some clients.
const maxClients = 1 << 20

// New makes the program, which serves until the context ends. End ends the lease of an address.
func New(ctx context.Context, c Config, log *slog.Logger, end func(ctx context.Context, a netip.Addr) error) *Radius {
	r := &Radius{
		ctx: ctx, config: c, log: log, end: end, access: newServers(c, c.Servers),
		accounting: newServers(c, c.AccountingServers),
		clients:    map[string]*client{}, sessions: newSessions(),
		asking: complaints{ctx: ctx, log: log}, disconnecting: complaints{ctx: ctx, log: log},
	}
	r.program = program.Program{Socket: c.Socket, Name: "radius", Log: log, Workers: int(c.Workers)}
	if len(c.Servers) > 0 {
		r.program.Decide = r.decide
	}
	if len(c.AccountingServers) > 0 {
		r.program.Told, r.program.Cursor = r.told, c.Cursor
		// Accounts need the Class of clients, which an earlier process knew.
		r.program.ForgetAll = true
	}
	return r
}

// Run serves until the context of New ends.
func (r *Radius) Run() error {
	if len(r.config.AccountingServers) > 0 {
		var err error
		if r.sessionLog, r.sessions, err = openSessionLog(r.config.Cursor + ".sessions"); err != nil {
			return err
		}
		defer func() { _ = r.sessionLog.file.Close() }() // told is over
	}
	if r.config.DisconnectListen == "" {
		return r.program.Run(r.ctx)
	}
	conn, err := net.ListenPacket("udp", string(r.config.DisconnectListen))
	if err != nil {
		return fmt.Errorf("opening the socket for Disconnect-Requests (RADIUS_DISCONNECT_LISTEN): %w", err)
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, stop := context.WithCancel(r.ctx)
	defer stop()
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	running.Go(func() { r.disconnects(ctx, conn) })
	return r.program.Run(ctx)
}

// identity tells clients apart. The attachment point is there so that nobody gets the accounts of
// another by its hardware address.
func identity(attachment []byte, hwType byte, hwAddr, clientID []byte) string {
	return fmt.Sprintf("%x %d %x %x", attachment, hwType, hwAddr, clientID)
}

// userName returns the User-Name, empty if the client has nothing of the kind.
func (r *Radius) userName(interfaceID, remoteID, clientID []byte, mac string) string {
	switch r.config.UserName {
	case "remote-id":
		return readable(behindEnterprise(remoteID))
	case "mac":
		return mac
	case "client-id":
		return readable(clientID)
	}
	return readable(interfaceID)
}

// behindEnterprise returns a Remote-Id without its enterprise number.
func behindEnterprise(remoteID []byte) []byte {
	return remoteID[min(4, len(remoteID)):]
}

// readable returns an identifier as text: as it is if it is text, else 0x and hex.
func readable(id []byte) string {
	text := string(id)
	if utf8.ValidString(text) && !strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return text
	}
	return "0x" + hex.EncodeToString(id)
}

// station is a hardware address as RFC 3580 section 3.21 writes it.
func station(hwAddr []byte) string {
	return strings.ToUpper(strings.ReplaceAll(net.HardwareAddr(hwAddr).String(), ":", "-"))
}

// decide asks the servers about a client.
func (r *Radius) decide(q *outside.Query) (a outside.Answer) {
	c := &client{mac: station(q.HWAddr), port: readable(q.InterfaceID), key: append([]byte(nil), q.Key...)}
	c.user = r.userName(q.InterfaceID, q.RemoteID, q.ClientID, c.mac)
	if c.user == "" {
		return outside.Answer{Verdict: outside.Drop, Reason: r.config.RejectReason, Keep: uint32(r.config.RejectKeep)}
	}
	p := radius.New(radius.CodeAccessRequest, []byte(r.config.Secret))
	p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16)) // the first attribute, as CVE-2024-3596 asks for
	b := builder{p: p}
	b.text(rfc2865.UserName_Type, c.user)
	if r.config.Password != "" {
		b.check(rfc2865.UserPassword_SetString(p, r.config.Password))
	}
	b.number(rfc2865.ServiceType_Type, uint32(rfc2865.ServiceType_Value_CallCheck))
	b.about(r, c)
	if len(q.InterfaceID) > 0 {
		b.check(rfc4679.ADSLAgentCircuitID_Add(p, q.InterfaceID))
	}
	if len(q.RemoteID) > 4 {
		b.check(rfc4679.ADSLAgentRemoteID_Add(p, behindEnterprise(q.RemoteID)))
	}
	if b.err != nil {
		r.asking.add("a client cannot be asked about", "error", b.err)
		return a
	}
	answer, err := r.access.exchange(r.ctx, p, true)
	if err != nil {
		r.asking.add("no server answers about access", "error", err)
		return a // DHCP4D_OUTSIDE_POLICY decides
	}
	switch answer.Code {
	case radius.CodeAccessAccept:
		c.class, _ = rfc2865.Class_Gets(answer) // attributes without octets are none
		if name := rfc2865.UserName_GetString(answer); name != "" && utf8.ValidString(name) {
			c.user = name // RFC 2865 section 5.1
		}
		r.remember(identity(q.Attachment, q.HWType, q.HWAddr, q.ClientID), c)
		return r.accepted(answer)
	case radius.CodeAccessReject:
		return outside.Answer{Verdict: outside.Drop, Reason: r.config.RejectReason, Keep: uint32(r.config.RejectKeep)}
	}
	r.asking.add("an answer about access is neither Access-Accept nor Access-Reject", "code", answer.Code)
	return a
}

// The addresses of RFC 2865 section 5.8 that are none.
var userSelects, nasSelects = netip.MustParseAddr("255.255.255.255"), netip.MustParseAddr("255.255.255.254")

// accepted is the verdict that an Access-Accept stands for.
func (r *Radius) accepted(p *radius.Packet) outside.Answer {
	a := outside.Answer{Verdict: outside.Continue, Keep: uint32(r.config.Keep), Pool: rfc2869.FramedPool_GetString(p)}
	if ip, ok := netip.AddrFromSlice(rfc2865.FramedIPAddress_Get(p).To4()); ok && ip != userSelects &&
		ip != nasSelects {
		a.Address = ip
	}
	if t := uint32(rfc2865.SessionTimeout_Get(p)); t > 0 {
		a.LeaseTime, a.Keep = t, min(a.Keep, t)
	}
	budget.Spend(5 * len(p.Attributes))          // the look-ups here
	classes, _ := rfc2865.FilterID_GetStrings(p) // attributes without text are none
	for _, class := range classes {
		if class != "" {
			a.Classes = append(a.Classes, class)
		}
	}
	return a
}

// remember remembers a client, and forgets another one if there are too many.
func (r *Radius) remember(id string, c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := range r.clients {
		if len(r.clients) < maxClients || r.clients[id] != nil {
			break
		}
		delete(r.clients, other)
	}
	r.clients[id] = c
}

// told sends a record of accounting.
func (r *Radius) told(e *outside.Event) error {
	status, cause := rfc2866.AcctStatusType_Value_Stop, rfc2866.AcctTerminateCause(0)
	switch e.Event {
	case "allocated", "reused":
		status = rfc2866.AcctStatusType_Value_Start
	case "renewed":
		status = rfc2866.AcctStatusType_Value_InterimUpdate
	case "released":
		cause = rfc2866.AcctTerminateCause_Value_UserRequest
		if e.By != "" {
			cause = rfc2866.AcctTerminateCause_Value_AdminReset
		}
	case "expired":
		cause = rfc2866.AcctTerminateCause_Value_SessionTimeout
	case "declined":
		cause = rfc2866.AcctTerminateCause_Value_UserError
	default:
		return nil // the end of a quarantine
	}
	c, changed := r.track(e, status)
	if changed {
		r.keep(c.entry())
	}
	p := radius.New(radius.CodeAccountingRequest, []byte(r.config.Secret))
	b := builder{p: p}
	b.number(rfc2866.AcctStatusType_Type, uint32(status))
	b.text(rfc2866.AcctSessionID_Type, c.id)
	b.text(rfc2865.UserName_Type, c.user)
	for _, class := range c.class {
		a, err := radius.NewBytes(class)
		b.check(err)
		p.Add(rfc2865.Class_Type, a)
	}
	b.about(r, &c.client)
	b.check(rfc2865.FramedIPAddress_Add(p, e.Address.AsSlice()))
	at := e.Time / 1000
	b.number(rfc2869.EventTimestamp_Type, uint32(at))
	b.number(rfc2866.AcctDelayTime_Type, uint32(max(0, time.Now().Unix()-int64(at))))
	if status != rfc2866.AcctStatusType_Value_Start {
		b.number(rfc2866.AcctSessionTime_Type, uint32(max(0, int64(at)-int64(e.Start))))
	}
	if cause != 0 {
		b.number(rfc2866.AcctTerminateCause_Type, uint32(cause))
	}
	if b.err != nil {
		r.log.Error("a record of accounting cannot be made and is left out", "address", e.Address, "error", b.err)
		return nil //nolint:nilerr // it is of no use to try again
	}
	_, err := r.accounting.exchange(r.ctx, p, false)
	if err == nil && status == rfc2866.AcctStatusType_Value_Stop && r.over(&c) {
		r.keep(entry{Address: c.address})
	}
	return err
}

// sessionOf names a session: an address, and since when a client has it.
func sessionOf(a netip.Addr, start uint64) string {
	return fmt.Sprintf("%08x-%x", binary.BigEndian.Uint32(a.AsSlice()), start)
}

// track notes which client has an address, and returns its session, and whether that is new.
func (r *Radius) track(e *outside.Event, status rfc2866.AcctStatusType) (_ session, changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := session{address: e.Address, id: sessionOf(e.Address, e.Start)}
	before := r.sessions.at[e.Address]
	switch c := r.clients[identity(e.Attachment, e.HWType, e.HWAddr, e.ClientID)]; {
	case c != nil:
		now.client = *c
	case before != nil && before.id == now.id: // it began before our start
		now.client = before.client
	default:
		now.client = r.stranger(e)
	}
	if status == rfc2866.AcctStatusType_Value_Stop ||
		(before != nil && before.id == now.id && before.equal(&now.client)) {
		return now, false
	}
	if before != nil || len(r.sessions.at) < maxClients {
		r.sessions.put(now)
	}
	return now, true
}

// stranger is a client that no server was asked about.
func (r *Radius) stranger(e *outside.Event) client {
	var interfaceID, remoteID []byte
	if n := len(e.Relays); n > 0 {
		for code, value := range dhcp6.Options(e.Relays[n-1].Options) {
			switch code {
			case dhcp6.OptInterfaceID:
				interfaceID = value
			case dhcp6.OptRemoteID:
				remoteID = value
			}
		}
	}
	mac := station(e.HWAddr)
	return client{mac: mac, user: r.userName(interfaceID, remoteID, e.ClientID, mac), port: readable(interfaceID)}
}

// over forgets a session, and reports whether it was known.
func (r *Radius) over(s *session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.sessions.at[s.address]; now == nil || now.id != s.id {
		return false
	}
	r.sessions.remove(s.address)
	return true
}

// builder adds attributes and remembers the first error.
type builder struct {
	p   *radius.Packet
	err error
}

func (b *builder) check(err error) { b.err = cmp.Or(b.err, err) }

// text adds an attribute that is text, if there is any.
func (b *builder) text(t radius.Type, text string) {
	if text == "" {
		return
	}
	a, err := radius.NewString(text)
	b.check(err)
	b.p.Add(t, a)
}

func (b *builder) number(t radius.Type, n uint32) { b.p.Add(t, radius.NewInteger(n)) }

// about adds who we are, and who the client is.
func (b *builder) about(r *Radius, c *client) {
	b.text(rfc2865.NASIdentifier_Type, r.config.NASIdentifier)
	b.text(rfc2865.CallingStationID_Type, c.mac)
	b.text(rfc2869.NASPortID_Type, c.port)
}
