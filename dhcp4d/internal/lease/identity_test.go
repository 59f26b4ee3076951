package lease

import (
	"bytes"
	"encoding/hex"
	"testing"
)

func TestClientKeys(t *testing.T) {
	mac := []byte{2, 0, 0, 0, 0, 1}
	key := func(id []byte, htype byte, hw []byte) string { return string(AppendKey(nil, id, htype, hw)) }
	t.Run("D4-7 an RFC 4361 identifier is the key as a whole", func(t *testing.T) {
		id, _ := hex.DecodeString("ff0000000100030001080027123456")
		if got := AppendKey(nil, id, 1, mac); !bytes.Equal(got[1:], id) || got[0] != KeyIdentifier {
			t.Errorf("got %x", got)
		}
	})
	t.Run("D4-8 the hardware address does not matter beside an identifier", func(t *testing.T) {
		if key([]byte("id"), 1, mac) != key([]byte("id"), 6, nil) {
			t.Error("keys differ")
		}
	})
	t.Run("D4-9 keys of both kinds never compare equal", func(t *testing.T) {
		if key(append([]byte{1}, mac...), 1, mac) == key(nil, 1, mac) {
			t.Error("keys are equal")
		}
	})
	t.Run("D4-9 the hardware type is part of the key", func(t *testing.T) {
		if key(nil, 1, mac) == key(nil, 6, mac) {
			t.Error("keys are equal")
		}
	})
	t.Run("D4-9 neither identifier nor hardware address: no key", func(t *testing.T) {
		if key(nil, 1, nil) != "" {
			t.Error("there is a key")
		}
	})
}

func TestBatchKeepsCopies(t *testing.T) {
	var g Batch
	client := []byte("client")
	for i := range 100 {
		client[0] = byte(i)
		g.Add(&Binding{Client: client, HWAddr: client[:2], Point: client[3:]})
	}
	for i, r := range g.Records {
		if r.Client[0] != byte(i) || r.HWAddr[0] != byte(i) || string(r.Point) != "ent" {
			t.Fatalf("record %d is %q %q %q", i, r.Client, r.HWAddr, r.Point)
		}
	}
	g.Reset()
	if n := testing.AllocsPerRun(10, func() {
		g.Reset()
		for range 100 {
			g.Add(&Binding{Client: client, HWAddr: client, Point: client})
		}
	}); n > 0 {
		t.Errorf("%v allocations once it has grown", n)
	}
}
