package network

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
)

// TestTheTestOfTraitsHoldsWhereTheyFit: the test by which classes with patterns are found holds for
// each query that the patterns fit.
func TestTheTestOfTraitsHoldsWhereTheyFit(t *testing.T) {
	octets := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 'a', 'b'}), 0, 4)
	rapid.Check(t, func(t *rapid.T) {
		pattern := func(name string) Pattern {
			if rapid.Bool().Draw(t, "has "+name) {
				return NewPattern(octets.Draw(t, name), rapid.Bool().Draw(t, name+" goes on"))
			}
			return Pattern{}
		}
		traits := Traits{HWAddr: pattern("hardware address"), VendorClass: pattern("vendor class")}
		text, ok := traits.Key()
		if !ok {
			return
		}
		test, err := expression.CompileTest(text, nil)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if _, _, ok := test.Key(); !ok {
			t.Fatalf("%s compares no value", text)
		}
		hw := octets.Draw(t, "the client's hardware address")
		h := dhcp4.Header{Op: dhcp4.BootRequest, HType: 1, HLen: byte(len(hw))}
		copy(h.CHAddr[:], hw)
		b := dhcp4.AppendType(dhcp4.AppendHeader(nil, &h), dhcp4.Discover)
		if class := octets.Draw(t, "its vendor class"); len(class) > 0 {
			b = dhcp4.AppendOption(b, dhcp4.OptVendorClass, class)
		}
		var m dhcp4.Message
		if why := m.Parse(dhcp4.AppendEnd(b)); why != drop.None {
			t.Fatal(why)
		}
		e := new(expression.Evaluator)
		e.Begin(expression.Query{Message: &m}, nil, new(expression.Membership))
		if traits.Fit(e) && !test.Holds(e) {
			t.Fatalf("the traits fit, and %s does not hold", text)
		}
	})
}
