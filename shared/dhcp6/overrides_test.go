package dhcp6

import (
	"bytes"
	"testing"
)

func TestOverrides(t *testing.T) {
	var none *Overrides
	if !none.Empty() || none.Has(23) || none.Append(nil) != nil {
		t.Error("nil overrides something")
	}
	o := new(Overrides)
	for range 2 { // its memory is used again
		o.Reset()
		o.Set(23, []byte{1})
		o.Set(24, []byte("x"))
		o.Set(25, nil)
		o.Set(23, []byte{2, 3})
		want := []byte{0, 23, 0, 2, 2, 3, 0, 24, 0, 1, 'x'}
		if got := o.Append(nil); !bytes.Equal(got, want) || o.Empty() || !o.Has(23) || !o.Has(25) || o.Has(26) {
			t.Errorf("%x, want %x", got, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		o.Reset()
		o.Set(23, []byte{2, 3})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
