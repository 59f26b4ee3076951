//go:build budget

package outside

import (
	"bytes"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
)

// consume reads records as a connection does that has received b, in whichever direction.
func consume(b []byte) {
	for {
		record, whole, wrong := Next(b, MaxFromDaemon)
		if !whole || wrong != None {
			return
		}
		if r, wrong := Parse(record); wrong == None {
			r.Hello()
			r.Query()
			r.Answer()
			r.Event()
		}
		b = b[len(record):]
	}
}

// costly are records that were made to cost time.
func costly() (all [][]byte) {
	for _, s := range samples {
		all = append(all, s.octets)
	}
	empty := Begin(nil, KindAnswer, 1)
	for range 200 {
		empty = AppendField(empty, FieldAgain, nil)
	}
	classes := Begin(nil, KindAnswer, 1)
	for range 200 {
		classes = AppendField(classes, FieldClass, []byte("a"))
	}
	return append(all, End(empty, 0), End(classes, 0), bytes.Repeat(End(Begin(nil, KindEvent, 0), 0), 30))
}

func TestBudgetOfRecords(t *testing.T) {
	budgettest.Hold(t, "records", 6, costly(), consume)
}

// FuzzBudget looks for records that cost more than TestBudgetOfRecords knows.
func FuzzBudget(f *testing.F) {
	for _, b := range costly() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := budget.Of(func() { consume(b) }); n > 6*len(b) {
			t.Fatalf("%d octets cost %d units", len(b), n)
		}
	})
}
