package server

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/answer"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/pass"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

var (
	dhcpv6Server  = netip.MustParseAddrPort("[2001:db8:5::547]:547")
	secondServer  = netip.MustParseAddrPort("[2001:db8:6::547]:1547")
	linkOfEth1    = netip.MustParseAddr("2001:db8:1::ffff")
	solicit       = []byte{1, 9, 9, 9, 0, 1, 0, 4, 0, 3, 0, 1}
	advertisement = []byte{2, 9, 9, 9, 0, 1, 0, 4, 0, 3, 0, 1}
)

// newPassBench is a bench that passes messages on to servers.
func newPassBench(t testing.TB, change func(*pass.Options)) *bench {
	t.Helper()
	b := newBench(t)
	o := pass.Options{
		Servers: []netip.AddrPort{dhcpv6Server}, Port: 547, Key: pass.Key{1, 2, 3}, Metrics: pass.NewMetrics(b.registry),
		LinkAddress: func(ifc []byte) (netip.Addr, bool) { return linkOfEth1, string(ifc) == "eth1" },
	}
	if change != nil {
		change(&o)
	}
	set := *b.up.Settings.Load()
	set.Servers = pass.New(o)
	b.up.Settings.Store(&set)
	return b
}

// passOn lets a datagram be passed on, and returns what the first server gets.
func (b *bench) passOn(t testing.TB, in udp.Packet) []byte {
	t.Helper()
	b.up.batch([]udp.Packet{in})
	if len(b.up.passed.packets) == 0 {
		t.Fatalf("%x is not passed on", in.Data)
	}
	return bytes.Clone(b.up.passed.packets[0].Data)
}

// replyTo is what a server makes of a Relay-forward: its levels as Relay-reply, around a message.
func replyTo(t testing.TB, forward, message []byte) []byte {
	t.Helper()
	var p dhcp6.Packet
	if why := p.Parse(forward); why != drop.None {
		t.Fatal(why)
	}
	b, chain := dhcp6.BeginReply(nil, &p)
	b, why := chain.End(append(b, message...))
	if why != drop.None {
		t.Fatal(why)
	}
	return b
}

func fromServer(data []byte) udp.Packet {
	return udp.Packet{Data: data, Peer: dhcpv6Server, Local: us, Interface: 9} // which is not served
}

// Each message of a client or relay arrives at the server unchanged, and what the server answers
// goes where the message came from.
func TestRL30_RL31WhatIsNotOursIsPassedOnAndComesBack(t *testing.T) {
	global := netip.MustParseAddrPort("[2001:db8:1::99]:546")
	unicast := func(peer netip.AddrPort, data []byte, ifindex int) udp.Packet {
		return udp.Packet{Data: data, Peer: peer, Local: us, Interface: ifindex}
	}
	ownPort := dhcp6.AppendRelayForward(nil, 3, us, client.Addr(), dhcp6.AppendOption(nil, dhcp6.OptRelayPort, []byte{0, 0}), solicit)
	for _, tt := range []struct {
		name    string
		in      udp.Packet
		change  func(*pass.Options)
		hops    uint8
		link    string
		port    string // value of the Relay Port option, as text; empty for none
		to      string
		source  netip.Addr
		ifindex int
	}{
		{name: "a client", in: from(client, solicit), link: linkOfEth1.String(), to: "[fe80::a00:27ff:fe12:3456]:546", ifindex: 3},
		{name: "RL-32 a client on an interface without a global address", in: udp.Packet{Data: solicit, Peer: client, Local: netip.MustParseAddr("ff02::1:2"), Interface: 4},
			link: "::", to: "[fe80::a00:27ff:fe12:3456]:546", ifindex: 4},
		{name: "a client with a global address", in: from(global, solicit), link: linkOfEth1.String(), to: global.String(), ifindex: 3},
		{name: "D6-5 a client from another port", in: from(netip.AddrPortFrom(client.Addr(), 5000), solicit), link: linkOfEth1.String(), to: "[fe80::a00:27ff:fe12:3456]:546", ifindex: 3},
		{name: "RL-33 a relay with a global address", in: unicast(relay, relayed(solicit, 3), 3), hops: 3, link: "::", to: relay.String(), source: us},
		{name: "RL-33 a lightweight relay agent", in: unicast(client, relayed(solicit, 1), 4), hops: 1, link: "::", to: "[fe80::a00:27ff:fe12:3456]:547", source: us, ifindex: 4},
		{name: "RL-33 a relay at the last hop", in: unicast(relay, relayed(solicit, 8), 3), hops: 8, link: "::", to: relay.String(), source: us},
		{name: "RL-34 a relay with a port of its own", in: unicast(netip.AddrPortFrom(relay.Addr(), 10067), ownPort, 3), hops: 4, link: "::", port: "\x27\x53", to: "[2001:db8:2::10]:10067", source: us},
		{name: "a relay from a port that it does not name", in: unicast(netip.AddrPortFrom(relay.Addr(), 10067), relayed(solicit, 1), 3), hops: 1, link: "::", to: "[2001:db8:2::10]:547", source: us},
		{name: "RL-34 from a port of our own", in: from(client, solicit), change: func(o *pass.Options) { o.Port = 1547 }, link: linkOfEth1.String(), port: "\x00\x00",
			to: "[fe80::a00:27ff:fe12:3456]:546", ifindex: 3},
		{name: "RL-35 a type that we do not know", in: from(client, patched(solicit, 0, 99)), link: linkOfEth1.String(), to: "[fe80::a00:27ff:fe12:3456]:546", ifindex: 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newPassBench(t, tt.change)
			forward := b.passOn(t, tt.in)
			if sent := b.link.Sent(1)[0]; sent.Peer != dhcpv6Server || sent.Local.IsValid() || sent.Interface != 0 {
				t.Errorf("sent to %v from %v by %d", sent.Peer, sent.Local, sent.Interface)
			}
			var p dhcp6.Packet
			if why := p.Parse(forward); why != drop.None {
				t.Fatal(why)
			}
			level := p.Relay(0)
			if level.HopCount() != tt.hops || level.LinkAddress().String() != tt.link || level.PeerAddress() != tt.in.Peer.Addr() || !bytes.Equal(level.Carried(), tt.in.Data) {
				t.Errorf("hop-count %d, link-address %v, peer-address %v, carries %x", level.HopCount(), level.LinkAddress(), level.PeerAddress(), level.Carried())
			}
			port, has := "", false
			for code, data := range dhcp6.Options(level.Options()) {
				if code == dhcp6.OptRelayPort {
					port, has = string(data), true
				}
			}
			if port != tt.port || has != (tt.port != "") {
				t.Errorf("Relay Port %q, want %q", port, tt.port)
			}
			for _, kind := range []byte{2, 7, 10, 100} { // Reconfigure comes without a question
				b.up.batch([]udp.Packet{fromServer(replyTo(t, forward, patched(advertisement, 0, kind)))})
				back := b.link.Sent(1)[0]
				if back.Peer.String() != tt.to || back.Local != tt.source || back.Interface != tt.ifindex {
					t.Errorf("comes back to %v from %v by %d", back.Peer, back.Local, back.Interface)
				}
				want := patched(advertisement, 0, kind)
				if tt.in.Data[0] == byte(dhcp6.RelayForward) {
					want = replyTo(t, tt.in.Data, want)
				}
				if !bytes.Equal(back.Data, want) {
					t.Errorf("comes back as %x, want %x", back.Data, want)
				}
			}
		})
	}
}

// TestRL36WhatIsPassedOn lists what is passed on and what is not.
func TestRL36WhatIsPassedOn(t *testing.T) {
	information := func(code byte) []byte { return []byte{11, 1, 2, 3, 0, 6, 0, 2, 0, code} }
	offers := func(b *bench) {
		set := *b.up.Settings.Load()
		set.Answer = answer.New(duid, answer.Options{Offer4o6: true})
		b.up.Settings.Store(&set)
	}
	all := func(o *pass.Options) { o.Information = true }
	for _, tt := range []struct {
		name   string
		in     []byte
		change func(*pass.Options)
		want   bool
	}{
		{"Solicit", solicit, nil, true},
		{"Request", patched(solicit, 0, 3), nil, true},
		{"Confirm", patched(solicit, 0, 4), nil, true},
		{"Renew", patched(solicit, 0, 5), nil, true},
		{"Rebind", patched(solicit, 0, 6), nil, true},
		{"Release", patched(solicit, 0, 8), nil, true},
		{"Decline", patched(solicit, 0, 9), nil, true},
		{"an Information-request that dhcp6d answers", information(88), nil, false},
		{"the same where all are passed on", information(88), all, true},
		{"an Information-request for what dhcp6d does not have", information(23), nil, true},
		{"an Information-request for another server", with(information(88), dhcp6.OptServerID, foreign), nil, true},
		{"an Information-request with an IA, which no server takes", with(information(88), dhcp6.OptIANA, make([]byte, 12)), nil, false},
		{"a DHCPV4-QUERY", query(dhcpv4(1, 1)), nil, false},
		{"a DHCPV4-RESPONSE", []byte{21, 0, 0, 0}, nil, false},
		{"a server's message", advertisement, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newPassBench(t, tt.change)
			offers(b)
			b.up.batch([]udp.Packet{from(client, tt.in)})
			if got := len(b.up.passed.packets) == 1; got != tt.want {
				t.Errorf("passed on: %v, want %v", got, tt.want)
			}
			if n := b.sum(t, "dhcp6d_packets_silent_total"); n != 0 {
				t.Error("silent, although another server may know more")
			}
		})
	}
}

// What is supplied to servers is what is offered on the link, of the codes that are configured.
func TestRL40OptionsOfTheLinkGoWithTheMessage(t *testing.T) {
	b := newPassBench(t, nil)
	set := *b.up.Settings.Load()
	supply := []uint16{88, 23}
	set.Answer = answer.New(duid, answer.Options{Offer4o6: true, RefreshTime: 600, Supply: supply})
	set.Links = NewLinks([]LinkAnswer{
		{Link: netip.MustParsePrefix("2001:db8:7::/64"), Answer: answer.New(duid, answer.Options{DNSServers: []netip.Addr{us}, Supply: supply})},
		{Interface: "eth2", Answer: answer.New(duid, answer.Options{DNSServers: []netip.Addr{us}})},
	})
	b.up.Settings.Store(&set)
	dns := us.As16()
	asks := append(bytes.Clone(solicit), 0, 6, 0, 6, 0, 88, 0, 23, 0, 32)
	for name, c := range map[string]struct {
		in   udp.Packet
		want []byte // nil: the option is not there
	}{
		"on most links":                    {from(client, asks), []byte{0, 88, 0, 0}},
		"on a link of a relay":             {udp.Packet{Data: relayed(asks, 1), Peer: relay, Local: us, Interface: eth1.Index}, append([]byte{0, 23, 0, 16}, dns[:]...)},
		"on a link where none is supplied": {udp.Packet{Data: asks, Peer: client, Local: netip.MustParseAddr("ff02::1:2"), Interface: eth2.Index}, nil},
		"to a client that does not ask":    {from(client, solicit), nil},
	} {
		var p dhcp6.Packet
		if why := p.Parse(b.passOn(t, c.in)); why != drop.None {
			t.Fatal(why)
		}
		var got []byte
		for code, data := range dhcp6.Options(p.Relay(0).Options()) {
			if code == dhcp6.OptRSOO {
				got = data
			}
		}
		if !bytes.Equal(got, c.want) {
			t.Errorf("%s: %x, want %x", name, got, c.want)
		}
	}
}

// Every server gets every message. A message is dropped only if the kernel refuses all of them.
func TestRL37EveryServerGetsEveryMessage(t *testing.T) {
	b := newPassBench(t, func(o *pass.Options) { o.Servers = append(o.Servers, secondServer) })
	dead := map[netip.AddrPort]bool{}
	b.link.Refuse(func(p udp.Packet) error {
		if dead[p.Peer] {
			return unix.ENETUNREACH
		}
		return nil
	})
	for i, step := range []struct {
		dead                          netip.AddrPort
		passed, first, second, failed float64
	}{{netip.AddrPort{}, 1, 1, 1, 0}, {dhcpv6Server, 2, 1, 2, 0}, {secondServer, 2, 1, 2, 1}} {
		dead[step.dead] = true
		b.up.batch([]udp.Packet{from(client, solicit)})
		sent := func(a netip.AddrPort) float64 {
			return b.sum(t, "dhcp6d_dhcpv6_server_messages_sent_total", "server="+a.String())
		}
		if b.sum(t, "dhcp6d_messages_passed_total") != step.passed || sent(dhcpv6Server) != step.first || sent(secondServer) != step.second ||
			b.sum(t, "dhcp6d_packets_dropped_total", "reason=send_error") != step.failed {
			t.Errorf("step %d: %v passed on, %v and %v sent", i, b.sum(t, "dhcp6d_messages_passed_total"), sent(dhcpv6Server), sent(secondServer))
		}
	}
	forward := bytes.Clone(b.up.passed.packets[0].Data)
	dead = map[netip.AddrPort]bool{}
	answer := fromServer(replyTo(t, forward, advertisement))
	answer.Peer = netip.AddrPortFrom(secondServer.Addr(), 40000) // the port does not matter
	b.up.batch([]udp.Packet{answer})
	if b.sum(t, "dhcp6d_dhcpv6_server_messages_received_total", "server="+secondServer.String()) != 1 || b.sum(t, "dhcp6d_messages_returned_total") != 1 {
		t.Error("the answer of the second server does not come back")
	}
}

// After a restart with the same key, and after a change of the servers, answers still come back.
// With another key none does.
func TestRL38AnswersComeBackAfterARestart(t *testing.T) {
	forward := newPassBench(t, nil).passOn(t, from(client, solicit))
	reply := fromServer(replyTo(t, forward, advertisement))
	again := newPassBench(t, nil)
	again.up.batch([]udp.Packet{reply})
	again.link.Sent(1)
	other := newPassBench(t, func(o *pass.Options) { o.Key[0]++ })
	other.up.batch([]udp.Packet{reply})
	if len(other.link.Sent(0)) != 0 || other.sum(t, "dhcp6d_packets_dropped_total", "reason=reply_context") != 1 {
		t.Error("the answer to another dhcp6d's message is delivered")
	}
}

func TestUnderOverloadMessagesThatBeginAnExchangeWait(t *testing.T) {
	b := newPassBench(t, nil)
	settings := *b.up.Settings.Load()
	settings.MaxWait = backend.MaxWait{Query: time.Second, Discover: 50 * time.Millisecond}
	b.up.set = &settings
	start := b.now
	const ms = time.Millisecond
	for _, step := range []struct {
		after, waited time.Duration
		kind          byte
		want          drop.Reason
	}{
		{0, 0, 1, drop.None},
		{150 * ms, 140 * ms, 1, drop.None}, // a pause is no overload
		{300 * ms, 60 * ms, 1, drop.None},
		{370 * ms, 100 * ms, 1, drop.Stale},
		{371 * ms, 100 * ms, 3, drop.None},
		{372 * ms, 100 * ms, 5, drop.None},
		{373 * ms, 1100 * ms, 5, drop.Stale},
		{374 * ms, 20 * ms, 1, drop.None},
	} {
		b.up.now, b.up.served = start.Add(step.after), services
		p := from(client, patched(solicit, 0, step.kind))
		p.Received = b.up.now.Add(-step.waited).UnixNano()
		if _, why := b.up.receive(&p); why != step.want {
			t.Errorf("type %d after %v: %v, want %v", step.kind, step.after, why, step.want)
		}
	}
}

func TestPassedMessagesAreTraced(t *testing.T) {
	b := newPassBench(t, func(o *pass.Options) { o.Servers = append(o.Servers, secondServer) })
	w, err := b.traceOn().Watch(trace.Subscriber{Source: netip.PrefixFrom(client.Addr(), 128)})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	b.link.Refuse(func(p udp.Packet) error {
		if p.Peer == dhcpv6Server {
			return unix.ENETUNREACH
		}
		return nil
	})
	forward := b.passOn(t, from(client, solicit))
	r := told(t, w)
	says(t, r, "Solicit", "hooks at pkt6_receive let it pass: see", "passed on to the DHCPv6 server "+dhcpv6Server.String(), "passed on to the DHCPv6 server "+secondServer.String(), "sent")
	if r.Out == nil || r.Out.To != secondServer || strings.Contains(strings.Join(r.Steps, " "), "dropped") {
		t.Errorf("%+v", r)
	}
	b.up.batch([]udp.Packet{fromServer(replyTo(t, forward, advertisement))})
	r = told(t, w)
	says(t, r, "Relay-reply received from "+dhcpv6Server.String(), "Advertise", "hooks at buffer6_send let it pass: poison", "sent to "+client.String()+" by eth1")
	if r.Exchange != "DHCPv6 transaction 090909" || !bytes.Equal(r.Out.Data, advertisement) {
		t.Errorf("%+v", r)
	}
	b.up.batch([]udp.Packet{fromServer(replyTo(t, forward, query(dhcpv4(1, 1))))})
	says(t, told(t, w), "DHCPV4-QUERY", "dropped (reply_message)")
}

// passLoop is a loop that passes a batch on, and one that brings a batch back.
func passLoop(t testing.TB, n int) (up, down func()) {
	b := newPassBench(t, nil)
	b.up.Queries, b.up.Answers = sink{}, sink{}
	plain := *b.up.Settings.Load()
	plain.Hooks = event.Hooks{}
	plain.Answer = answer.New(duid, answer.Options{Offer4o6: true, Supply: []uint16{88}})
	b.up.Settings.Store(&plain)
	asks := append(bytes.Clone(solicit), 0, 6, 0, 2, 0, 88)
	kinds := []udp.Packet{from(client, asks), {Data: relayed(solicit, 2), Peer: relay, Local: us, Interface: eth1.Index}}
	var out, back []udp.Packet
	for i := range n {
		out = append(out, kinds[i%len(kinds)])
	}
	b.up.batch(out)
	for _, p := range b.up.passed.packets {
		back = append(back, fromServer(replyTo(t, p.Data, advertisement)))
	}
	return func() { b.up.batch(out) }, func() { b.up.batch(back) }
}

func TestPassingOnAllocatesNothing(t *testing.T) {
	up, down := passLoop(t, 64)
	if n := testing.AllocsPerRun(100, up); n != 0 {
		t.Errorf("a batch of messages allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, down); n != 0 {
		t.Errorf("a batch of Relay-replies allocates %v times", n)
	}
}

func BenchmarkPass(b *testing.B) {
	up, down := passLoop(b, 64)
	for name, loop := range map[string]func(){"on": up, "back": down} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				loop()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(64*b.N), "ns/datagram")
		})
	}
}

// passAccount are datagrams for TestAccount where messages are passed on.
func passAccount(t *testing.T, b *bench) []accounted {
	forward := b.passOn(t, from(client, solicit))
	chain := b.passOn(t, udp.Packet{Data: relayed(solicit, 2), Peer: relay, Local: us, Interface: eth1.Index})
	reply := replyTo(t, forward, advertisement)
	gone := replyTo(t, newNamedForward(t, "eth7"), advertisement)
	unicast := func(p udp.Packet) udp.Packet { p.Local = us; return p }
	poisoned := func(mark byte) udp.Packet {
		return fromServer(replyTo(t, forward, with(advertisement, 200, patched(dhcpv4(2, 2), nameAt, mark))))
	}
	idAt := bytes.Index(reply, []byte("eth1"))
	under := dhcp6.AppendRelayForward(nil, 1, us, client.Addr(), nil, relayed(solicit, 1))
	b.link.Refuse(func(p udp.Packet) error {
		if p.Peer.Addr() == netip.MustParseAddr("fe80::dead") {
			return unix.EHOSTUNREACH
		}
		return nil
	})
	refused := replyTo(t, b.passOn(t, from(netip.MustParseAddrPort("[fe80::dead]:546"), solicit)), advertisement)
	b.up.passed.reset()
	return []accounted{
		{"RL-30 a Solicit", from(client, solicit), want{fate: passed}},
		{"RL-30 a relayed Solicit", unicast(from(relay, relayed(solicit, 1))), want{fate: passed}},
		{"RL-31 its answer", fromServer(reply), want{fate: returned}},
		{"RL-31 a relayed answer", fromServer(replyTo(t, chain, advertisement)), want{fate: returned}},
		{"RL-39 from nobody", udp.Packet{Data: reply, Peer: netip.MustParseAddrPort("[2001:db8:66::1]:547"), Local: us, Interface: eth1.Index}, want{why: drop.ReplySource}},
		{"RL-39 with a changed name", fromServer(patched(reply, idAt, 'x')), want{why: drop.ReplyContext}},
		{"RL-39 with another peer-address", fromServer(patched(reply, 33, reply[33]+1)), want{why: drop.ReplyContext}},
		{"RL-39 without an Interface-Id", fromServer(dhcp6.AppendOption(patched(reply[:34], 0, 13), dhcp6.OptRelayMsg, advertisement)), want{why: drop.ReplyContext}},
		{"RL-39 a client's message inside", fromServer(replyTo(t, forward, solicit)), want{why: drop.ReplyMessage}},
		{"RL-39 a DHCPV4-RESPONSE inside", fromServer(replyTo(t, forward, []byte{21, 0, 0, 0})), want{why: drop.ReplyMessage}},
		{"RL-39 a Relay-forward inside", fromServer(replyTo(t, forward, relayed(solicit, 1))), want{why: drop.ReplyMessage}},
		{"RL-39 a level more than the message had", fromServer(replyTo(t, forward, replyTo(t, relayed(solicit, 1), advertisement))), want{why: drop.ReplyMessage}},
		{"RL-39 no level for the relay", fromServer(append(patched(replyTo(t, chain, nil)[:bytes.Index(chain, []byte{0, 9})], 0, 13), append([]byte{0, 9, 0, 12}, advertisement...)...)), want{why: drop.ReplyMessage}},
		{"RL-39 for an interface that is gone", fromServer(gone), want{why: drop.ReplyInterface}},
		{"RL-39 cut", fromServer(reply[:len(reply)-1]), want{why: drop.Malformed}},
		{"RL-39 without a message", fromServer(reply[:34]), want{why: drop.RelayMessage}},
		{"RL-39 stale", func() udp.Packet {
			p := fromServer(reply)
			p.Received = b.now.Add(-3 * time.Hour).UnixNano()
			return p
		}(), want{why: drop.Stale}},
		{"a hook drops the answer", poisoned(dropMe), want{why: drop.Hook}},
		{"a hook panics at the answer", poisoned(panicMe), want{why: drop.HookPanic}},
		{"the kernel refuses the answer", fromServer(refused), want{why: drop.SendError}},
		{"RL-33 a relay beyond the last hop", unicast(from(relay, patched(relayed(solicit, 1), 1, 8))), want{why: drop.HopLimit}},
		{"RL-33 nine levels", unicast(from(relay, patched(relayed(solicit, 9), 1, 3))), want{why: drop.RelayDepth}},
		{"RL-22 a level that is not believed", unicast(from(relay, under)), want{why: drop.RelayForbidden}},
		{"D6-11 a Solicit by unicast", unicast(from(client, solicit)), want{why: drop.UnicastForbidden}},
		{"too long with its level", from(client, with(solicit, 1000, make([]byte, 65460))), want{why: drop.Oversize}},
		{"a server's message from a client", from(client, advertisement), want{why: drop.ServerMessage}},
		{"4o6 goes on", from(client, query(dhcpv4(1, 1))), want{fate: forwarded}},
	}
}

// newNamedForward is the Relay-forward for a message by an interface that nobody serves.
func newNamedForward(t *testing.T, name string) []byte {
	t.Helper()
	b := newPassBench(t, nil)
	var p dhcp6.Packet
	if why := p.Parse(solicit); why != drop.None {
		t.Fatal(why)
	}
	b.up.path = attachment.Path{Packet: &p}
	f, why := b.up.relay.AppendForward(nil, b.up.Settings.Load().Servers, &p, nil, pass.Context{Interface: []byte(name), Source: client}, nil)
	if why != drop.None {
		t.Fatal(why)
	}
	return f
}

// The cost of a query is the same where other messages are passed on.
func BenchmarkUpWhereOthersArePassedOn(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(map[bool]string{false: "off", true: "on"}[on], func(b *testing.B) {
			up := queryLoop(b, 64, on)
			for range b.N {
				up()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(64*b.N), "ns/datagram")
		})
	}
}

// queryLoop is a loop of queries, with or without servers for other messages.
func queryLoop(t testing.TB, n int, on bool) (up func()) {
	b := newPassBench(t, nil)
	b.up.Queries, b.up.Answers = sink{}, sink{}
	plain := *b.up.Settings.Load()
	plain.Hooks = event.Hooks{}
	if !on {
		plain.Servers = nil
	}
	b.up.Settings.Store(&plain)
	in := batchOf(n)
	b.up.batch(in)
	var last ipc.Query
	if why := last.Parse(b.up.queries.packets[n-1].Data); why != drop.None {
		t.Fatal(why)
	}
	carried := bytes.Clone(last.DHCPv4())
	return func() {
		b.up.batch(in)
		b.set.Answered(b.set.From(fourd), netip.Addr{}, carried, b.up.now) // keeps the window open
	}
}
