package radius

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"layeh.com/radius"
	"layeh.com/radius/rfc2865"
	"layeh.com/radius/rfc2866"
	"layeh.com/radius/rfc2869"
	"layeh.com/radius/rfc3576"
	"layeh.com/radius/rfc4679"
	"layeh.com/radius/rfc5176"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/exit"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

const secret = "testing123"

// fake is a RADIUS server that answers as a function says.
type fake struct {
	at string

	mu  sync.Mutex
	got []*radius.Packet
}

// serve runs a server. Answer returns nil where it is silent.
func serve(t *testing.T, answer func(p *radius.Packet) *radius.Packet) *fake {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	f := &fake{at: conn.LocalAddr().String()}
	go func() {
		buf := make([]byte, radius.MaxPacketLength)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			p, err := radius.Parse(buf[:n], []byte(secret))
			if err != nil || !radius.IsAuthenticRequest(buf[:n], []byte(secret)) {
				continue
			}
			f.mu.Lock()
			f.got = append(f.got, p)
			f.mu.Unlock()
			if a := answer(p); a != nil {
				if b, err := a.Encode(); err == nil {
					_, _ = conn.WriteTo(b, from)
				}
			}
		}
	}()
	return f
}

func (f *fake) last(t *testing.T) *radius.Packet {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.got) == 0 {
		t.Fatal("the server got nothing")
	}
	return f.got[len(f.got)-1]
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.got)
}

// signed adds a Message-Authenticator to an answer.
func signed(p, request *radius.Packet) *radius.Packet {
	p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
	if err := authenticate(p, request.Authenticator); err != nil {
		panic(err)
	}
	return p
}

// made makes a program that is not running.
func made(t testing.TB, end func(context.Context, netip.Addr) error, environ ...string) *Radius {
	t.Helper()
	c, err := Load(append([]string{"RADIUS_SOCKET=/run/x", "RADIUS_SECRET=" + secret, "RADIUS_NAS_IDENTIFIER=nas", "RADIUS_TIMEOUT=2s",
		"RADIUS_CURSOR=" + filepath.Join(t.TempDir(), "cursor")}, environ...))
	if err != nil {
		t.Fatal(err)
	}
	return New(t.Context(), c, slog.New(slog.DiscardHandler), end)
}

func asked() *outside.Query {
	return &outside.Query{
		Key: []byte("port-7"), HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, 1}, ClientID: []byte{0xff, 1}, Attachment: []byte("here"),
		InterfaceID: []byte("port-7"), RemoteID: []byte("\x00\x00\x00\x09line 7"),
	}
}

func TestAccess(t *testing.T) {
	accept := func(set func(p *radius.Packet)) func(p *radius.Packet) *radius.Packet {
		return func(p *radius.Packet) *radius.Packet {
			a := p.Response(radius.CodeAccessAccept)
			set(a)
			return signed(a, p)
		}
	}
	for _, tt := range []struct {
		name   string
		answer func(p *radius.Packet) *radius.Packet
		want   outside.Answer
	}{
		{"accepted", accept(func(*radius.Packet) {}), outside.Answer{Verdict: outside.Continue, Keep: 300}},
		{"with everything", accept(func(p *radius.Packet) {
			_ = rfc2865.FramedIPAddress_Set(p, net.IPv4(192, 0, 2, 7))
			_ = rfc2869.FramedPool_SetString(p, "gold")
			_ = rfc2865.SessionTimeout_Set(p, 120)
			_ = rfc2865.FilterID_AddString(p, "phones")
			_ = rfc2865.FilterID_AddString(p, "slow")
		}), outside.Answer{Verdict: outside.Continue, Keep: 120, LeaseTime: 120, Address: netip.MustParseAddr("192.0.2.7"), Pool: "gold", Classes: []string{"phones", "slow"}}},
		{"a long timeout", accept(func(p *radius.Packet) { _ = rfc2865.SessionTimeout_Set(p, 86400) }), outside.Answer{Verdict: outside.Continue, Keep: 300, LeaseTime: 86400}},
		{"the address that leaves the choice", accept(func(p *radius.Packet) { _ = rfc2865.FramedIPAddress_Set(p, net.IPv4(255, 255, 255, 254)) }),
			outside.Answer{Verdict: outside.Continue, Keep: 300}},
		{"rejected", func(p *radius.Packet) *radius.Packet { return signed(p.Response(radius.CodeAccessReject), p) },
			outside.Answer{Verdict: outside.Drop, Keep: 30, Reason: "rejected"}},
		{"a challenge", func(p *radius.Packet) *radius.Packet { return signed(p.Response(radius.CodeAccessChallenge), p) }, outside.Answer{}},
		{"no Message-Authenticator", func(p *radius.Packet) *radius.Packet { return p.Response(radius.CodeAccessAccept) }, outside.Answer{}},
		{"a wrong Message-Authenticator", func(p *radius.Packet) *radius.Packet {
			a := p.Response(radius.CodeAccessAccept)
			a.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
			return a
		}, outside.Answer{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, tt.answer)
			r := made(t, nil, "RADIUS_SERVERS="+f.at, "RADIUS_PASSWORD=dhcp")
			got := r.decide(asked())
			if got.Verdict != tt.want.Verdict || got.Keep != tt.want.Keep || got.Reason != tt.want.Reason || got.Address != tt.want.Address || got.Pool != tt.want.Pool ||
				got.LeaseTime != tt.want.LeaseTime || strings.Join(got.Classes, " ") != strings.Join(tt.want.Classes, " ") {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			p := f.last(t)
			if there, valid := authentic(p, p.Authenticator); !there || !valid || p.Attributes[0].Type != rfc2869.MessageAuthenticator_Type {
				t.Error("the request is not authenticated by its first attribute")
			}
			if rfc2865.UserName_GetString(p) != "port-7" || rfc2865.UserPassword_GetString(p) != "dhcp" || rfc2865.NASIdentifier_GetString(p) != "nas" ||
				rfc2865.CallingStationID_GetString(p) != "02-00-00-00-00-01" || rfc2869.NASPortID_GetString(p) != "port-7" ||
				rfc4679.ADSLAgentCircuitID_GetString(p) != "port-7" || rfc4679.ADSLAgentRemoteID_GetString(p) != "line 7" {
				t.Errorf("the request has %v", p.Attributes)
			}
		})
	}
}

func TestAnAnswerWithoutMessageAuthenticatorMayBeTaken(t *testing.T) {
	f := serve(t, func(p *radius.Packet) *radius.Packet { return p.Response(radius.CodeAccessAccept) })
	r := made(t, nil, "RADIUS_SERVERS="+f.at, "RADIUS_MESSAGE_AUTHENTICATOR=false")
	if a := r.decide(asked()); a.Verdict != outside.Continue {
		t.Errorf("%+v", a)
	}
}

func TestUserNames(t *testing.T) {
	f := serve(t, func(p *radius.Packet) *radius.Packet { return signed(p.Response(radius.CodeAccessAccept), p) })
	for kind, want := range map[string]string{"interface-id": "port-7", "remote-id": "line 7", "mac": "02-00-00-00-00-01", "client-id": "0xff01"} {
		r := made(t, nil, "RADIUS_SERVERS="+f.at, "RADIUS_USER_NAME="+kind)
		r.decide(asked())
		if got := rfc2865.UserName_GetString(f.last(t)); got != want {
			t.Errorf("%s: %q, want %q", kind, got, want)
		}
	}
	r := made(t, nil, "RADIUS_SERVERS="+f.at)
	before := f.count()
	if a := r.decide(&outside.Query{}); a.Verdict != outside.Drop || f.count() != before {
		t.Errorf("a client without a name gets %+v", a)
	}
}

func TestAServerThatIsSilent(t *testing.T) {
	silent := serve(t, func(*radius.Packet) *radius.Packet { return nil })
	f := serve(t, func(p *radius.Packet) *radius.Packet { return signed(p.Response(radius.CodeAccessAccept), p) })
	r := made(t, nil, "RADIUS_SERVERS="+silent.at+","+f.at, "RADIUS_TIMEOUT=200ms")
	for range 2 {
		if a := r.decide(asked()); a.Verdict != outside.Continue {
			t.Errorf("%+v", a)
		}
	}
	if order := r.access.order(time.Now()); order[0] != f.at {
		t.Error("the silent server is asked first")
	}
	later := time.Now().Add(last)
	if order := r.access.order(later); order[0] != silent.at {
		t.Error("after a while the silent server is not asked first again")
	}
	if order := r.access.order(later); order[0] != f.at {
		t.Error("while one request tries the silent server, another one does too")
	}
	alone := made(t, nil, "RADIUS_SERVERS="+silent.at, "RADIUS_TIMEOUT=50ms")
	if a := alone.decide(asked()); a.Verdict != 0 {
		t.Errorf("without any server the verdict is %+v", a)
	}
}

func event(kind string, at uint64) *outside.Event {
	return &outside.Event{Event: kind, Time: at * 1000, Address: netip.MustParseAddr("192.0.2.7"), HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, 1},
		ClientID: []byte{0xff, 1}, Attachment: []byte("here"), Start: 1_800_000_000}
}

func TestAccounting(t *testing.T) {
	access := serve(t, func(p *radius.Packet) *radius.Packet {
		a := p.Response(radius.CodeAccessAccept)
		_ = rfc2865.Class_AddString(a, "contract 9")
		_ = rfc2865.Class_AddString(a, "\xff")
		_ = rfc2865.UserName_SetString(a, "Miller")
		return signed(a, p)
	})
	f := serve(t, func(p *radius.Packet) *radius.Packet { return p.Response(radius.CodeAccountingResponse) })
	r := made(t, nil, "RADIUS_SERVERS="+access.at, "RADIUS_ACCOUNTING_SERVERS="+f.at)
	r.decide(asked())
	for _, tt := range []struct {
		event  *outside.Event
		status rfc2866.AcctStatusType
		time   uint32
		cause  rfc2866.AcctTerminateCause
	}{
		{event("allocated", 1_800_000_000), rfc2866.AcctStatusType_Value_Start, 0, 0},
		{event("renewed", 1_800_000_600), rfc2866.AcctStatusType_Value_InterimUpdate, 600, 0},
		{event("released", 1_800_000_900), rfc2866.AcctStatusType_Value_Stop, 900, rfc2866.AcctTerminateCause_Value_UserRequest},
		{event("reused", 1_800_000_000), rfc2866.AcctStatusType_Value_Start, 0, 0},
		{event("expired", 1_800_000_900), rfc2866.AcctStatusType_Value_Stop, 900, rfc2866.AcctTerminateCause_Value_SessionTimeout},
		{event("declined", 1_800_000_900), rfc2866.AcctStatusType_Value_Stop, 900, rfc2866.AcctTerminateCause_Value_UserError},
	} {
		if err := r.told(tt.event); err != nil {
			t.Fatal(err)
		}
		p := f.last(t)
		if rfc2866.AcctStatusType_Get(p) != tt.status || uint32(rfc2866.AcctSessionTime_Get(p)) != tt.time || rfc2866.AcctTerminateCause_Get(p) != tt.cause {
			t.Errorf("%s: status %v, time %v, cause %v", tt.event.Event, rfc2866.AcctStatusType_Get(p), rfc2866.AcctSessionTime_Get(p), rfc2866.AcctTerminateCause_Get(p))
		}
		classes, _ := rfc2865.Class_GetStrings(p)
		if rfc2866.AcctSessionID_GetString(p) != "c0000207-6b49d200" || rfc2865.UserName_GetString(p) != "Miller" ||
			strings.Join(classes, " ") != "contract 9 \xff" ||
			!rfc2865.FramedIPAddress_Get(p).Equal(net.IPv4(192, 0, 2, 7)) || rfc2865.CallingStationID_GetString(p) != "02-00-00-00-00-01" ||
			rfc2865.NASIdentifier_GetString(p) != "nas" || uint64(rfc2869.EventTimestamp_Get(p).Unix()) != tt.event.Time/1000 {
			t.Errorf("%s: %v", tt.event.Event, p.Attributes)
		}
	}
	n := f.count()
	if err := r.told(event("reclaimed", 1_800_000_900)); err != nil || f.count() != n {
		t.Errorf("the end of a quarantine: %v, %d records", err, f.count()-n)
	}
	released := event("released", 1_800_000_900)
	released.By = "operator"
	if err := r.told(released); err != nil || rfc2866.AcctTerminateCause_Get(f.last(t)) != rfc2866.AcctTerminateCause_Value_AdminReset {
		t.Errorf("%v, cause %v", err, rfc2866.AcctTerminateCause_Get(f.last(t)))
	}
	silent := serve(t, func(*radius.Packet) *radius.Packet { return nil })
	alone := made(t, nil, "RADIUS_ACCOUNTING_SERVERS="+silent.at, "RADIUS_TIMEOUT=50ms")
	if err := alone.told(event("allocated", 1)); err == nil {
		t.Error("a record that nobody takes is done")
	}
}

// TestSessionsSurviveAKill: after a start the records of a session have what its Start had, and
// what is over is forgotten.
func TestSessionsSurviveAKill(t *testing.T) {
	access := serve(t, func(p *radius.Packet) *radius.Packet {
		a := p.Response(radius.CodeAccessAccept)
		_ = rfc2865.Class_SetString(a, "gold \xff")
		return signed(a, p)
	})
	var answers atomic.Bool
	f := serve(t, func(p *radius.Packet) *radius.Packet {
		if !answers.Load() {
			return nil
		}
		return p.Response(radius.CodeAccountingResponse)
	})
	dir := t.TempDir()
	start := func() *Radius {
		t.Helper()
		r := made(t, nil, "RADIUS_SERVERS="+access.at, "RADIUS_ACCOUNTING_SERVERS="+f.at,
			"RADIUS_CURSOR="+filepath.Join(dir, "cursor"), "RADIUS_TIMEOUT=50ms")
		var err error
		if r.sessionLog, r.sessions, err = openSessionLog(r.config.Cursor + ".sessions"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = r.sessionLog.file.Close() })
		return r
	}
	told := func(r *Radius, e *outside.Event) *radius.Packet {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; {
			err := r.told(e)
			if err == nil {
				return f.last(t)
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	// The program ends before a server has taken the Start, and gets the event again.
	first := start()
	first.decide(asked())
	if err := first.told(event("allocated", 1_800_000_000)); err == nil {
		t.Fatal("a record that nobody takes is done")
	}
	answers.Store(true)
	for _, e := range []*outside.Event{event("allocated", 1_800_000_000), event("renewed", 1_800_000_300), event("expired", 1_800_000_900)} {
		p := told(start(), e)
		if rfc2865.UserName_GetString(p) != "port-7" || rfc2865.Class_GetString(p) != "gold \xff" || rfc2869.NASPortID_GetString(p) != "port-7" ||
			rfc2866.AcctSessionID_GetString(p) != "c0000207-6b49d200" {
			t.Errorf("%s: %v", e.Event, p.Attributes)
		}
	}
	if r := start(); len(r.sessions.at) != 0 {
		t.Errorf("after the Stop there are %d sessions", len(r.sessions.at))
	}

	// A line that a power cut has cut off costs itself only. Many changes do not make the file
	// grow.
	r := start()
	r.decide(asked())
	for i := range uint64(3 * spareLines) {
		e := event("allocated", 1_800_001_000+i)
		e.Start += i
		if _, changed := r.track(e, rfc2866.AcctStatusType_Value_Start); !changed {
			t.Fatal("another session is none")
		}
		r.keep(r.sessions.at[e.Address].entry())
	}
	path := filepath.Join(dir, "cursor.sessions")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines > spareLines+10 {
		t.Errorf("one session has %d lines", lines)
	}
	if err := os.WriteFile(path, append(text, `{"address":"192.0.2.9","sess`...), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := start(); len(r.sessions.at) != 1 || r.sessions.at[netip.MustParseAddr("192.0.2.7")].user != "port-7" {
		t.Errorf("%v", r.sessions)
	}
}

// TestAccountsOfClientsThatNobodyAskedAbout: without RADIUS_SERVERS, records name the client as the
// relay nearest to it does.
func TestAccountsOfClientsThatNobodyAskedAbout(t *testing.T) {
	f := serve(t, func(p *radius.Packet) *radius.Packet { return p.Response(radius.CodeAccountingResponse) })
	r := made(t, nil, "RADIUS_ACCOUNTING_SERVERS="+f.at)
	e := event("allocated", 1_800_000_000)
	e.Relays = []outside.Relay{
		{Options: dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("trunk"))},
		{Options: dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("port-7"))},
	}
	if err := r.told(e); err != nil {
		t.Fatal(err)
	}
	if err := r.told(event("expired", 1_800_000_900)); err != nil { // dhcp4d does not know the relays any more
		t.Fatal(err)
	}
	if p := f.last(t); rfc2865.UserName_GetString(p) != "port-7" || rfc2869.NASPortID_GetString(p) != "port-7" {
		t.Errorf("%v", p.Attributes)
	}
}

func TestDisconnect(t *testing.T) {
	f := serve(t, func(p *radius.Packet) *radius.Packet {
		if p.Code == radius.CodeAccessRequest {
			return signed(p.Response(radius.CodeAccessAccept), p)
		}
		return p.Response(radius.CodeAccountingResponse)
	})
	var ended []netip.Addr
	var fails error
	r := made(t, func(_ context.Context, a netip.Addr) error {
		ended = append(ended, a)
		return fails
	}, "RADIUS_SERVERS="+f.at, "RADIUS_ACCOUNTING_SERVERS="+f.at, "RADIUS_DISCONNECT_LISTEN=[::1]:0", "RADIUS_DISCONNECT_FROM=192.0.2.0/24")
	r.decide(asked())
	if err := r.told(event("allocated", 1_800_000_000)); err != nil {
		t.Fatal(err)
	}
	server := &net.UDPAddr{IP: net.IPv4(192, 0, 2, 53), Port: 1}
	request := func(set func(p *radius.Packet)) []byte {
		p := radius.New(radius.CodeDisconnectRequest, []byte(secret))
		set(p)
		b, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	user := func(p *radius.Packet) { _ = rfc2865.UserName_SetString(p, "port-7") }
	address := func(a, b, c, d byte) func(p *radius.Packet) {
		return func(p *radius.Packet) { _ = rfc2865.FramedIPAddress_Set(p, net.IPv4(a, b, c, d)) }
	}
	for _, tt := range []struct {
		name  string
		set   func(p *radius.Packet)
		fails error
		cause rfc3576.ErrorCause
		ends  bool
	}{
		{"by user", user, nil, 0, true},
		{"by address", address(192, 0, 2, 7), nil, 0, true},
		{"by session", func(p *radius.Packet) { _ = rfc2866.AcctSessionID_SetString(p, "c0000207-6b49d200") }, nil, 0, true},
		{"by hardware address", func(p *radius.Packet) { _ = rfc2865.CallingStationID_SetString(p, "02:00:00:00:00:01") }, nil, 0, true},
		{"an address that we do not know", address(192, 0, 2, 8), nil, 0, true},
		{"that nobody has", address(192, 0, 2, 8), exit.NotFound(errors.New("no lease")), rfc3576.ErrorCause_Value_SessionContextNotFound, true},
		{"by port", func(p *radius.Packet) { _ = rfc2869.NASPortID_SetString(p, "port-7") }, nil, 0, true},
		{"with all that it may have", func(p *radius.Packet) {
			user(p)
			_ = rfc2865.NASIdentifier_SetString(p, "nas")
			_ = rfc2865.NASIPAddress_Set(p, net.IPv4(192, 0, 2, 1))
			_ = rfc2865.ReplyMessage_SetString(p, "bye")
			_ = rfc2866.AcctTerminateCause_Set(p, rfc2866.AcctTerminateCause_Value_AdminReset)
			_ = rfc2869.EventTimestamp_Set(p, time.Now())
		}, nil, 0, true},
		{"another NAS", func(p *radius.Packet) {
			user(p)
			_ = rfc2865.NASIdentifier_SetString(p, "other")
		}, nil, rfc3576.ErrorCause_Value_NASIdentificationMismatch, false},
		{"another port", func(p *radius.Packet) {
			user(p)
			_ = rfc2869.NASPortID_SetString(p, "port-8")
		}, nil, rfc3576.ErrorCause_Value_SessionContextNotFound, false},
		{"what we cannot compare", func(p *radius.Packet) {
			user(p)
			_ = rfc2866.AcctMultiSessionID_SetString(p, "x")
		}, nil, rfc3576.ErrorCause_Value_UnsupportedAttribute, false},
		{"while dhcp4d is away", user, exit.CannotAsk(errors.New("away")), rfc3576.ErrorCause_Value_ResourcesUnavailable, true},
		{"nothing", func(*radius.Packet) {}, nil, rfc3576.ErrorCause_Value_MissingAttribute, false},
		{"another user", func(p *radius.Packet) { _ = rfc2865.UserName_SetString(p, "port-8") }, nil, rfc3576.ErrorCause_Value_SessionContextNotFound, false},
		{"an earlier session", func(p *radius.Packet) { _ = rfc2866.AcctSessionID_SetString(p, "c0000207-1") }, nil, rfc3576.ErrorCause_Value_SessionContextNotFound, false},
		{"the address of another user", func(p *radius.Packet) {
			address(192, 0, 2, 7)(p)
			_ = rfc2865.UserName_SetString(p, "port-8")
		}, nil, rfc3576.ErrorCause_Value_SessionContextNotFound, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ended, fails = nil, tt.fails
			answer := r.disconnect(t.Context(), request(func(p *radius.Packet) {
				tt.set(p)
				_ = rfc2865.ProxyState_AddString(p, "one")
				_ = rfc2865.ProxyState_AddString(p, "two")
			}), server)
			if answer == nil {
				t.Fatal("it is not answered")
			}
			want := radius.CodeDisconnectACK
			if tt.cause != 0 {
				want = radius.CodeDisconnectNAK
			}
			if states, _ := rfc2865.ProxyState_GetStrings(answer); strings.Join(states, " ") != "one two" {
				t.Errorf("the answer has the Proxy-States %q", states)
			}
			if answer.Code != want || rfc3576.ErrorCause_Get(answer) != tt.cause || (len(ended) == 1) != tt.ends {
				t.Errorf("%v, %v; ended %v", answer.Code, rfc3576.ErrorCause_Get(answer), ended)
			}
		})
	}
	other := asked()
	other.HWAddr = []byte{2, 0, 0, 0, 0, 2}
	r.decide(other)
	second := event("allocated", 1_800_000_001)
	second.Address, second.HWAddr = netip.MustParseAddr("192.0.2.9"), other.HWAddr
	if err := r.told(second); err != nil {
		t.Fatal(err)
	}
	if a := r.disconnect(t.Context(), request(user), server); rfc3576.ErrorCause_Get(a) != rfc5176.ErrorCause_Value_MultipleSessionSelectionUnsupported {
		t.Errorf("a user with two sessions: %v", rfc3576.ErrorCause_Get(a))
	}
	ended = nil
	forged := request(user)
	forged[25] ^= 1
	old := request(func(p *radius.Packet) {
		user(p)
		_ = rfc2869.EventTimestamp_Set(p, time.Now().Add(-time.Hour))
	})
	badly := request(func(p *radius.Packet) {
		user(p)
		p.Add(rfc2869.MessageAuthenticator_Type, make([]byte, 16))
	})
	for name, c := range map[string]struct {
		request []byte
		from    net.Addr
	}{
		"from elsewhere": {request(user), &net.UDPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 1}}, "forged": {forged, server}, "old": {old, server},
		"with a wrong Message-Authenticator": {badly, server}, "short": {[]byte{40, 1}, server},
	} {
		if a := r.disconnect(t.Context(), c.request, c.from); a != nil || len(ended) > 0 {
			t.Errorf("a request %s is answered by %v", name, a.Code)
		}
	}
	coa := radius.New(radius.CodeCoARequest, []byte(secret))
	b, err := coa.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if a := r.disconnect(t.Context(), b, server); a == nil || a.Code != radius.CodeCoANAK || rfc3576.ErrorCause_Get(a) != rfc3576.ErrorCause_Value_UnsupportedExtension {
		t.Errorf("a CoA-Request is answered by %v", a)
	}
}

// Whoever can send us a datagram cannot fill the disk with what we say of it.
func TestForgedRequestsFillNoLog(t *testing.T) {
	var said bytes.Buffer
	c, err := Load([]string{"RADIUS_SOCKET=/run/x", "RADIUS_SERVERS=[::1]:1812", "RADIUS_SECRET=" + secret,
		"RADIUS_DISCONNECT_LISTEN=[::1]:0", "RADIUS_DISCONNECT_FROM=192.0.2.0/24"})
	if err != nil {
		t.Fatal(err)
	}
	r := New(t.Context(), c, slog.New(slog.NewTextHandler(&said, nil)), nil)
	for _, from := range []string{"192.0.2.53", "198.51.100.1"} { // one that may, one that may not
		for range 10_000 {
			if r.disconnect(t.Context(), make([]byte, 20), &net.UDPAddr{IP: net.ParseIP(from), Port: 1}) != nil {
				t.Fatal("a forged request is answered")
			}
		}
	}
	if n := strings.Count(said.String(), "\n"); n != 1 {
		t.Errorf("20000 forged requests make %d lines", n)
	}
	r.asking.add("something else is wrong")
	if !strings.Contains(said.String(), "something else is wrong") {
		t.Error("forged requests hide trouble of another kind")
	}
}

func TestMistakesAreToldTogether(t *testing.T) {
	_, err := Load([]string{"RADIUS_SOCKET=x", "RADIUS_SERVERS=radius.example", "RADIUS_ACCOUNTING_SERVERS=[::1]:1813", "RADIUS_USER_NAME=name", "RADIUS_TIMEOUT=0s",
		"RADIUS_WORKERS=0", "RADIUS_DISCONNECT_LISTEN=:3799", "RADIUS_SERVRES=x"})
	if err == nil {
		t.Fatal("they are taken")
	}
	for _, want := range []string{
		"RADIUS_SECRET: ", `RADIUS_SERVERS: "radius.example" is no host:port; `, `RADIUS_USER_NAME: "name" is not known; give interface-id, remote-id, mac, client-id`,
		`RADIUS_SOCKET: "x" does not begin with /; `, "RADIUS_TIMEOUT: 0s is not between", "RADIUS_WORKERS: ", "RADIUS_CURSOR: is not set; ", "RADIUS_DISCONNECT_FROM: nobody may",
		"RADIUS_SERVRES", // unknown
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it lacks %q:\n%v", want, err)
		}
	}
	if _, err := Load([]string{"RADIUS_SOCKET=/x", "RADIUS_SECRET=x"}); err == nil || !strings.Contains(err.Error(), "there is nothing to do") {
		t.Errorf("%v", err)
	}
}
