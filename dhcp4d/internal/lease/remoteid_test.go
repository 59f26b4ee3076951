package lease

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
)

func TestRemoteIDBesideThePoint(t *testing.T) {
	id, other := []byte("\x00\x00\x0d\xe9line 7"), []byte("\x00\x00\x0d\xe9line 8")
	point := func(kind attachment.Kind, name []byte) []byte {
		return (&attachment.Parts{Kind: kind, Address: netip.MustParseAddr("2001:db8::1"), Name: name}).Append(nil)
	}
	digest := (&attachment.Parts{Kind: attachment.RemoteID, Address: netip.MustParseAddr("2001:db8::1"), Name: make([]byte, 32), Digest: true}).Append(nil)
	long := bytes.Repeat([]byte("l"), MaxRemoteID)
	for _, c := range []struct {
		name               string
		point, id          []byte
		beside, all, finds []byte
	}{
		{"a port with an Interface-Id", point(attachment.InterfaceID, []byte("port")), id, id, id, id},
		{"a port named by it", point(attachment.RemoteID, id), id, nil, id, id},
		{"a port named by it, with a name to count by", attachment.AppendCount(nil, point(attachment.RemoteID, id), []byte("x")), id, nil, id, id},
		{"a port named by another one", point(attachment.RemoteID, other), id, id, id, other},
		{"a port named by its digest", digest, id, id, id, id},
		{"an Interface-Id with the same octets", point(attachment.InterfaceID, id), id, id, id, id},
		{"no point", nil, id, id, id, id},
		{"none", point(attachment.InterfaceID, []byte("port")), nil, nil, nil, nil},
		{"none, a port named by one", point(attachment.RemoteID, id), nil, nil, id, id},
		{"the shortest", nil, id[:MinRemoteID], id[:MinRemoteID], id[:MinRemoteID], id[:MinRemoteID]},
		{"too short", nil, id[:MinRemoteID-1], nil, nil, nil},
		{"the longest", nil, long, long, long, long},
		{"too long", nil, append(slices.Clip(long), 'l'), nil, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := Binding{Point: c.point, RemoteID: BesidePoint(c.point, c.id)}
			if !bytes.Equal(b.RemoteID, c.beside) || !bytes.Equal(b.Remote(), c.all) {
				t.Errorf("%q beside the point, %q in all; want %q and %q", b.RemoteID, b.Remote(), c.beside, c.all)
			}
			if c.finds != nil && !b.HasRemoteID(c.finds) {
				t.Errorf("is not found by %q", c.finds)
			}
			if b.HasRemoteID([]byte("\x00\x00\x0d\xe9line 9")) || b.HasRemoteID(nil) {
				t.Error("is found by another one, or by none")
			}
		})
	}
}
