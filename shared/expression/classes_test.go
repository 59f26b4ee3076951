package expression

import (
	"fmt"
	"testing"
)

// TestMember: a class is evaluated when it is asked for, once a query.
func TestMember(t *testing.T) {
	classes := new(Classes)
	scope := classes.Scope()
	asked := make([]int, 200)
	for i := range asked {
		if _, err := scope.Add(fmt.Sprint("c", i), nil, func(*Evaluator) bool { asked[i]++; return i%2 == 0 }); err != nil {
			t.Fatal(err)
		}
	}
	both, err := scope.Add("both", compileTest(t, "member('c2') and member('c150') and not member('c151')", names4(scope)), nil)
	if err != nil {
		t.Fatal(err)
	}
	e, m := new(Evaluator), new(Membership)
	for round := 1; round <= 3; round++ {
		m.Forget()
		e.Begin(sample(t), classes, m)
		for range 3 {
			if !e.Member(both) || !e.Member(2) || e.Member(151) {
				t.Fatal("membership is wrong")
			}
		}
		for i, n := range asked {
			want := 0
			if i == 2 || i == 150 || i == 151 {
				want = round
			}
			if n != want {
				t.Errorf("class %d was evaluated %d times in %d queries", i, n, round)
			}
		}
	}
}

func TestAdd(t *testing.T) {
	classes := new(Classes)
	scope := classes.Scope()
	yes := func(*Evaluator) bool { return true }
	for _, name := range []string{"KNOWN", "ALL", "UNKNOWN", "VENDOR_CLASS_docsis3.0"} {
		if _, err := scope.Add(name, nil, yes); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for range 2 { // without a name
		if _, err := scope.Add("", nil, yes); err != nil {
			t.Error(err)
		}
	}
	if _, err := scope.Add("a", compileTest(t, "known", names4(scope)), nil); err != nil {
		t.Error(err)
	}
	if _, err := scope.Add("a", nil, yes); err == nil {
		t.Error("a name is taken twice")
	}
	b, err := scope.Add("b", compileTest(t, "'a' == 'b' or not member('a')", names4(scope)), nil)
	if err != nil || !classes.UsesKnown(b) {
		t.Errorf("%v: a class that asks for one that depends on a reservation depends on it too", err)
	}
	last := "b"
	for i := 0; err == nil; i++ {
		if i > maxClassDepth {
			t.Fatal("classes ask for classes without end")
		}
		name := fmt.Sprint("deep", i)
		_, err = scope.Add(name, compileTest(t, "member('"+last+"')", names4(scope)), nil)
		last = name
	}
	e := new(Evaluator)
	q := sample(t)
	q.Known = true
	e.Begin(q, classes, new(Membership))
	inner := scope.Inner()
	if i, err := inner.Add("a", nil, yes); err != nil {
		t.Error(err)
	} else if got, ok := inner.Lookup("a"); !ok || got != i {
		t.Error("the name of an inner class does not go before that of an outer one")
	}
	i, ok := inner.Lookup("b")
	if !ok {
		t.Error("a class of the scope around is not known")
	}
	if e.Member(i) {
		t.Error("b holds although a does")
	}
}
