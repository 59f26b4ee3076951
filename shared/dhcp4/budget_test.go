//go:build budget

package dhcp4

import (
	"bytes"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

// costly are messages that were made to cost time.
func costly() [][]byte {
	var pieces []byte
	for range 60 {
		for _, code := range []byte{61, 60, 77, 82} {
			pieces = append(pieces, code, 2, 1, 2)
		}
	}
	pads := append([]byte{53, 1, 1}, make([]byte, MaxLen-HeaderLen-3-len(pieces))...)
	behind := raw(append(pads, pieces...)...)
	list := raw(append([]byte{53, 1, 1}, bytes.Repeat(append([]byte{55, 255}, make([]byte, 255)...), 14)...)...)
	empty := raw(append([]byte{53, 1, 1}, bytes.Repeat([]byte{82, 0}, 254)...)...)
	subs := raw(AppendOption([]byte{53, 1, 1}, 82, bytes.Repeat([]byte{9, 0}, 1800))...)
	return append([][]byte{behind, list, empty, subs}, queries()["usual"], queries()["pieces"])
}

func TestBudgetOfAMessage(t *testing.T) {
	var m Message
	buf := make([]byte, 2*MaxLen)
	budgettest.Hold(t, "message", 3, costly(), func(b []byte) { consult(&m, b, buf) })
}

// A look-up costs the same whatever the message holds.
func TestBudgetOfALookUp(t *testing.T) {
	for _, b := range costly() {
		var m Message
		if why := m.Parse(b); why != drop.None {
			t.Fatal(why)
		}
		for code := range 256 {
			if n := budget.Of(func() { m.Option(byte(code)) }); n != 1 {
				t.Fatalf("option %d costs %d units", code, n)
			}
		}
	}
}

// FuzzBudget looks for messages that cost more than TestBudgetOfAMessage knows.
func FuzzBudget(f *testing.F) {
	for _, b := range costly() {
		f.Add(b)
	}
	var m Message
	buf := make([]byte, 2*MaxLen)
	f.Fuzz(func(t *testing.T, b []byte) {
		if n := budget.Of(func() { consult(&m, b, buf) }); n > 3*len(b) {
			t.Fatalf("%d octets cost %d units", len(b), n)
		}
	})
}
