package server

import (
	"hash/maphash"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/asking"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/shared/consult"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/parking"
)

// questions are what the program outside is asked, and the queries that wait for it. The zero value
// has none.
type questions struct {
	lot   *parking.Lot[progress] // nil: nobody was ever asked
	asker *asking.Asker          // who has asked
	now   time.Duration          // of the batch
	alarm *time.Timer            // wakes the loop when the time for the oldest question is over

	arrived []consult.Arrival
	left    []*keptQuery
	client  []byte
	key     []byte
	point   []byte
	seed    maphash.Seed
}

// ask has the hooks that run last at a point decide about a query. If they need a verdict that has
// not come yet, the query is parked. A query whose client has a parked one is parked too, so that
// it does not overtake the parked one.
func (s *Server) ask(q *exchange, last *hook.Last[event.Query], at passed) (fate, drop.Reason) {
	if last.Empty() || q.passed == entered {
		return undecided, drop.None
	}
	w := &s.questions
	q.event.Uptime = w.now
	if w.lot.Len() > 0 && w.lot.Has(s.hashOfClient(q)) {
		return s.park(q, at, nil)
	}
	result := last.Run(&q.event)
	switch result {
	case hook.GoOn:
		return undecided, drop.None
	case hook.Park:
		w.key = w.asker.Asking(w.key[:0])
		return s.park(q, at, w.key)
	}
	why := result.Reason()
	if why == drop.HookTimeout && q.event.Outcome == parking.NoOutcome { // otherwise recall has noted it
		s.noteAway(q)
	}
	return dropped, why
}

// park parks a query. Without a key it only waits for those of its client.
func (s *Server) park(q *exchange, at passed, key []byte) (fate, drop.Reason) {
	w := &s.questions
	w.point = q.client.path.AppendPoint(w.point[:0])
	origin := parking.Origin{Client: s.hashOfClient(q), Point: maphash.Bytes(w.seed, w.point),
		Key: maphash.Bytes(w.seed, key), Octets: key}
	p, result := w.lot.Park(q.in, &origin, w.now, w.asker.Limits)
	switch result {
	case parking.Crowded:
		return dropped, drop.HookFull
	case parking.Full:
		return s.unparked(q, key, drop.HookFull)
	case parking.Asks:
		p.Question = w.asker.AppendQuestion(p.Question, p.Number)
		if !w.asker.Link.Ask(p.Number, p.Question) {
			w.lot.Free(w.lot.Leave(nil, p, parking.NoOutcome))
			return s.unparked(q, key, drop.HookFull)
		}
		w.asker.Metrics.Asked()
	}
	p.More.keep(q, s.set, at)
	return parked, drop.None
}

// unparked has the policy decide about a query that could not be parked: it goes on, or is dropped
// for a reason.
func (s *Server) unparked(q *exchange, key []byte, why drop.Reason) (fate, drop.Reason) {
	if key == nil {
		return dropped, why
	}
	switch s.questions.asker.Without(&q.event) {
	case drop.None:
		return undecided, drop.None
	case drop.Hook:
		return dropped, drop.Hook
	}
	return dropped, why
}

// waits reports whether queries are parked.
func (w *questions) waits() bool { return w.lot != nil && w.lot.Len() > 0 }

// hashOfClient returns a hash of the client key of a query, 0 if it has none.
func (s *Server) hashOfClient(q *exchange) uint64 {
	w := &s.questions
	key, why := q.message.AppendClientKey(w.client[:0])
	if w.client = key; why != drop.None {
		return 0 // it will be dropped for that
	}
	return maphash.Bytes(w.seed, key)
}

// noteAway adds to the trace of a query that there is no connection to the program outside.
func (s *Server) noteAway(q *exchange) {
	if a := s.questions.asker; a != nil && s.tracing != nil && a.Link.Away() > 0 {
		q.notes.Lines = append(q.notes.Lines, "there is no connection to the program outside")
	}
}

// resume begins a batch: it returns the queries that are no longer parked, in their order.
func (s *Server) resume() []*keptQuery {
	w := &s.questions
	if asker := s.set.asker; asker != w.asker || asker == nil {
		if asker == nil && w.asker == nil {
			return nil
		}
		s.useAsker(asker)
		return w.left
	}
	w.now = s.uptime()
	var again bool
	w.arrived, again = w.asker.Link.Take(w.arrived[:0])
	for i := range w.arrived {
		a := &w.arrived[i]
		if a.Number == 0 {
			w.asker.Forget(a.Forget)
			continue
		}
		if p := w.lot.Leader(a.Number); p != nil {
			v, why := w.asker.Learn(p.Asking(), &a.Answer, w.now, &p.More.spare), parking.Answered
			if v == nil {
				why = parking.Refused
			}
			before := len(w.left)
			w.left = w.lot.Leave(w.left, p, why)
			for _, p := range w.left[before:] {
				p.More.verdict = v
			}
		}
	}
	clear(w.arrived)
	most := w.asker.Timeout
	if s.ending {
		most = 0
	}
	for p, _ := w.lot.Overdue(w.now, most); p != nil; p, _ = w.lot.Overdue(w.now, most) {
		w.asker.Link.Shut(p.Number)
		w.asker.Metrics.Late()
		w.left = w.lot.Leave(w.left, p, parking.Late)
	}
	if again {
		w.lot.Leaders(func(p *keptQuery) bool { return w.asker.Link.Ask(p.Number, p.Question) })
	}
	return w.left
}

// useAsker puts another asker into effect, or none. What is parked asks anew, or asks no more.
func (s *Server) useAsker(asker *asking.Asker) {
	w := &s.questions
	if w.lot == nil {
		w.lot, w.seed = parking.New[progress](), maphash.MakeSeed()
	}
	w.now = s.uptime()
	w.lot.Leaders(func(p *keptQuery) bool {
		w.asker.Link.Shut(p.Number)
		w.left = w.lot.Leave(w.left, p, parking.NoOutcome)
		return true
	})
	if w.asker != nil {
		w.asker.Metrics.End(0, 0)
	}
	if w.asker = asker; asker != nil {
		asker.Use(s.Wake)
	}
}

// flushQuestions sends what a batch has asked. The program then works while the loop serves what is
// not parked, and while it commits.
func (s *Server) flushQuestions() {
	if a := s.questions.asker; a != nil {
		a.Link.Flush()
	}
}

// endQuestions ends a batch. It frees the memory of the queries that the batch has resumed, and
// sets the alarm for the oldest question.
func (s *Server) endQuestions(resumed []*keptQuery) {
	w := &s.questions
	if w.lot == nil {
		return
	}
	for _, p := range resumed {
		p.More.set, p.More.verdict = nil, nil
	}
	w.lot.Free(resumed)
	w.left = w.left[:0]
	if w.asker == nil {
		return
	}
	w.asker.Metrics.End(w.lot.Len(), w.asker.Cache.Len())
	if _, in := w.lot.Overdue(w.now, w.asker.Timeout); in > 0 && s.Wake != nil {
		if w.alarm == nil {
			w.alarm = time.AfterFunc(in, s.Wake)
		} else {
			w.alarm.Reset(in)
		}
	}
}

func (s *Server) uptime() time.Duration {
	if s.Uptime != nil {
		return s.Uptime()
	}
	return consult.Now()
}

// heed checks whether the client of a query can have what a verdict gives it, and sets the options
// of the reply.
func (s *Server) heed(q *exchange, v *event.Verdict) bool {
	sub := q.chosen.Subnet
	if v.Pool != "" && !sub.Groups.Has(v.Pool) {
		s.wrong(outside.UnknownPool)
		return false
	}
	if s.isOrdered(q) && sub.PoolOf(v.Address) < 0 {
		s.wrong(outside.AddressOutside)
		return false
	}
	if len(v.Options) > 0 {
		s.byHooks.Reset()
		for _, o := range v.Options {
			s.byHooks.Set(o.Code, o.Value)
		}
	}
	return true
}

// isOrdered reports whether the address of a query is the one that a verdict has chosen, and not
// one that a later hook has.
func (s *Server) isOrdered(q *exchange) bool {
	v := q.event.Verdict
	return v != nil && v.Address.IsValid() && q.terms.Ordered && q.terms.Reservation == v.Address
}

// unfit returns the reason to drop a query, because hooks have chosen an address for its client
// that its subnet does not grant.
func (s *Server) unfit(q *exchange) drop.Reason {
	v := q.event.Verdict
	switch {
	case v == nil || !v.Address.IsValid() || v.Address != q.event.Address:
		return drop.Hook
	case q.chosen.Subnet.Reservations.At(v.Address) != nil:
		s.wrong(outside.AddressTaken)
	default:
		s.wrong(outside.AddressOutside)
	}
	return drop.HookVerdict
}

// wrong counts a verdict that gives what the client cannot have.
func (s *Server) wrong(what outside.Wrong) {
	if a := s.questions.asker; a != nil {
		a.Metrics.Wrong(what)
	}
}
