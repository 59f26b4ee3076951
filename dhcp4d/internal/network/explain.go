package network

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// Explain returns a line for each step of the selection for a query, and the result. It looks at
// all entries, so it is for people and not for packets.
func (s *Selector) Explain(f *Facts) []string {
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	result := s.Select(f)

	say("query: %s", describe(f))
	inner := f.LinkSelection.IsValid() || f.SubnetSelection.IsValid() ||
		(f.GIAddr.IsValid() && !f.GIAddr.IsUnspecified())
	switch {
	case !inner:
		say("steps 1 to 3, inner octets: the query has no link selection, option 118 or giaddr")
	case !result.Trusted:
		say("steps 1 to 3, inner octets: not used, no match entry with trust-inner claims the query%s", s.onLinkOnly(f))
	default:
		s.explainInner(f, say)
	}
	if result.Step >= LinkAndID || result.Step == None {
		s.explainEntries(f, result, say)
	}
	switch {
	case result.Subnet != nil:
		say("result: subnet %s, %s, by %s%s", result.Subnet, result.Subnet.Prefix, result.Step, draining(result.Subnet))
		if link := result.Subnet.Link; link != nil {
			say("network %s: %s; the first with a free address for a new client, and where a client has an address "+
				"or its reservation, that one", result.Subnet.Network, inOrder(result.Subnet))
		}
	case result.Step == LinkSelection:
		say("result: no subnet; link selection %s names none that may be chosen, and forbids any other",
			f.LinkSelection)
	default:
		say("result: no subnet; no match entry claims the query")
	}
	return lines
}

// ExplainClasses returns the names of the classes of the top, and of the subnet unless it is nil,
// that the query of e is in.
func (s *Subnets) ExplainClasses(sub *Subnet, e *expression.Evaluator) string {
	var in []string
	lists := []*ClassList{s.TopClasses}
	if sub != nil {
		lists = append(lists, sub.Classes)
	}
	total := 0
	for _, l := range lists {
		if l == nil {
			continue
		}
		for i := l.First; i < l.End; i++ {
			total++
			if !e.Member(i) {
				continue
			}
			name := s.Classes.Name(i)
			if name == "" {
				name = fmt.Sprintf("one without a name (the %d. of its level)", i-l.First+1)
			}
			in = append(in, name)
		}
	}
	switch {
	case total == 0:
		return "no class is defined here"
	case len(in) == 0:
		return fmt.Sprintf("the query is in none of %d classes", total)
	}
	return fmt.Sprintf("the query is in %s", strings.Join(in, ", "))
}

// inOrder returns the subnets of a link in the order in which they are tried.
func inOrder(first *Subnet) string {
	list := []string{"subnet " + first.String()}
	for _, s := range first.Link {
		if s != first {
			list = append(list, "subnet "+s.String())
		}
	}
	return strings.Join(list, ", then ")
}

func draining(s *Subnet) string {
	if s.Drain {
		return "; it only renews leases (state: drain)"
	}
	return ""
}

// onLinkOnly returns an explanation if an entry with trust-inner and the query's interface alone
// does not fit because it trusts link-local sources only.
func (s *Selector) onLinkOnly(f *Facts) string {
	for i := range s.subnets {
		for j := range s.subnets[i].Match {
			if m := &s.subnets[i].Match[j]; m.TrustInner && m.Claims() && misfit(m, f) == "" {
				return "; by the interface alone it trusts link-local sources only"
			}
		}
	}
	return ""
}

// explainInner explains the steps on inner octets, up to the one that decides.
func (s *Selector) explainInner(f *Facts, say func(string, ...any)) {
	for _, step := range []struct {
		step Step
		addr netip.Addr
	}{{LinkSelection, f.LinkSelection}, {SubnetSelection, f.SubnetSelection}, {GIAddr, f.GIAddr}} {
		if !step.addr.IsValid() || (step.step == GIAddr && step.addr.IsUnspecified()) {
			say("step %d, %s: not in the query", step.step, step.step)
			continue
		}
		if sub := s.inner(step.addr); sub != nil {
			say("step %d, %s: %s is in subnet %d", step.step, step.step, step.addr, sub.ID)
			return
		}
		why := "is in no subnet"
		for i := range s.subnets {
			if s.subnets[i].Prefix.Contains(step.addr) {
				why = fmt.Sprintf("is in subnet %d, which has no match entry with trust-inner", s.subnets[i].ID)
			}
		}
		say("step %d, %s: %s %s", step.step, step.step, step.addr, why)
		if step.step == LinkSelection {
			return
		}
	}
}

// explainEntries explains the steps on match entries.
func (s *Selector) explainEntries(f *Facts, result Result, say func(string, ...any)) {
	for step := LinkAndID; step <= Kind; step++ {
		total := 0
		var fitting []string
		for i := range s.subnets {
			for j := range s.subnets[i].Match {
				m := &s.subnets[i].Match[j]
				if !m.Claims() || rankOf(m).step() != step {
					continue
				}
				total++
				if misfit(m, f) == "" {
					fitting = append(fitting, fmt.Sprintf("subnet %d %s", s.subnets[i].ID, m))
				}
			}
		}
		switch {
		case total == 0 && step == Kind: // few configurations have one
		case total == 0:
			say("step %d, %s: no match entry is of this kind", step, step)
		case len(fitting) == 0:
			say("step %d, %s: none of %d match entries fits%s", step, step, total, s.onlyMisfit(f, step, total))
		case step != result.Step:
			say("step %d, %s: fits %s, but an earlier step decided", step, step, strings.Join(fitting, "; "))
		case len(fitting) == 1:
			say("step %d, %s: fits %s", step, step, fitting[0])
		default:
			winner := &result.Subnet.Match[result.Entry]
			say("step %d, %s: fits %s; the most specific is subnet %d %s", step, step, strings.Join(fitting, "; "),
				result.Subnet.ID, winner)
		}
	}
}

// onlyMisfit returns why the entries of a step do not fit, if they are few.
func (s *Selector) onlyMisfit(f *Facts, step Step, total int) string {
	if total > 5 {
		return ""
	}
	var b strings.Builder
	for i := range s.subnets {
		for j := range s.subnets[i].Match {
			m := &s.subnets[i].Match[j]
			if m.Claims() && rankOf(m).step() == step {
				fmt.Fprintf(&b, "; subnet %d %s: %s", s.subnets[i].ID, m, misfit(m, f))
			}
		}
	}
	return b.String()
}

// misfit returns why an entry does not fit a query, "" if it does. It does not allocate. It
// evaluates the class last, and only if everything else fits.
func misfit(m *Match, f *Facts) string {
	octets := func(want, have []byte, absent, other string) string {
		switch {
		case want == nil || (have != nil && string(want) == string(have)):
			return ""
		case have == nil:
			return absent
		}
		return other
	}
	switch {
	case m.LinkAddress.IsValid() && !f.LinkAddress.IsValid():
		return "the query has no usable link-address"
	case m.LinkAddress.IsValid() && !m.LinkAddress.Contains(f.LinkAddress):
		return "the link-address is outside"
	case m.Prefix.IsValid() && !m.Prefix.Contains(f.Source.WithZone("")):
		return "the source address is outside"
	case m.Peer != "" && m.Peer != f.Peer:
		return "another dhcp6d sent the query"
	case m.Interface != "" && m.Interface != string(f.Interface):
		return "the query came in by another interface"
	}
	why := octets(m.InterfaceID, f.InterfaceID, "the query has no interface-id", "the query's interface-id is another")
	if why == "" {
		why = octets(m.RemoteID, f.RemoteID, "the query has no remote-id", "the query's remote-id is another")
	}
	if why == "" {
		why = octets(m.SubscriberID, f.SubscriberID, "the query has no subscriber-id",
			"the query's subscriber-id is another")
	}
	if why == "" && m.Class != "" && (f.Classes == nil || !f.Classes.Member(m.ClassNumber)) {
		why = "the query is not in the class"
	}
	return why
}

// String returns the facts in the words of Explain.
func (f *Facts) String() string { return describe(f) }

func describe(f *Facts) string {
	parts := []string{"direct"}
	if f.Relayed {
		parts[0] = "relayed"
	}
	addr := func(key string, a netip.Addr) {
		if a.IsValid() && !a.IsUnspecified() {
			parts = append(parts, key+" "+a.String())
		}
	}
	octets := func(key string, b []byte) {
		if b != nil {
			parts = append(parts, key+" "+octets.Show(b))
		}
	}
	addr("link selection", f.LinkSelection)
	addr("option 118", f.SubnetSelection)
	addr("giaddr", f.GIAddr)
	addr("link-address", f.LinkAddress)
	octets("interface-id", f.InterfaceID)
	octets("remote-id", f.RemoteID)
	octets("subscriber-id", f.SubscriberID)
	addr("source", f.Source)
	octets("interface", f.Interface)
	if f.Peer != "" {
		parts = append(parts, "peer "+f.Peer)
	}
	return strings.Join(parts, ", ")
}
