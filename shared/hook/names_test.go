package hook

import (
	"bytes"
	"testing"
)

func TestFewNames(t *testing.T) {
	name := []byte("\x07example\x03com\x00")
	for _, c := range []struct {
		name string
		list []byte
		want bool
	}{
		{"no name", nil, true},
		{"a name that is cut", name[:5], true},
		{"64 names", bytes.Repeat(name, 64), true},
		{"65 names", bytes.Repeat(name, 65), false},
		{"a name and 63 pointers to it", append(bytes.Clone(name), bytes.Repeat([]byte{0xc0, 0}, 63)...), true},
		{"a name and 64 pointers to it", append(bytes.Clone(name), bytes.Repeat([]byte{0xc0, 0}, 64)...), false},
		{"half a pointer", []byte{0xc0}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := FewNames(c.list); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
