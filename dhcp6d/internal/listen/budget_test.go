//go:build budget

package listen

import (
	"bytes"
	"encoding/binary"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/budget/budgettest"
)

// costlyNews are netlink datagrams of the kernel, and some that were made to cost time.
func costlyNews(t testing.TB) (all [][]byte) {
	for _, kind := range []int{unix.RTM_GETLINK, unix.RTM_GETADDR} {
		b, err := syscall.NetlinkRIB(kind, unix.AF_UNSPEC)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	attribute := func(kind uint16, value []byte) []byte {
		b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofRtAttr+len(value)))
		b = append(binary.NativeEndian.AppendUint16(b, kind), value...)
		return append(b, make([]byte, (4-len(b)%4)%4)...)
	}
	link := func(attributes []byte) []byte {
		b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+unix.SizeofIfInfomsg+len(attributes)))
		b = binary.NativeEndian.AppendUint16(b, unix.RTM_NEWLINK)
		return append(append(b, make([]byte, unix.SizeofNlMsghdr-6+unix.SizeofIfInfomsg)...), attributes...)
	}
	name := attribute(unix.IFLA_ALT_IFNAME, []byte("a\x00"))
	props := attribute(unix.IFLA_PROP_LIST, bytes.Repeat(name, 100))
	return append(all, bytes.Repeat(link(nil), 50), link(bytes.Repeat(attribute(unix.IFLA_IFNAME, []byte("eth0")), 200)),
		link(bytes.Repeat(props, 5)),
		link(attribute(unix.IFLA_LINKINFO, bytes.Repeat(attribute(unix.IFLA_INFO_SLAVE_KIND, []byte("bond")), 200))))
}

func TestBudgetOfNews(t *testing.T) {
	gone := 0
	budgettest.Hold(t, "news", 4, costlyNews(t), func(b []byte) {
		n := news{gone: make(map[int]struct{})}
		n.note(b)
		gone += len(n.gone)
	})
	t.Logf("%d interfaces were gone", gone)
}

// FuzzBudget looks for news that cost more than TestBudgetOfNews knows.
func FuzzBudget(f *testing.F) {
	for _, b := range costlyNews(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := news{gone: make(map[int]struct{})}
		if cost := budget.Of(func() { n.note(b) }); cost > 4*len(b) {
			t.Fatalf("%d octets cost %d units", len(b), cost)
		}
	})
}
