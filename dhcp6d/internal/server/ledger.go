package server

import (
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/pass"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Two ledgers hold the account of the two sockets:
//
//	link  received = forwarded + answered + silent + passed + returned + dropped
//	ipc   received = relayed + probes + dropped
//
// Each is written by the loop that reads the socket, once per batch.

// LinkLedger is the account of the link's socket.
type LinkLedger struct {
	received   *metric.Tally[int] // by type and path
	forwarded  *metric.Tally[int] // by path and destination
	answered   *metric.Tally[int]
	passed     *metric.Tally[int] // by path
	returned   *metric.Tally[int] // by path
	silent     *metric.Tally[silence.Reason]
	drops      *metric.Tally[drop.Reason]
	unbelieved *metric.Tally[int] // no fate: relayed messages with levels that are not believed
	told       *metric.Tally[int] // no fate: options of IPv4 as a service, by way and code
}

// IPCLedger is the account of the IPC's socket.
type IPCLedger struct {
	received, probes *metric.Tally[int]
	relayed          *metric.Tally[int] // by path
	drops            *metric.Tally[drop.Reason]
}

// Labels of the series.
var (
	pathLabels = [2]string{"direct", "relayed"}
	destLabels = [2]string{"multicast", "unicast"}
)

// toldCodes are the options of IPv4 as a service, and ways are how clients are told of them.
var (
	toldCodes = [...]dhcp6.Code{
		dhcp6.OptAFTRName, dhcp6.Opt4o6Server, dhcp6.OptS46BR, dhcp6.OptS46ContMAPE, dhcp6.OptS46ContMAPT,
		dhcp6.OptS46ContLW, dhcp6.OptS46Priority, dhcp6.OptS46BindIPv6,
	}
	ways = [...]string{inReply: "reply", bySupply: "supply", inResponse: "response"}
)

const (
	inReply = iota
	bySupply
	inResponse
)

// messageTypes are the types that packets_received_total distinguishes; all others count as
// "other".
var messageTypes = [...]dhcp6.Type{
	dhcp6.Solicit, dhcp6.Advertise, dhcp6.Request, dhcp6.Confirm, dhcp6.Renew, dhcp6.Rebind, dhcp6.Reply,
	dhcp6.Release, dhcp6.Decline, dhcp6.Reconfigure, dhcp6.InformationRequest, dhcp6.DHCPv4Query, dhcp6.DHCPv4Response,
}

// NewLedgers registers the series of both accounts, all at zero.
func NewLedgers(reg prometheus.Registerer) (*LinkLedger, *IPCLedger) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "dhcp6d", Name: name, Help: help}, labels)
		reg.MustRegister(c)
		return c
	}
	received := counter("packets_received_total",
		"Datagrams received from the link before any check, by type of the client's message.", "type", "path")
	ipcReceived := counter("ipc_packets_received_total", "Datagrams received from the IPC before any check.")
	forwards := counter("queries_forwarded_total", "DHCPV4-QUERY messages handed to a dhcp4d.", "path", "dest")
	relays := counter("responses_relayed_total", "DHCPV4-RESPONSE messages sent to a client or relay.", "path")
	answers := counter("packets_answered_total", "Messages that dhcp6d answered itself.", "type")
	passes := counter("messages_passed_total",
		"Messages passed on to the DHCPv6 servers of DHCP6D_DHCPV6_SERVERS, each counted once.", "path")
	returns := counter("messages_returned_total", "Messages of DHCPv6 servers sent to a client or relay.", "path")
	silences := metric.NewSilences(reg, drop.DHCP6D, "packets_silent_total",
		"Messages that were understood and get no answer, by the rule that says so and the socket that received them.",
		"socket")
	unbelieved := counter("packets_relay_unbelieved_total",
		"Relayed messages with inner relay levels that dhcp6d does not believe, because no trusted relay wrote them.")
	told := counter("options_told_total",
		"Options of IPv4 as a service that were sent for clients: in a Reply of dhcp6d, in a response of a dhcp4d, "+
			"or in a Relay-forward to a DHCPv6 server that gives them to the client.",
		"option", "by")
	probes := counter("ipc_probe_replies_total", "Answers to probes received from dhcp4d.")
	drops := metric.NewDrops(reg, drop.DHCP6D, "link", "ipc")

	var byType, byDest, byPath, passesByPath, returnsByPath []prometheus.Counter
	for _, path := range pathLabels {
		for _, t := range messageTypes {
			byType = append(byType, received.WithLabelValues(typeLabel(t), path))
		}
		byType = append(byType, received.WithLabelValues("other", path))
		for _, dest := range destLabels {
			byDest = append(byDest, forwards.WithLabelValues(path, dest))
		}
		byPath = append(byPath, relays.WithLabelValues(path))
		passesByPath = append(passesByPath, passes.WithLabelValues(path))
		returnsByPath = append(returnsByPath, returns.WithLabelValues(path))
	}
	var toldBy []prometheus.Counter
	for _, way := range ways {
		for _, code := range toldCodes {
			toldBy = append(toldBy, told.WithLabelValues(strconv.Itoa(int(code)), way))
		}
	}
	one := func(c prometheus.Counter) *metric.Tally[int] { return metric.NewTally[int]([]prometheus.Counter{c}) }
	link := &LinkLedger{
		received:  metric.NewTally[int](byType),
		forwarded: metric.NewTally[int](byDest),
		answered:  one(answers.WithLabelValues("reply")),
		passed:    metric.NewTally[int](passesByPath),
		returned:  metric.NewTally[int](returnsByPath),
		silent:    silences.Tally("link"),
		drops:     drops.Tally("link"),

		unbelieved: one(unbelieved.WithLabelValues()),
		told:       metric.NewTally[int](toldBy),
	}
	back := &IPCLedger{
		received: one(ipcReceived.WithLabelValues()),
		probes:   one(probes.WithLabelValues()),
		relayed:  metric.NewTally[int](byPath),
		drops:    drops.Tally("ipc"),
	}
	return link, back
}

// typeLabel returns a type as a label: "information_request", "dhcpv4_query".
func typeLabel(t dhcp6.Type) string { return strings.ReplaceAll(strings.ToLower(t.String()), "-", "_") }

// settle counts a datagram as received, and its fate unless that depends on sending. p is nil if
// the datagram could not be parsed.
func (l *LinkLedger) settle(in *udp.Packet, p *dhcp6.Packet, f fate, why drop.Reason, rule silence.Reason) {
	l.received.Add(receivedIndex(in, p), 1)
	switch f {
	case dropped:
		l.drops.Add(why, 1)
	case silent:
		l.silent.Add(rule, 1)
	}
}

// tell counts those options of a row that belong to IPv4 as a service.
func (l *LinkLedger) tell(way int, row []byte) {
	for code := range dhcp6.Options(row) {
		if at := slices.Index(toldCodes[:], code); at >= 0 {
			l.told.Add(way*len(toldCodes)+at, 1)
		}
	}
}

// receivedIndex returns the index of a datagram among the counters of received, which are ordered
// by path and then by type. If the datagram could not be parsed, its first octet gives the path.
func receivedIndex(in *udp.Packet, p *dhcp6.Packet) int {
	if p == nil {
		return index(len(in.Data) > 0 && dhcp6.Type(in.Data[0]) == dhcp6.RelayForward, len(messageTypes))
	}
	at := slices.Index(messageTypes[:], p.Message().Type())
	if at < 0 {
		at = len(messageTypes)
	}
	return index(p.Relays() > 0, at)
}

func index(relayed bool, kind int) int {
	if relayed {
		return len(messageTypes) + 1 + kind
	}
	return kind
}

// sent counts what a batch has sent, and adds the batch to the metrics. servers get what is passed.
func (l *LinkLedger) sent(queries, answers, passed, returned *outgoing, servers *pass.Servers) {
	for i := range queries.packets {
		switch {
		case queries.paths[i].probe: // not counted: it answers no datagram of the link
		case queries.packets[i].Err != nil:
			l.drops.Add(drop.SendError, 1)
		default:
			l.forwarded.Add(queries.paths[i].byDest(), 1)
		}
	}
	for i := range answers.packets {
		if answers.packets[i].Err != nil {
			l.drops.Add(drop.SendError, 1)
			continue
		}
		l.answered.Add(0, 1)
	}
	l.sentOn(passed, servers)
	for i := range returned.packets {
		if returned.packets[i].Err != nil {
			l.drops.Add(drop.SendError, 1)
			continue
		}
		l.returned.Add(returned.paths[i].byPath(), 1)
	}
	l.received.Flush()
	l.forwarded.Flush()
	l.answered.Flush()
	l.passed.Flush()
	l.returned.Flush()
	l.silent.Flush()
	l.drops.Flush()
	l.unbelieved.Flush()
	l.told.Flush()
}

// sentOn counts what was sent to servers. The copies of a message for all servers follow each
// other. It is dropped only if the kernel refused every copy.
func (l *LinkLedger) sentOn(passed *outgoing, servers *pass.Servers) {
	for i := 0; i < len(passed.packets); i += servers.Len() {
		sent := false
		for n := range servers.Len() {
			if passed.packets[i+n].Err == nil {
				sent = true
				servers.Sent(n)
			}
		}
		if sent {
			l.passed.Add(passed.paths[i].byPath(), 1)
		} else {
			l.drops.Add(drop.SendError, 1)
		}
	}
}

// settle counts the fate of a datagram.
func (l *IPCLedger) settle(f fate, why drop.Reason) {
	l.received.Add(0, 1)
	switch f {
	case dropped:
		l.drops.Add(why, 1)
	case probe:
		l.probes.Add(0, 1)
	}
}

// sent counts what a batch has sent, and adds the batch to the metrics.
func (l *IPCLedger) sent(responses *outgoing) {
	for i := range responses.packets {
		if responses.packets[i].Err != nil {
			l.drops.Add(drop.SendError, 1)
			continue
		}
		l.relayed.Add(responses.paths[i].byPath(), 1)
	}
	l.received.Flush()
	l.probes.Flush()
	l.relayed.Flush()
	l.drops.Flush()
}

func (p path) byPath() int {
	if p.relayed {
		return 1
	}
	return 0
}

func (p path) byDest() int {
	if p.unicast {
		return 2*p.byPath() + 1
	}
	return 2 * p.byPath()
}
