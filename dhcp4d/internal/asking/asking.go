// Package asking asks a program outside about queries, for the packet loop (docs/outside.md). It
// finds the queries to ask about, makes the questions, and applies the answers.
//
// An [Asker] belongs to the loop. Its link carries questions and answers. No call waits.
package asking

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/consult"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/parking"
)

// Policy is what becomes of a query without a verdict.
type Policy uint8

// The policies.
const (
	Drop  Policy = iota // it is dropped
	Open                // it goes on as if nobody had been asked
	Stale               // the last verdict of its key decides, however old it is; without one it is dropped
)

// Policies are their names in the configuration.
var Policies = []string{Drop: "drop", Open: "open", Stale: "stale"}

// Config is what the operator has said.
type Config struct {
	Point    string
	Key      *expression.Value
	Policy   Policy
	Timeout  time.Duration
	Limits   parking.Limits
	Verdicts int // how many are kept
	Reasons  []string
	Marked   map[string]int // classes that a verdict may put a query into
	// Settable says which options a verdict may set.
	Settable *[256]bool
}

// Part is the asker of the hook that asks.
const Part = hook.Part[*Asker]("asker")

// Asker asks about the queries of one configuration.
type Asker struct {
	Config
	Link    *consult.Link
	Cache   *consult.Cache // goes from one configuration to the next with the link
	Metrics *Metrics

	// The query at hand.
	eval   *expression.Evaluator
	key    []byte
	subnet uint32
	relays []outside.Relay
	memory []byte // options of relays, attachment point
}

// Use begins to use the asker. Wake wakes the loop.
func (a *Asker) Use(wake func()) {
	a.Cache.Resize(a.Verdicts)
	if wake != nil {
		a.Link.Wakes(wake)
	}
}

// open lets a query go on as if nobody had been asked. It never changes.
var open = &event.Verdict{}

// kept returns the verdict to keep in place of v. All verdicts that only let their query go on are
// kept as one, which then stays in the processor's cache.
func kept(v *event.Verdict) *event.Verdict {
	if v.Drop || len(v.Classes) > 0 || v.Address.IsValid() || v.Pool != "" || v.LeaseTime != 0 || len(v.Options) > 0 {
		return v
	}
	return open
}

// Decide applies the verdict about a query, and puts the query into its classes. A query that
// nobody is to be asked about goes on. If there is no verdict yet, the query is to be parked.
func (a *Asker) Decide(q *event.Query) hook.Result {
	if q.Outcome == parking.Answered {
		a.eval = q.Evaluator
		return hook.Decided(a.heed(q, q.Told, consult.ByAnswer))
	}
	if !a.asksAbout(q) {
		return hook.GoOn
	}
	known := a.Cache.Get(a.key, a.subnet)
	switch {
	case known != nil && q.Uptime < known.Until:
		return hook.Decided(a.recall(q, known, consult.ByCache))
	case q.Outcome != parking.NoOutcome, a.Link.Away() > a.Timeout:
		return hook.Decided(a.without(q, known))
	}
	return hook.Park
}

// asksAbout reports whether the program is to be asked about a query, and makes it the query at
// hand.
func (a *Asker) asksAbout(q *event.Query) bool {
	switch q.Message.Type() {
	case dhcp4.Release, dhcp4.Decline:
		return false // the client gets nothing
	}
	octets, ok := a.Key.Octets(q.Evaluator)
	if !ok || len(octets) == 0 {
		return false
	}
	a.eval, a.key, a.subnet = q.Evaluator, append(a.key[:0], octets...), 0
	if q.Subnet != nil {
		a.subnet = q.Subnet.ID
	}
	return true
}

// Without decides by the policy about the query of the last Decide, which could not be parked.
func (a *Asker) Without(q *event.Query) drop.Reason {
	return a.without(q, a.Cache.Get(a.key, a.subnet))
}

// without decides by the policy. Known may be nil.
func (a *Asker) without(q *event.Query, known *consult.Entry) drop.Reason {
	switch {
	case a.Policy == Open:
		a.Metrics.Decided(consult.ByOpen)
		q.Heed(open)
		return drop.None
	case a.Policy == Stale && known != nil:
		return a.recall(q, known, consult.ByStale)
	}
	a.Metrics.Decided(consult.ByDrop)
	return drop.HookTimeout
}

// recall applies the verdict of an entry.
func (a *Asker) recall(q *event.Query, known *consult.Entry, by consult.By) drop.Reason {
	if known.For != a { // of an earlier configuration, whose classes had other numbers
		v := new(event.Verdict)
		if wrong := a.read(v, known.Answer); wrong != outside.None {
			a.Metrics.Wrong(wrong)
			a.Cache.Remove(a.key)
			return a.without(q, nil)
		}
		known.Made, known.For = kept(v), a
	}
	return a.heed(q, known.Made.(*event.Verdict), by)
}

// heed carries out a verdict, as far as that can be done here.
func (a *Asker) heed(q *event.Query, v *event.Verdict, by consult.By) drop.Reason {
	a.Metrics.Decided(by)
	q.Heed(v)
	if v.Drop {
		a.Metrics.dropped[v.Because].Inc()
		return drop.Hook
	}
	for _, class := range v.Classes {
		a.eval.Put(class)
	}
	return drop.None
}

// otherReason is the reason of a drop that names none of the configuration's.
const otherReason = "other"

// read makes a verdict of an answer.
func (a *Asker) read(v *event.Verdict, from *outside.Answer) outside.Wrong {
	*v = event.Verdict{
		Drop: from.Verdict == outside.Drop, Classes: v.Classes[:0],
		Address: from.Address, Pool: from.Pool, LeaseTime: from.LeaseTime, Options: from.Options,
	}
	if v.Drop {
		v.Because = otherReason
		if slices.Contains(a.Reasons, from.Reason) {
			v.Because = from.Reason
		}
		return outside.None
	}
	for _, name := range from.Classes {
		number, ok := a.Marked[name]
		if !ok {
			return outside.UnknownClass
		}
		v.Classes = append(v.Classes, number)
	}
	for _, o := range v.Options {
		if !a.Settable[o.Code] {
			return outside.BadOption
		}
	}
	if v.Address.IsValid() && !network.IsHost(v.Address) {
		return outside.AddressOutside
	}
	return outside.None
}

// Asking appends what tells the question about the query of the last Decide from others.
func (a *Asker) Asking(dst []byte) []byte {
	return binary.BigEndian.AppendUint32(append(dst, a.key...), a.subnet)
}

// Learn takes the answer to a question, and returns its verdict, nil if it is none. A verdict that
// is good for more than the queries that wait is kept, and so are all if the last one of a key may
// have to decide. One that is not kept is in memory of the caller's, spare.
func (a *Asker) Learn(asking []byte, answer *outside.Answer, now time.Duration, spare *event.Verdict) *event.Verdict {
	n := len(asking) - 4
	key, subnet := asking[:n], binary.BigEndian.Uint32(asking[n:])
	keep := answer.Keep > 0 || a.Policy == Stale
	v := spare
	if keep {
		v = new(event.Verdict)
	}
	if wrong := a.read(v, answer); wrong != outside.None {
		a.Metrics.Wrong(wrong)
		return nil
	}
	if !keep {
		a.Cache.Remove(key)
		return v
	}
	entry := a.Cache.Put(key, subnet, *answer, now+time.Duration(answer.Keep)*time.Second)
	entry.Made, entry.For = kept(v), a
	return v
}

// Forget takes back the verdict about a key, or all if the key is nil.
func (a *Asker) Forget(key []byte) {
	if key == nil {
		a.Cache.Forget()
		return
	}
	a.Cache.Remove(key)
}

// AppendQuestion appends the question about the query of the last Decide.
func (a *Asker) AppendQuestion(b []byte, number uint64) []byte {
	q := a.eval.Query()
	m, path := q.Message, q.Path
	a.relays, a.memory = a.relays[:0], a.memory[:0]
	for i := range path.Packet.Relays() {
		r := path.Packet.Relay(i)
		start := len(a.memory)
		for code, data := range dhcp6.Options(r.Options()) {
			if code != dhcp6.OptRelayMsg {
				a.memory = dhcp6.AppendOption(a.memory, code, data)
			}
		}
		a.relays = append(a.relays, outside.Relay{Link: r.LinkAddress(), Peer: r.PeerAddress(),
			Options: a.memory[start:len(a.memory):len(a.memory)]})
	}
	start := len(a.memory)
	a.memory = path.AppendPoint(a.memory)
	record := outside.Query{
		Number: number, Point: a.Point, Key: a.key, MessageType: byte(m.Type()), Message: m.Bytes(),
		HWType: m.HType(), HWAddr: m.CHAddr(), Subnet: a.subnet, Interface: string(path.Interface), Peer: path.Server,
		Source: path.Client(), Link: path.Link(), Attachment: a.memory[start:], Relays: a.relays,
	}
	record.ClientID, _ = m.Option(dhcp4.OptClientIdentifier)
	if r, ok := path.Relay(); ok {
		record.InterfaceID, record.RemoteID = r.InterfaceID(), r.RemoteID()
	}
	return record.Append(b)
}
