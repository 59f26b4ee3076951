package parking

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

var roomy = Limits{Queries: 1000, Point: 1000}

// origin makes a query of a client with a key; an empty key asks nothing.
func origin(client, point uint64, key string) *Origin {
	w := &Origin{Client: client, Point: point, Key: uint64(len(key))} // keys of one length collide
	if key != "" {
		w.Octets = []byte(key)
	}
	return w
}

func packet(name string) *udp.Packet { return &udp.Packet{Data: []byte(name)} }

func names(left []*Query[int]) (names []string) {
	for _, q := range left {
		names = append(names, fmt.Sprintf("%s/%d", q.Packet.Data, q.Outcome))
	}
	return names
}

func TestWhoWaitsBehindWhom(t *testing.T) {
	type step struct {
		client uint64
		key    string
		want   Result
	}
	for _, tt := range []struct {
		name  string
		steps []step
		left  string // with the first leader, once it is answered
	}{
		{"one asks", []step{{1, "a", Asks}}, "[0/1]"},
		{"the same key asks once", []step{{1, "a", Asks}, {2, "a", Waits}, {3, "a", Waits}}, "[0/1 1/1 2/1]"},
		{"another key asks for itself", []step{{1, "a", Asks}, {2, "bb", Asks}}, "[0/1]"},
		{"a key with the same hash asks for itself", []step{{1, "a", Asks}, {2, "b", Asks}, {3, "b", Asks}}, "[0/1]"},
		{"a client does not overtake itself with another key", []step{{1, "a", Asks}, {1, "bb", Waits}}, "[0/1 1/0]"},
		{"a client does not overtake itself with what asks nothing", []step{{1, "a", Asks}, {1, "", Waits}}, "[0/1 1/0]"},
		{"a client waits where its last one waits", []step{{1, "a", Asks}, {2, "a", Waits}, {2, "bb", Waits}, {2, "bb", Waits}}, "[0/1 1/1 2/0 3/0]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := New[int]()
			var first *Query[int]
			for i, s := range tt.steps {
				q, got := l.Park(packet(fmt.Sprint(i)), origin(s.client, 1, s.key), 0, roomy)
				if got != s.want {
					t.Errorf("query %d: %d, want %d", i, got, s.want)
				}
				if i == 0 {
					first = q
				}
			}
			if got := fmt.Sprint(names(l.Leave(nil, first, Answered))); got != tt.left {
				t.Errorf("left: %s, want %s", got, tt.left)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	l := New[int]()
	at := Limits{Queries: 6, Point: 5}
	park := func(client, point uint64, octets int) Result {
		_, r := l.Park(&udp.Packet{Data: make([]byte, octets)}, origin(client, point, fmt.Sprint(client)), 0, at)
		return r
	}
	for i := range perClient {
		if r := park(1, 1, 100); r > Waits {
			t.Fatalf("query %d: %d", i, r)
		}
	}
	if r := park(1, 1, 100); r != Crowded {
		t.Errorf("one more of a client: %d", r)
	}
	if r := park(2, 1, maxOctets+1); r != Crowded {
		t.Errorf("one that is too long: %d", r)
	}
	if r := park(2, 1, maxOctets); r != Asks {
		t.Errorf("one of another client: %d", r)
	}
	if r := park(3, 1, 100); r != Crowded {
		t.Errorf("one more of a point: %d", r)
	}
	if r := park(3, 2, 100); r != Asks {
		t.Errorf("one of another point: %d", r)
	}
	if r := park(4, 3, 100); r != Full {
		t.Errorf("one more than all: %d", r)
	}
}

func TestNumbersAndTime(t *testing.T) {
	l := New[int]()
	a, _ := l.Park(packet("a"), origin(1, 1, "a"), 10*time.Second, roomy)
	b, _ := l.Park(packet("b"), origin(2, 1, "bb"), 11*time.Second, roomy)
	if q, in := l.Overdue(12*time.Second, 3*time.Second); q != nil || in != time.Second {
		t.Errorf("overdue is %v, in %v", q, in)
	}
	if q, _ := l.Overdue(13*time.Second, 3*time.Second); q != a {
		t.Errorf("overdue is %v", q)
	}
	if l.Leader(a.Number) != a || l.Leader(b.Number) != b || l.Leader(0) != nil || l.Leader(1<<60) != nil {
		t.Error("numbers do not lead to their queries")
	}
	old := a.Number
	left := l.Leave(nil, a, Late)
	l.Free(left)
	again, _ := l.Park(packet("c"), origin(1, 1, "a"), 13*time.Second, roomy)
	if again != a || again.Number == old || l.Leader(old) != nil {
		t.Errorf("the number %d of a query that has left leads to %v", old, l.Leader(old))
	}
	if q, in := l.Overdue(13*time.Second, 3*time.Second); q != nil || in != time.Second {
		t.Errorf("then overdue is %v, in %v", q, in)
	}
}

func TestAParkedQueryIsACopy(t *testing.T) {
	l := New[int]()
	data := []byte("query")
	q, _ := l.Park(&udp.Packet{Data: data}, origin(1, 1, "a"), 0, roomy)
	copy(data, "xxxxx")
	if !bytes.Equal(q.Packet.Data, []byte("query")) {
		t.Errorf("kept is %q", q.Packet.Data)
	}
}

func TestNoAllocationInSteadyState(t *testing.T) {
	l := New[int]()
	p, w := packet("query"), origin(1, 1, "a")
	var left []*Query[int]
	round := func() {
		q, _ := l.Park(p, w, 0, roomy)
		l.Park(p, w, 0, roomy)
		left = l.Leave(left[:0], q, Answered)
		l.Free(left)
	}
	round()
	if n := testing.AllocsPerRun(100, round); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestAgainstATwin parks and releases at random, and compares with a list that is searched.
func TestAgainstATwin(t *testing.T) {
	type parked struct {
		id, leader  int
		client, key string
		query       *Query[int]
	}
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		l, at := New[int](), Limits{Queries: 1 + r.IntN(40), Point: 100}
		var twin []parked // in the order of parking
		for id := range 400 {
			if r.IntN(3) > 0 {
				client, key := r.IntN(8), ""
				if r.IntN(5) > 0 {
					key = string([]byte("aabbccdd")[:1+r.IntN(8)])
				}
				q, got := l.Park(packet(fmt.Sprint(id)), origin(uint64(client), 1, key), time.Duration(id), at)
				want, leader, of := Asks, id, 0
				for _, p := range slices.Backward(twin) {
					if p.client == fmt.Sprint(client) {
						if of == 0 {
							want, leader = Waits, p.leader
						}
						of++
					}
				}
				if of == 0 && key != "" {
					for _, p := range twin {
						if p.id == p.leader && p.key == key {
							want, leader = Waits, p.id
						}
					}
				}
				switch {
				case of >= perClient:
					want = Crowded
				case len(twin) >= at.Queries:
					want = Full
				}
				if got != want {
					t.Fatalf("seed %d, query %d: %d, want %d", seed, id, got, want)
				}
				if q != nil {
					twin = append(twin, parked{id, leader, fmt.Sprint(client), key, q})
				}
				continue
			}
			var leaders []parked
			for _, p := range twin {
				if p.id == p.leader {
					leaders = append(leaders, p)
				}
			}
			if len(leaders) == 0 {
				continue
			}
			var order []*Query[int]
			l.Leaders(func(q *Query[int]) bool { order = append(order, q); return true })
			for i := range leaders {
				if i >= len(order) || order[i] != leaders[i].query {
					t.Fatalf("seed %d: the leaders are not in the order of asking", seed)
				}
			}
			of := leaders[r.IntN(len(leaders))]
			var want []string
			twin = slices.DeleteFunc(twin, func(p parked) bool {
				if p.leader != of.id {
					return false
				}
				why := NoOutcome
				if p.id == of.id || (p.key != "" && p.key == of.key) {
					why = Answered
				}
				want = append(want, fmt.Sprintf("%d/%d", p.id, why))
				return true
			})
			left := l.Leave(nil, of.query, Answered)
			if got := names(left); !slices.Equal(got, want) {
				t.Fatalf("seed %d: left %v, want %v", seed, got, want)
			}
			l.Free(left)
			if l.Len() != len(twin) {
				t.Fatalf("seed %d: %d are parked, want %d", seed, l.Len(), len(twin))
			}
		}
	}
}
