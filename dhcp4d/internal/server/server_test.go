package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/asking"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/hook/hooktest"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc/ipctest"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/parking"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
	"github.com/dhcp4o6/dhcp4o6/shared/udp/udptest"
)

// The subnets of the tests: 1 by the clients' own prefix, 2 by what the relay
// says, 3 takes no new client, 4 has two addresses and lets a point have one, 5 and 6
// are large, the latter with a limit. Leases of 7 do not move.
const document = `
- {id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.250], match: [{prefix: "2001:db8:1::/64"}, {interface: eth1}],
   options: {routers: [192.0.2.1], domain-name-servers: [192.0.2.53]},
   classes: [{test: "option[60].hex == 'refused'", refuse: silent}]}
- {id: 2, subnet: 198.51.100.0/24, pools: [198.51.100.10-198.51.100.250], match: [{link-address: "2001:db8:7::/64"}],
   reservations: [{client-id: "ff:aa", address: 198.51.100.99}, {hw-address: "02:00:00:00:00:98", address: 198.51.100.98}]}
- {id: 3, subnet: 203.0.113.0/25, pools: [203.0.113.10-203.0.113.20], match: [{prefix: "2001:db8:3::/64"}], state: drain}
- {id: 4, subnet: 203.0.113.128/25, pools: [203.0.113.130-203.0.113.131], match: [{prefix: "2001:db8:4::/48"}], limit: 1}
- {id: 5, subnet: 11.0.0.0/8, pools: [11.0.0.10-11.15.255.250], match: [{prefix: "2001:db8:5::/48"}], offer-hold: 1d}
- {id: 6, subnet: 172.16.0.0/16, pools: [172.16.0.10-172.16.255.250], match: [{prefix: "2001:db8:6::/64"}], limit: 16}
- {id: 7, subnet: 192.0.0.0/24, pools: [192.0.0.10-192.0.0.250], match: [{prefix: "2001:db8:70::/48"}], moves: refuse, authoritative: false}
`

var (
	sixd   = netip.MustParseAddrPort("[::1]:6767")
	direct = netip.MustParseAddrPort("[fe80::a00:27ff:fe12:3456]:546")
)

// bench is dhcp4d on a socket without a kernel and a store without a disk.
type bench struct {
	clocks   *clocktest.Machine
	clock    *clock.Clock
	book     *leases.Book
	subnets  *network.Subnets
	ipc      *udptest.Socket
	end      *ipc.End
	server   *Server
	done     *Acks
	registry *prometheus.Registry
	account  *prometheus.Registry // of the ledger alone, which is much quicker to read
	store    *failing
	commits  *commit.Committer[*Replies]

	mu   sync.Mutex
	told []event.Lease // guarded by mu
}

// heard returns what the observers were told, when that is all that is counted.
func (b *bench) heard(t *testing.T) (told []event.Lease) {
	t.Helper()
	eventually(t, "observers are told what is counted", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		told = slices.Clone(b.told)
		return float64(len(told)) == b.sum(t, "dhcp4d_lease_events_total")
	})
	return told
}

// failing is a store that fails when it is told to.
type failing struct {
	store.Store
	broken atomic.Bool
}

var errBroken = errors.New("broken by the test")

func (f *failing) Commit(records []lease.Binding) ([]store.Refusal, error) {
	if f.broken.Load() {
		return nil, errBroken
	}
	return f.Store.Commit(records)
}

// Check is called beside the commits. The test may set another Store meanwhile.
func (f *failing) Check() error { return nil }

func (f *failing) Reopen() error {
	if f.broken.Load() {
		return errBroken
	}
	return nil
}

func newBench(t testing.TB, keys ...ipc.Key) *bench {
	t.Helper()
	subnets, err := config.ParseSubnets([]byte(document), config.Defaults{
		Authoritative: true, LeaseTime: 3600, OfferHold: 60, DeclineTime: 3600,
	})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	b := &bench{
		ipc: udptest.New(netip.MustParseAddrPort("[::1]:6768")), registry: prometheus.NewRegistry(),
		store: &failing{Store: store.NewMemory()}, end: ipc.NewEnd(drop.DHCP4D, keys, true), subnets: subnets, clocks: clocktest.NewMachine(time.Now()),
	}
	hooks := event.NewHooks(hooktest.Of(t, b.registry, log,
		hooktest.Kind("told", func(a *hook.Attachment) {
			event.Leases4Committed.Run(a, func(e *event.Lease) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.told = append(b.told, *e)
			})
		}),
		hooktest.Kind("poison", func(a *hook.Attachment) {
			event.Buffer4Receive.Run(a, func(e *event.Query) drop.Reason {
				switch e.Data[44] { // the first octet of sname
				case 'D':
					return hook.Drop
				case 'P':
					panic("poisoned")
				}
				return hook.Continue
			})
		})))
	settings := new(atomic.Pointer[Settings])
	settings.Store(NewSettings(subnets, []netip.Addr{netip.MustParseAddr("192.0.2.2")}, hooks, nil))
	b.clock = clock.New(b.clocks)
	b.book = leases.New(b.clock, settings.Load().Leases, leases.NewMetrics(b.registry))
	if _, err := b.book.Load(b.store); err != nil {
		t.Fatal(err)
	}
	b.account = prometheus.NewRegistry()
	series := NewSeries(both{b.registry, b.account})
	b.done = &Acks{
		Writer: b.ipc.NewWriter(64), Signer: b.end.NewSigner(),
		Ledger: series.NewLedger(), Notifier: b.book.NewNotifier(), Clock: b.clock,
	}
	b.commits = NewCommitter(Commits{Store: b.store, Limit: 8, Log: log, Metrics: commit.NewMetrics(b.registry, b.store)}, b.book, b.done)
	t.Cleanup(func() { b.commits.Close() })
	peers := new(atomic.Pointer[Peers])
	peers.Store(&Peers{sixd: {Name: "six", IPC: b.end.Peer("dhcp4d")}})
	b.server = &Server{
		Log: log, IPC: b.ipc.NewReader(64), Replies: b.ipc.NewWriter(64),
		Peers: peers, Auth: Auth{Name: "dhcp4d", Opener: b.end.NewOpener(started), Signer: b.end.NewSigner()}, Settings: settings, Book: b.book, Commits: b.commits, Ledger: series.NewLedger(),
	}
	return b
}

// hook has only this hook run.
func (b *bench) hook(t testing.TB, attach hooktest.Func) {
	t.Helper()
	b.hooks(event.NewHooks(hooktest.Set(t, attach)))
}

// hooks has those hooks run, and no others.
func (b *bench) hooks(h *event.Hooks) {
	set := b.server.Settings.Load()
	set.Hooks, set.Leases.Observers = h, &h.Leases4Committed
}

// meet gives the bench and a dhcp6d a session.
func (b *bench) meet(t testing.TB, six *ipctest.Half) {
	t.Helper()
	six.Meet(func(probe []byte) []byte {
		b.server.batch([]udp.Packet{{Data: bytes.Clone(probe), Peer: sixd}})
		return b.ipc.Sent(1)[0].Data
	})
}

// restart has the server start again under the same peers, as far as the link goes.
func (b *bench) restart(keys ...ipc.Key) {
	b.end = ipc.NewEnd(drop.DHCP4D, keys, true)
	b.server.Auth = Auth{Name: "dhcp4d", Opener: b.end.NewOpener(b.end.Begin(context.Background())), Signer: b.end.NewSigner()}
	b.done.Signer = b.end.NewSigner()
	peers := new(atomic.Pointer[Peers])
	peers.Store(&Peers{sixd: {Name: "six", IPC: b.end.Peer("dhcp4d")}})
	b.server.Peers = peers
}

// started is long enough ago for every signature of a test.
var started = time.Unix(1_700_000_000, 0)

// message is a DHCPv4 message of a client, which octet tells apart.
func message(kind dhcp4.MessageType, client byte, options ...[]byte) []byte {
	m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6, Xid: 7, CHAddr: [16]byte{2, 0, 0, 0, 0, client}})
	m = dhcp4.AppendType(m, kind)
	m = dhcp4.AppendOption(m, dhcp4.OptClientIdentifier, []byte{0xff, client})
	for _, o := range options {
		m = append(m, o...)
	}
	return dhcp4.AppendEnd(m)
}

func addrOption(code byte, a string) []byte {
	return dhcp4.AppendAddr(nil, code, netip.MustParseAddr(a))
}

// query is a DHCPV4-QUERY with one DHCPv4 message.
func query(carried []byte) []byte {
	return dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, carried)
}

func relayed(m []byte, levels int) []byte {
	for i := range levels {
		options := dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte("port7"))
		m = dhcp6.AppendRelayForward(nil, uint8(i), netip.MustParseAddr("2001:db8:7::1"), direct.Addr(), options, m)
	}
	return m
}

// frame is what a dhcp6d makes of a datagram from source on eth1.
func frame(t testing.TB, datagram []byte, source netip.AddrPort) []byte {
	t.Helper()
	return frameOn(t, "eth1", datagram, source)
}

func frameOn(t testing.TB, ifc string, datagram []byte, source netip.AddrPort) []byte {
	t.Helper()
	var p dhcp6.Packet
	if why := p.Parse(datagram); why != drop.None {
		t.Fatal(why)
	}
	f, why := ipc.AppendQuery(nil, &p, ipc.Context{Interface: []byte(ifc), Source: source})
	if why != drop.None {
		t.Fatal(why)
	}
	return f
}

// answer is what a response carries; it checks the frame around it.
func answer(t testing.TB, p udp.Packet) dhcp4.Message {
	t.Helper()
	var r ipc.Response
	if why := r.Parse(p.Data); why != drop.None {
		t.Fatalf("the response is %v", why)
	}
	inner, why := r.Packet().Message().DHCPv4()
	if why != drop.None {
		t.Fatal(why)
	}
	var m dhcp4.Message
	if why := m.Parse(inner); why != drop.None {
		t.Fatalf("the reply is %v", why)
	}
	return m
}

// ask has the server take one datagram, and waits for its answer.
func (b *bench) ask(t testing.TB, data []byte) dhcp4.Message {
	t.Helper()
	b.server.batch([]udp.Packet{{Data: data, Peer: sixd}})
	return answer(t, b.ipc.Sent(1)[0])
}

// both registers series with two registries.
type both struct {
	prometheus.Registerer
	second *prometheus.Registry
}

// MustRegister implements prometheus.Registerer.
func (r both) MustRegister(series ...prometheus.Collector) {
	r.Registerer.MustRegister(series...)
	r.second.MustRegister(series...)
}

func (b *bench) sum(t testing.TB, name string, with ...string) float64 {
	t.Helper()
	if n, ok := sums(t, b.account, []string{name}, with...)[name]; ok {
		return n
	}
	return sums(t, b.registry, []string{name}, with...)[name]
}

// sums adds up the series of each name, those with the labels if any are given. It gathers all
// series once, because with the race detector that takes some milliseconds.
func sums(t testing.TB, from *prometheus.Registry, names []string, with ...string) map[string]float64 {
	t.Helper()
	n := make(map[string]float64, len(names))
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if !slices.Contains(names, f.GetName()) {
			continue
		}
	series:
		for _, m := range f.GetMetric() {
			for _, w := range with {
				k, v, _ := strings.Cut(w, "=")
				found := false
				for _, l := range m.GetLabel() {
					found = found || (l.GetName() == k && l.GetValue() == v)
				}
				if !found {
					continue series
				}
			}
			n[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return n
}

// eventually waits until ok, since the committer works on its own.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never came true: %s", what)
		}
	}
}

// TestAccount sends a known mix and holds the ledger to it: every datagram has
// one fate, and there is one for every reason.
func TestAccount(t *testing.T) {
	b := newBench(t)
	good := message(dhcp4.Discover, 1)
	patched := func(m []byte, at int, v ...byte) []byte { m = bytes.Clone(m); copy(m[at:], v); return m }
	in := func(carried []byte) udp.Packet { return udp.Packet{Data: frame(t, query(carried), direct), Peer: sixd} }
	at := func(source string, carried []byte) udp.Packet {
		return udp.Packet{Data: frameOn(t, "eth9", query(carried), netip.MustParseAddrPort(source)), Peer: sixd}
	}
	raw := func(data []byte) udp.Packet { return udp.Packet{Data: data, Peer: sixd} }
	bare := func(m []byte) []byte { // a DHCPV4-QUERY with its context, whatever it carries
		m = bytes.Clone(m)
		context := dhcp6.AppendOption(nil, 60000, []byte("eth1"))
		a := direct.Addr().As16()
		context = dhcp6.AppendOption(context, 60001, a[:])
		context = dhcp6.AppendOption(context, 60002, []byte{2, 34})
		return dhcp6.AppendOption(m, dhcp6.OptVendorOpts, append([]byte{0, 0, 0x09, 0xbf}, context...))
	}
	empty := dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{})
	option87 := func(m, carried []byte) []byte { return dhcp6.AppendOption(m, dhcp6.OptDHCPv4Msg, carried) }
	noID := dhcp4.AppendEnd(dhcp4.AppendType(dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1}), dhcp4.Discover))
	bootp := dhcp4.AppendEnd(dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6}))
	longID := bytes.Repeat(append([]byte{dhcp4.OptClientIdentifier, 200}, make([]byte, 200)...), 2)
	vendor := func(n int) []byte { // an option 82 that must come back and leaves no room
		return dhcp4.AppendOption(nil, dhcp4.OptRelayAgentInformation, make([]byte, n))
	}

	const (
		sentOffer = "dhcp4d_responses_sent_total type=offer"
		sentACK   = "dhcp4d_responses_sent_total type=ack"
		sentNAK   = "dhcp4d_responses_sent_total type=nak"
		silent    = "dhcp4d_queries_silent_total reason="
		probes    = "dhcp4d_ipc_probes_total"
	)
	tests := []struct {
		name string
		in   udp.Packet
		want string // the series that grows, or the reason's label
	}{
		{"DISCOVER", in(good), sentOffer},
		{"REQUEST", in(message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, "192.0.2.10"), addrOption(dhcp4.OptServerIdentifier, "192.0.2.1"))), sentACK},
		{"INIT-REBOOT on the wrong subnet", in(message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, "10.0.0.1"))), sentNAK},
		{"INFORM", in(patched(message(dhcp4.Inform, 1), 12, 192, 0, 2, 10)), sentACK},
		{"Q-29 REQUEST for another server", in(message(dhcp4.Request, 2, addrOption(dhcp4.OptRequestedAddress, "192.0.2.10"), addrOption(dhcp4.OptServerIdentifier, "192.0.2.9"))), silent + "chose_other_server"},
		{"Q-29 RELEASE", in(patched(message(dhcp4.Release, 1, addrOption(dhcp4.OptServerIdentifier, "192.0.2.1")), 12, 192, 0, 2, 10)), silent + "released"},
		{"Q-29 RELEASE of nothing", in(patched(message(dhcp4.Release, 1, addrOption(dhcp4.OptServerIdentifier, "192.0.2.1")), 12, 192, 0, 2, 10)), silent + "not_holder"},
		{"Q-29 RELEASE for another server", in(patched(message(dhcp4.Release, 1, addrOption(dhcp4.OptServerIdentifier, "192.0.2.9")), 12, 192, 0, 2, 10)), silent + "names_other_server"},
		{"D4-22 INIT-REBOOT with an address in no pool of ours", in(message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, "192.0.2.5"))), silent + "not_our_pool"},
		{"D4-22 INIT-REBOOT of an unknown client", at("[2001:db8:70::1]:546", message(dhcp4.Request, 1, addrOption(dhcp4.OptRequestedAddress, "192.0.0.10"))), silent + "no_record"},
		{"REQUEST that is to be declined", at("[2001:db8:70::1]:546", message(dhcp4.Request, 70, addrOption(dhcp4.OptRequestedAddress, "192.0.0.10"),
			addrOption(dhcp4.OptServerIdentifier, "192.0.0.1"))), sentACK},
		{"a client that may not move", udp.Packet{Data: frameOn(t, "eth8", query(message(dhcp4.Discover, 70)), netip.MustParseAddrPort("[2001:db8:70:9::1]:546")), Peer: sixd}, silent + "elsewhere"},
		{"DECLINE", at("[2001:db8:70::1]:546", message(dhcp4.Decline, 70, addrOption(dhcp4.OptRequestedAddress, "192.0.0.10"),
			addrOption(dhcp4.OptServerIdentifier, "192.0.0.1"))), silent + "declined"},
		{"IPC-26 probe", raw(ipc.AppendProbe(nil)), probes},
		{"relayed DISCOVER", udp.Packet{Data: frame(t, relayed(query(good), 9), netip.MustParseAddrPort("[2001:db8:2::1]:547")), Peer: sixd}, sentOffer},

		{"IPC-24 not a peer", udp.Packet{Data: in(good).Data, Peer: netip.MustParseAddrPort("[::1]:9999")}, "wrong_peer"},
		{"truncated", udp.Packet{Data: in(good).Data, Peer: sixd, Truncated: true}, "truncated"},
		{"garbage", raw([]byte("garbage")), "malformed"},
		{"short", raw([]byte{20}), "malformed"},
		{"RL-4 hop-count 9", raw(patched(relayed(query(good), 1), 1, 9)), "hop_limit"},
		{"RL-4 ten levels", raw(patched(relayed(patched(relayed(query(good), 9), 1, 7), 1), 1, 8)), "relay_depth"},
		{"RL-5 no Relay Message", raw(relayed(query(good), 1)[:34]), "relay_message"},
		{"IPC-15 DHCPV4-RESPONSE", raw(patched(in(good).Data, 0, 21)), "ipc_type"},
		{"IPC-6 no context", raw(query(good)), "ipc_context"},
		{"IPC-14 no option 87", raw(bare(empty)), "no_dhcpv4_msg"},
		{"IPC-14 two options 87", raw(bare(option87(query(good), good))), "multiple_dhcpv4_msg"},
		{"RL-25 256 options", raw(bare(append(bytes.Clone(query(good)), bytes.Repeat([]byte{0, 200, 0, 0}, 254)...))), "too_many_options"},
		{"Q-8 empty option 87", raw(bare(option87(empty, nil))), "dhcpv4_msg_too_short"},
		{"Q-8 4097 octets", raw(bare(option87(empty, append(bytes.Clone(good), make([]byte, dhcp4.MaxLen+1-len(good))...)))), "dhcpv4_msg_too_long"},
		{"Q-8 4096 octets", in(append(bytes.Clone(good), make([]byte, dhcp4.MaxLen-len(good))...)), sentOffer},
		{"Q-8 wrong cookie", raw(bare(option87(empty, patched(good, 236, 0)))), "no_cookie"},
		{"hook", in(patched(good, 44, 'D')), "hook"},
		{"hook that panics", in(patched(good, 44, 'P')), "hook_panic"},
		{"D4-1 hlen 17", in(patched(good, 2, 17)), "not_dhcpv4"},
		{"a client identifier of 400 octets", in(dhcp4.AppendEnd(append(dhcp4.AppendType(dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1}), dhcp4.Discover), longID...))), "not_dhcpv4"},
		{"Q-18 BOOTP", in(bootp), "no_message_type"},
		{"D4-1 an OFFER", in(message(dhcp4.Offer, 1)), "not_for_server"},
		{"D4-9 no client", in(noID), "no_client"},
		{"D4-25 INFORM without ciaddr", in(message(dhcp4.Inform, 1)), sentACK},
		{"D4-16 no subnet", at("[2001:db8:9::1]:546", good), "no_subnet"},
		{"a class that is refused", in(message(dhcp4.Discover, 1, dhcp4.AppendOption(nil, 60, []byte("refused")))), "class_refused"},
		{"drain", at("[2001:db8:3::1]:546", good), "draining"},
		{"Q-36 first from its point", at("[2001:db8:4::1]:546", good), sentOffer},
		{"Q-36 second from its point", at("[2001:db8:4::1]:546", message(dhcp4.Discover, 2)), "point_limit"},
		{"Q-37 by another address of the /64", at("[2001:db8:4::2]:546", message(dhcp4.Discover, 2)), "point_limit"},
		{"the last address", at("[2001:db8:4:2::1]:546", message(dhcp4.Discover, 3)), sentOffer},
		{"D4-16 no address", at("[2001:db8:4:3::1]:546", message(dhcp4.Discover, 4)), "no_address"},
		{"no room for what must be sent", raw(frame(t, dhcp6.AppendRelayForward(nil, 0, netip.MustParseAddr("2001:db8:7::1"), direct.Addr(),
			dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, make([]byte, 1350)), query(message(dhcp4.Discover, 9, vendor(10)))), direct)), "reply_too_big"},
	}
	reached := map[string]bool{}
	seriesOf := func(want string) (string, []string) {
		if name, label, ok := strings.Cut(want, " "); ok {
			return name, []string{label}
		}
		if strings.HasPrefix(want, "dhcp4d_") {
			return want, nil
		}
		return "dhcp4d_packets_dropped_total", []string{"reason=" + want}
	}
	all := []string{sentOffer, sentACK, sentNAK, probes, "dhcp4d_queries_received_total"}
	for _, r := range silence.Of(drop.DHCP4D) {
		all = append(all, silent+r.Label())
	}
	for _, r := range drop.Of(drop.DHCP4D) {
		all = append(all, r.Label())
	}
	check := func(t *testing.T, want string, step func()) {
		t.Helper()
		reached[want] = true
		value := func(s string) float64 { name, with := seriesOf(s); return b.sum(t, name, with...) }
		before := map[string]float64{}
		for _, s := range all {
			before[s] = value(s)
		}
		step()
		eventually(t, want+" grows", func() bool { return value(want) == before[want]+1 })
		for _, s := range all {
			wanted := before[s]
			if s == want || (s == "dhcp4d_queries_received_total" && want != probes) {
				wanted++
			}
			if now := value(s); now != wanted {
				t.Errorf("%s went from %v to %v, want %v", s, before[s], now, wanted)
			}
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check(t, tt.want, func() { b.server.batch([]udp.Packet{tt.in}) })
		})
	}
	t.Run("IPC-27 unsigned", func(t *testing.T) {
		keyed := newBench(t, key)
		keyed.server.batch([]udp.Packet{in(good)})
		if keyed.sum(t, "dhcp4d_packets_dropped_total", "reason=unauthentic") != 1 {
			t.Error("not counted")
		}
		reached["unauthentic"] = true
	})
	t.Run("a program outside is asked", func(t *testing.T) {
		q := asks(t, newBench(t), func(c *asking.Config) { c.Limits = parking.Limits{Queries: 9, Point: 1} })
		other := func(client byte) { q.in(t, message(dhcp4.Discover, client)) }
		q.asker.Cache.Put([]byte{2, 0, 0, 0, 0, 3}, 1, outside.Answer{Verdict: outside.Continue, Address: netip.MustParseAddr("10.0.0.1")}, time.Hour)
		for _, step := range []struct {
			want     string // is dropped, if anything is
			received float64
			do       func()
		}{
			{"", 1, func() { other(1) }}, // waits
			{"hook_full", 1, func() { other(2) }},
			{"hook_verdict", 1, func() { other(3) }},
			{"hook_timeout", 0, func() { q.uptime += time.Second; q.server.batch(nil) }},
		} {
			before := map[string]float64{}
			for _, r := range drop.Of(drop.DHCP4D) {
				before[r.Label()] = q.sum(t, "dhcp4d_packets_dropped_total", "reason="+r.Label())
			}
			received := q.sum(t, "dhcp4d_queries_received_total")
			step.do()
			for _, r := range drop.Of(drop.DHCP4D) {
				grown := 0.0
				if r.Label() == step.want {
					grown = 1
				}
				if n := q.sum(t, "dhcp4d_packets_dropped_total", "reason="+r.Label()) - before[r.Label()]; n != grown {
					t.Errorf("%s: %s grows by %v, want %v", step.want, r, n, grown)
				}
			}
			if n := q.sum(t, "dhcp4d_queries_received_total") - received; n != step.received {
				t.Errorf("%s: %v were received, want %v", step.want, n, step.received)
			}
			reached[step.want] = true
		}
	})
	t.Run("the kernel refuses to send", func(t *testing.T) {
		b.ipc.Refuse(func(udp.Packet) error { return unix.EHOSTUNREACH })
		check(t, "send_error", func() { b.server.batch([]udp.Packet{in(message(dhcp4.Discover, 50))}) })
		b.ipc.Refuse(nil)
	})
	t.Run("more in flight than one sync takes", func(t *testing.T) {
		before := b.sum(t, "dhcp4d_packets_dropped_total", "reason=queue_full")
		var many []udp.Packet
		for i := range byte(20) {
			many = append(many, in(message(dhcp4.Request, 100+i, addrOption(dhcp4.OptRequestedAddress, "192.0.2.1"+string('0'+i/10)+string('0'+i%10)),
				addrOption(dhcp4.OptServerIdentifier, "192.0.2.1"))))
		}
		acks := b.sum(t, "dhcp4d_responses_sent_total", "type=ack")
		b.server.batch(many)
		eventually(t, "all are settled", func() bool {
			return b.sum(t, "dhcp4d_responses_sent_total", "type=ack")-acks+
				b.sum(t, "dhcp4d_packets_dropped_total", "reason=queue_full")-before == 20
		})
		if b.sum(t, "dhcp4d_packets_dropped_total", "reason=queue_full") == before {
			t.Error("a group of 8 has taken 20")
		}
		reached["queue_full"] = true
	})
	t.Run("D4-26 the store has the address for another client", func(t *testing.T) {
		other := b.share()
		other.give(b, netip.MustParseAddr("192.0.2.61"))
		check(t, "lease_refused", func() {
			b.server.batch([]udp.Packet{in(message(dhcp4.Request, 61, addrOption(dhcp4.OptRequestedAddress, "192.0.2.61"), addrOption(dhcp4.OptServerIdentifier, "192.0.2.1")))})
		})
		b.store.Store = other.Store
	})
	t.Run("D4-26 the store fails", func(t *testing.T) {
		b.store.broken.Store(true)
		check(t, "store_error", func() {
			b.server.batch([]udp.Packet{in(message(dhcp4.Request, 60, addrOption(dhcp4.OptRequestedAddress, "192.0.2.60"), addrOption(dhcp4.OptServerIdentifier, "192.0.2.1")))})
		})
		b.store.broken.Store(false)
		eventually(t, "the store is back", func() bool { return !b.commits.Failed() })
	})
	t.Run("INIT-REBOOT of an unknown client while a restored store recovers", func(t *testing.T) {
		b.server.Settings.Load().Leases.Recover(b.clock.Now())
		check(t, silent+"recovering", func() {
			b.server.batch([]udp.Packet{in(message(dhcp4.Request, 70, addrOption(dhcp4.OptRequestedAddress, "192.0.2.70")))})
		})
	})
	t.Run("DB-9 another dhcp4d cannot be asked whether a NAK is right", func(t *testing.T) {
		b.several(t).change(errBroken)
		check(t, "lease_changed", func() {
			b.server.batch([]udp.Packet{in(message(dhcp4.Request, 62, addrOption(dhcp4.OptRequestedAddress, "203.0.113.1")))})
		})
	})
	for _, r := range drop.Of(drop.DHCP4D) {
		if !reached[r.Label()] {
			t.Errorf("no datagram was dropped as %s: %s", r, r.Meaning())
		}
	}
	for _, r := range silence.Of(drop.DHCP4D) {
		if !reached[silent+r.Label()] {
			t.Errorf("no query was left unanswered as %s: %s", r, r.Meaning())
		}
	}
}
