package server

import (
	"context"
	"encoding/binary"
	"log/slog"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/option"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/reply"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// reply returns the decision in the terms of package reply.
func (s *Server) reply(q *exchange, d *lease.Decision, v6wait []byte, chain int) *reply.Reply {
	sub := q.chosen.Subnet
	r := &q.client.reply
	*r = reply.Reply{
		Type:                answerOf(d.Kind),
		YIAddr:              d.Addr,
		ServerID:            q.serverID,
		EchoSubnetSelection: q.chosen.Step == network.SubnetSelection,
		Room:                reply.Room(chain),
		Pad:                 sub.PadTo300,
	}
	if d.Kind == lease.Nak {
		r.Message = d.Why.String()
		return r
	}
	r.LeaseTime = d.Time
	if t1, t2, ok := sub.Lease.Timers(d.Time); ok {
		r.T1, r.T2 = t1, t2
	}
	r.SendTimes = sub.Lease.SendTimers
	boot := &s.set.boots[sub.Position]
	r.SIAddr, r.SName, r.File = sub.NextServer, boot.server, boot.file
	address := d.Addr
	if q.message.Type() == dhcp4.Inform {
		address = q.terms.CIAddr // an INFORM has no lease of ours, but its address may be in a pool
	}
	pool := sub.PoolOf(address)
	s.options = s.optionsFor(q, pool)
	r.Options = &s.options
	if pool >= 0 {
		setBoot(r, &sub.Pools[pool].Carried)
	}
	for _, c := range s.classes {
		setBoot(r, &c.Carried)
	}
	if q.reserved != nil {
		setBoot(r, q.reserved.Carried)
	}
	if d.V6Only {
		r.IPv6Only, r.V6OnlyWait = true, binary.BigEndian.Uint32(v6wait)
	}
	return r
}

// answerOf returns the message type of the reply that a decision makes.
func answerOf(k lease.Kind) dhcp4.MessageType {
	switch k {
	case lease.Offer:
		return dhcp4.Offer
	case lease.Nak:
		return dhcp4.NAK
	}
	return dhcp4.ACK
}

// setBoot sets the boot server and the boot file of a reply, as far as c configures them.
func setBoot(r *reply.Reply, c *network.Carried) {
	if c.NextServer.IsValid() {
		r.SIAddr = c.NextServer
	}
	if c.ServerHostname != nil {
		r.SName = c.ServerHostname
	}
	if c.BootFileName != nil {
		r.File = c.BootFileName
	}
}

// optionsFor returns the options for the client of a query. Pool is the number of its address's
// pool, or -1.
func (s *Server) optionsFor(q *exchange, pool int) option.Layers {
	l := q.chosen.Subnet.OptionsFor(s.classes, pool, q.reserved, s.sets[:0])
	s.sets = l.Classes
	s.computed.Reset()
	l.Evaluator, l.Computed = &s.eval, &s.computed
	if v := q.event.Verdict; v != nil && len(v.Options) > 0 {
		l.Hooks = &s.byHooks
	}
	return l
}

// atPkt4Send has the hooks at pkt4_send look at a reply, which begins at an offset of the response.
// If they set options, the reply is built anew.
func (s *Server) atPkt4Send(q *exchange, r *reply.Reply, mark *ipc.Mark, out []byte, message int) ([]byte, drop.Reason) {
	if s.options.Hooks == nil { // else it has what a verdict sets
		s.byHooks.Reset()
	}
	q.event.Options = &s.byHooks
	why := s.set.Hooks.Pkt4Send.Run(&q.event)
	q.event.Options = nil
	if why != hook.Continue || s.byHooks.Empty() {
		return out, why
	}
	s.options.Hooks = &s.byHooks
	if out, why = reply.Append(out[:message], &q.message, r); why != drop.None {
		return out, why
	}
	end := len(out)
	if out, why = mark.End(out); why != drop.None {
		return out, why
	}
	q.event.Data = out[message:end]
	return out, drop.None
}

// atBuffer4Send has the hooks at buffer4_send look at the octets of a reply, which begin at an
// offset of the response. What they change must leave the lease as it is stored.
func (s *Server) atBuffer4Send(q *exchange, r *reply.Reply, mark *ipc.Mark, out []byte, message int) ([]byte, drop.Reason) {
	s.octets.Changed, q.event.Octets = false, &s.octets
	built := q.event.Data
	why := s.set.Hooks.Buffer4Send.Run(&q.event)
	q.event.Octets = nil
	if why != hook.Continue || !s.octets.Changed {
		return out, why
	}
	if len(q.event.Data) > reply.Limit(&q.message, r.Room) || s.built.Parse(built) != drop.None ||
		s.changed.Parse(q.event.Data) != drop.None || !s.changed.SameLease(&s.built) {
		return out, drop.Hook
	}
	out = append(out[:message], q.event.Data...)
	end := len(out)
	if out, why = mark.End(out); why != drop.None {
		return out, why
	}
	q.event.Data = out[message:end]
	return out, drop.None
}

// leftOutEvery is the least time between two warnings of options that did not fit.
const leftOutEvery = time.Minute

// leftOut logs the options that a client should have got, but that its reply has no room for.
func (s *Server) leftOut(q *exchange, codes *option.Codes) {
	s.Ledger.leftOut.Add(0, 1)
	level := slog.LevelDebug
	if s.received.Sub(s.warned) >= leftOutEvery {
		s.warned, level = s.received, slog.LevelWarn
	}
	if s.Log.Enabled(context.Background(), level) {
		s.Log.Log(context.Background(), level,
			"options left out of a reply: it has no room for them, as the client's option 57 and the relays leave it",
			"options", codes.List(), "subnet", q.chosen.Subnet.ID, "client", q.client.key)
	}
}

// sign authenticates the answer buf[start:] as its query was. It cannot fail: we have opened the
// query.
func (s *Server) sign(q *exchange, buf []byte, start int) []byte {
	buf, _ = s.Auth.Signer.Append(buf, start, q.from.IPC, s.received)
	return buf
}
