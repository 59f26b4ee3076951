package expression

import "fmt"

// maxClassDepth bounds how deep classes ask for classes.
const maxClassDepth = 64

// Classes are the classes of a configuration, each with a condition for the queries that are in it.
// A class has a number. Its condition can ask only for classes that were added before it, so there
// are no circles. The zero value and nil have no classes.
type Classes struct{ list []class }

type class struct {
	name  string
	test  *Test // nil: none
	holds func(*Evaluator) bool
	known bool // depends on whether the client has a reservation
	depth int  // of classes that it asks for
}

// Len returns the number of classes.
func (c *Classes) Len() int {
	if c == nil {
		return 0
	}
	return len(c.list)
}

// Name returns the name of a class, empty if it has none.
func (c *Classes) Name(i int) string { return c.list[i].name }

// Key is [Test.Key] of the test of a class: only queries whose value has these octets can be in the
// class.
func (c *Classes) Key(i int) (value *Value, is []byte, ok bool) {
	if c.list[i].test == nil {
		return nil, nil, false
	}
	return c.list[i].test.Key()
}

// UsesKnown reports whether a class depends on whether the client has a reservation.
func (c *Classes) UsesKnown(i int) bool { return c.list[i].known }

// Scope resolves names of classes: its own, and those of the scopes around it. A nil Scope knows no
// names.
type Scope struct {
	classes *Classes
	around  *Scope
	byName  map[string]int
}

// Scope returns a scope that adds to c.
func (c *Classes) Scope() *Scope { return &Scope{classes: c} }

// Inner returns a scope inside of s.
func (s *Scope) Inner() *Scope { return &Scope{classes: s.classes, around: s} }

// Count returns the number of classes, in this scope and in all others of the configuration.
func (s *Scope) Count() int { return s.classes.Len() }

// UsesKnown reports whether a class depends on whether the client has a reservation.
func (s *Scope) UsesKnown(number int) bool { return s.classes.UsesKnown(number) }

// ValueUsesKnown reports whether a value depends on whether the client has a reservation.
func (s *Scope) ValueUsesKnown(v *Value) bool { return v.UsesKnown(s.classes) }

// Lookup returns the number of a class.
func (s *Scope) Lookup(name string) (int, bool) {
	for ; s != nil; s = s.around {
		if i, ok := s.byName[name]; ok {
			return i, true
		}
	}
	return 0, false
}

// Names returns the names that the scope knows.
func (s *Scope) Names() []string {
	var names []string
	for ; s != nil; s = s.around {
		for name := range s.byName {
			names = append(names, name)
		}
	}
	return names
}

// Add adds a class and returns its number. A query is in the class if test and holds are true of
// it; either may be nil. A name, if there is one, must be new in the scope and none of Kea's
// built-in classes, otherwise the result is an error.
func (s *Scope) Add(name string, test *Test, holds func(*Evaluator) bool) (int, error) {
	if _, taken := s.byName[name]; taken {
		return 0, fmt.Errorf("the class %s is defined already", name)
	}
	if isBuiltIn(name) {
		return 0, fmt.Errorf("%s is a class that is always there; give another name, and test: member('%s')", name,
			name)
	}
	added := class{name: name, test: test, holds: holds}
	if test != nil {
		added.known, added.depth = test.root.usesKnown(s.classes), test.root.depth(s.classes)
		if added.depth > maxClassDepth {
			return 0, fmt.Errorf("asks for classes that ask for classes, more than %d deep", maxClassDepth)
		}
		if added.holds = test.Holds; holds != nil {
			added.holds = func(e *Evaluator) bool { return holds(e) && test.Holds(e) }
		}
	}
	i := len(s.classes.list)
	s.classes.list = append(s.classes.list, added)
	if name != "" {
		if s.byName == nil {
			s.byName = map[string]int{}
		}
		s.byName[name] = i
	}
	return i, nil
}

// depth returns how deep the classes nest that a node asks for.
func (n *node) depth(c *Classes) int {
	deepest := 0
	if n.op == opMember && n.class {
		deepest = c.list[n.index].depth + 1
	}
	for _, a := range n.args {
		deepest = max(deepest, a.depth(c))
	}
	return deepest
}

// Membership remembers three bits of each class about one query: whether the condition was
// evaluated, whether the query is in the class, and whether a rule put it there. The first use
// allocates memory, which later queries use again.
type Membership struct {
	begun             bool
	evaluated, is, by []uint64
}

// Forget begins a new query.
func (m *Membership) Forget() { m.begun = false }

// Copy makes m a copy of from that shares no memory with it.
func (m *Membership) Copy(from *Membership) {
	m.begun = from.begun
	m.evaluated = append(m.evaluated[:0], from.evaluated...)
	m.is = append(m.is[:0], from.is...)
	m.by = append(m.by[:0], from.by...)
}

func (m *Membership) begin(classes int) {
	m.begun = true
	words := (classes + 63) / 64
	if cap(m.evaluated) < words {
		m.evaluated, m.is, m.by = make([]uint64, words), make([]uint64, words), make([]uint64, words)
		return
	}
	m.evaluated, m.is, m.by = m.evaluated[:words], m.is[:words], m.by[:words]
	clear(m.evaluated)
	clear(m.by)
}

// Put puts the query into a class of the evaluator's Classes, whatever the condition of the class
// says. Other classes are evaluated again, because they may depend on it.
func (e *Evaluator) Put(i int) {
	m := e.member
	if !m.begun {
		m.begin(e.classes.Len())
	}
	m.by[i/64] |= 1 << (i % 64)
	copy(m.evaluated, m.by)
	copy(m.is, m.by)
}

// Member reports whether the query is in a class of the evaluator's Classes. It evaluates the class
// once and remembers the result.
func (e *Evaluator) Member(i int) bool {
	m := e.member
	if !m.begun {
		m.begin(e.classes.Len())
	}
	word, bit := i/64, uint64(1)<<(i%64)
	if m.evaluated[word]&bit == 0 {
		m.evaluated[word] |= bit
		m.is[word] &^= bit
		if e.classes.list[i].holds(e) {
			m.is[word] |= bit
		}
	}
	return m.is[word]&bit != 0
}
