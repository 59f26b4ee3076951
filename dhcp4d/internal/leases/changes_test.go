package leases

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// queryBy is a query that came over one relay, by whose port it is told apart.
func queryBy(t *testing.T, ifc, port string) *ipc.Query {
	t.Helper()
	m := dhcp4.AppendHeader(nil, &dhcp4.Header{Op: 1, HType: 1, HLen: 6})
	inner := dhcp6.AppendOption(dhcp6.AppendMessage(nil, dhcp6.DHCPv4Query, [3]byte{}), dhcp6.OptDHCPv4Msg, dhcp4.AppendEnd(dhcp4.AppendType(m, dhcp4.Request)))
	client := netip.MustParseAddr("fe80::1")
	options := dhcp6.AppendOption(nil, dhcp6.OptInterfaceID, []byte(port))
	datagram := dhcp6.AppendRelayForward(nil, 0, netip.MustParseAddr("2001:db8::1"), client, options, inner)
	var p dhcp6.Packet
	if why := p.Parse(datagram); why != drop.None {
		t.Fatal(why)
	}
	f, why := ipc.AppendQuery(nil, &p, ipc.Context{Interface: []byte(ifc), Source: netip.AddrPortFrom(client, 547)})
	if why != drop.None {
		t.Fatal(why)
	}
	q := new(ipc.Query)
	if why := q.Parse(f); why != drop.None {
		t.Fatal(why)
	}
	return q
}

func TestObserversLearnTheWayOfEachQuery(t *testing.T) {
	b := newTestBook(t)
	var c Changes
	var records lease.Batch
	ports := []string{"port 1", "a port with a long name, so that the memory has to grow", "port 3"}
	for i, port := range ports {
		records.Add(&lease.Binding{ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}})
		c.ByQuery(lease.EventAllocated, i, queryBy(t, "eth1", port), true)
	}
	c.ByQuery(lease.EventRenewed, 0, queryBy(t, "eth1", "unobserved"), false)
	c.ByQuery(lease.NoEvent, 0, queryBy(t, "eth1", "nothing"), true)
	b.notifier.Committed(1, records.Records, nil, &c, nil)
	if len(b.told) != len(ports) {
		t.Fatalf("observers are told %+v", b.told)
	}
	for i, e := range b.told {
		if e.Binding.Addr != records.Records[i].Addr || e.Interface != "eth1" || len(e.Relays) != 1 || string(e.Relays[0].InterfaceID) != ports[i] {
			t.Errorf("change %d: observers are told %+v", i, e)
		}
	}
	if b.events(lease.EventAllocated) != 3 || b.events(lease.EventRenewed) != 1 {
		t.Errorf("%v and %v are counted", b.events(lease.EventAllocated), b.events(lease.EventRenewed))
	}
	c.Reset()
	b.notifier.Committed(2, nil, nil, &c, nil)
	if len(b.told) != len(ports) || b.events(lease.EventAllocated) != 3 {
		t.Error("what was reset is told again")
	}
}

func TestTheNamesOfInterfacesAreBounded(t *testing.T) {
	var c Changes
	for i := range 3 * maxNames {
		b := []byte{'e', byte(i), byte(i >> 8)}
		if c.name(b) != string(b) || len(c.interfaces) > maxNames {
			t.Fatalf("name %d of %d kept", i, len(c.interfaces))
		}
	}
}

// What ended before a group is told before what the group has changed.
func TestWhatBecomesOfAGroupIsTold(t *testing.T) {
	failure := errors.New("the disk is full")
	for _, c := range []struct {
		name     string
		err      error
		refused  []store.Refusal
		events   []lease.Event
		operator error
	}{
		{"durable", nil, nil, []lease.Event{lease.EventExpired, lease.EventAllocated, lease.EventReleased}, nil},
		{"failed", failure, nil, nil, failure},
		{"a record of a query refused", nil, []store.Refusal{{Record: 0}}, []lease.Event{lease.EventExpired, lease.EventReleased}, nil},
		{"the record of the operator refused", nil, []store.Refusal{{Record: 1}}, []lease.Event{lease.EventExpired, lease.EventAllocated}, ErrConflict},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTestBook(t)
			b.bind("old")
			b.machine.Pass((leaseTime + 1) * time.Second)
			for b.expire() {
			}
			var g Changes
			var records lease.Batch
			records.Add(&lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.20")}})
			records.Add(&lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr("192.0.2.21")}})
			g.ByQuery(lease.EventAllocated, 0, queryBy(t, "eth1", "port"), true)
			g.byOperator(lease.EventReleased, 1, "somebody", true)
			done := g.Await(1)
			b.notifier.Committed(b.seq, records.Records, c.refused, &g, c.err)
			var told []lease.Event
			for _, e := range b.told {
				told = append(told, e.Event)
			}
			if !slices.Equal(told, c.events) {
				t.Errorf("observers are told %v, want %v", told, c.events)
			}
			for e := lease.NoEvent + 1; e < lease.EventCount; e++ {
				if want := slices.Contains(c.events, e); (b.events(e) == 1) != want {
					t.Errorf("%v counts %v", e, b.events(e))
				}
			}
			if err := <-done; !errors.Is(err, c.operator) {
				t.Errorf("the operator is told %v, want %v", err, c.operator)
			}
		})
	}
}

// orderedBook is a book of one address, whose changes are those of its gathering group.
type orderedBook struct {
	*testBook
	changes Changes
}

// bind binds a client in the gathering group.
func (b *orderedBook) bind(client string, want string) {
	b.t.Helper()
	b.query(dhcp4.Discover, client, netip.Addr{})
	if d := b.query(dhcp4.Request, client, netip.MustParseAddr(want)); d.Kind != lease.Ack {
		b.t.Fatalf("%s: %+v", client, d)
	}
	b.changes.ByQuery(lease.EventAllocated, len(b.group.Records)-1, queryBy(b.t, "eth1", client), true)
}

// pass lets all leases run out.
func (b *orderedBook) pass() {
	b.machine.Pass((leaseTime + 1) * time.Second)
	b.ended()
}

// committed tells the outcome of the gathering group.
func (b *orderedBook) committed(refused []store.Refusal, err error) {
	b.notifier.Committed(b.seq, b.group.Records, refused, &b.changes, err)
	b.changes.Reset()
	b.group.Reset()
	b.seq++
}

// A lease may end before observers know that it began, because its group is still being committed.
func TestObserversSeeTheEventsOfAnAddressInOrder(t *testing.T) {
	failure := errors.New("the disk is full")
	const ten, eleven = "192.0.2.10", "192.0.2.11"
	for _, c := range []struct {
		name string
		do   func(b *orderedBook)
		want []string
	}{
		{"time runs out before the group is durable", func(b *orderedBook) {
			b.bind("a", ten)
			b.pass()
			b.committed(nil, nil)
		}, []string{"allocated " + ten, "expired " + ten}},
		{"time runs out, and another client has the address in the same group", func(b *orderedBook) {
			b.bind("a", ten)
			b.pass()
			b.bind("b", ten)
			b.committed(nil, nil)
			b.ended()
		}, []string{"allocated " + ten, "expired " + ten, "allocated " + ten}},
		{"time runs out, and another client has the address in the next group", func(b *orderedBook) {
			b.bind("a", ten)
			seq, group, changes := b.seq, b.group, b.changes
			b.group, b.changes, b.seq = lease.Batch{}, Changes{}, b.seq+1
			b.pass()
			b.bind("b", ten)
			b.notifier.Committed(seq, group.Records, nil, &changes, nil)
			b.ended()
			b.committed(nil, nil)
		}, []string{"allocated " + ten, "expired " + ten, "allocated " + ten}},
		{"a client takes another address, and the group is not durable yet", func(b *orderedBook) {
			b.bind("a", ten)
			b.committed(nil, nil)
			b.Reconfigure(b.configure(strings.ReplaceAll(oneAddress, ten, eleven)), func() {})
			b.bind("a", eleven)
			b.ended()
		}, []string{"allocated " + ten}},
		{"a client takes another address", func(b *orderedBook) {
			b.bind("a", ten)
			b.committed(nil, nil)
			b.Reconfigure(b.configure(strings.ReplaceAll(oneAddress, ten, eleven)), func() {})
			b.bind("a", eleven)
			b.committed(nil, nil)
		}, []string{"allocated " + ten, "released " + ten, "allocated " + eleven}},
		{"a client takes another address in the same group", func(b *orderedBook) {
			b.bind("a", ten)
			b.Reconfigure(b.configure(strings.ReplaceAll(oneAddress, ten, eleven)), func() {})
			b.bind("a", eleven)
			b.committed(nil, nil)
		}, []string{"allocated " + ten, "released " + ten, "allocated " + eleven}},
		{"the record of a lease that has run out is refused", func(b *orderedBook) {
			b.bind("a", ten)
			b.pass()
			b.committed([]store.Refusal{{Record: 0}}, nil)
			b.ended()
		}, nil},
		{"the store fails, and is loaded again", func(b *orderedBook) {
			b.bind("a", ten)
			b.pass()
			b.committed(nil, failure)
			b.load()
			b.bind("b", ten)
			b.committed(nil, nil)
			b.ended()
		}, []string{"allocated " + ten}},
		{"the store fails after the time of a durable lease has run out", func(b *orderedBook) {
			b.bind("a", ten)
			b.committed(nil, nil)
			b.machine.Pass((leaseTime + 1) * time.Second)
			for b.expire() {
			}
			b.load()
			b.ended()
		}, []string{"allocated " + ten, "expired " + ten}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &orderedBook{testBook: newTestBook(t)}
			b.Reconfigure(b.configure(oneAddress), func() {})
			c.do(b)
			var told []string
			for _, e := range b.told {
				told = append(told, e.Event.String()+" "+e.Binding.Addr.String())
			}
			if !slices.Equal(told, c.want) {
				t.Errorf("observers are told %v, want %v", told, c.want)
			}
		})
	}
}

const oneAddress = `[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.10], match: [{interface: eth1}]}]`
