package listen

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The lengths in the kernel's messages are not trusted either.
func FuzzNews(f *testing.F) {
	for _, kind := range []int{unix.RTM_GETLINK, unix.RTM_GETADDR} {
		if b, err := syscall.NetlinkRIB(kind, unix.AF_UNSPEC); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := news{gone: make(map[int]struct{})}
		n.note(b)
		messages, err := syscall.ParseNetlinkMessage(b)
		if (err != nil) != n.lost {
			t.Errorf("lost: %v, error: %v", n.lost, err)
		}
		for i := range messages {
			if s, ok := parseLink(&messages[i]); ok && s.Name == "" {
				t.Error("a link without a name")
			}
			if _, a, ok := parseAddress(&messages[i]); ok && !a.Is6() {
				t.Errorf("address %v", a)
			}
		}
	})
}
