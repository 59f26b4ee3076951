package lease

import (
	"bytes"

	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
)

// Lengths of a Remote-Id (RFC 4649): four octets of enterprise number and an identifier. A longer
// one is not kept, because nobody can search for it.
const (
	MinRemoteID = 4 + 1
	MaxRemoteID = octets.Max
)

// BesidePoint returns the Remote-Id that a lease keeps beside its attachment point: that of the
// relay next to the client, nil if there is none. It is nil too if the Remote-Id names the port of
// the point, because then the point has it. So it costs nothing where it says nothing new.
//
// A lease keeps it for people who know the Remote-Id of a subscriber. No decision depends on it.
func BesidePoint(point, id []byte) []byte {
	if len(id) < MinRemoteID || len(id) > MaxRemoteID || bytes.Equal(attachment.RemoteIDOf(point), id) {
		return nil
	}
	return id
}

// Remote returns the Remote-Id of the relay next to the client, wherever b has it. It is empty if
// there is none.
func (b *Binding) Remote() []byte {
	if len(b.RemoteID) > 0 {
		return b.RemoteID
	}
	return attachment.RemoteIDOf(b.Point)
}

// HasRemoteID reports whether a relay on the way to the client has a Remote-Id, as far as b tells.
func (b *Binding) HasRemoteID(id []byte) bool {
	return (len(id) > 0 && bytes.Equal(b.RemoteID, id)) || attachment.Has(b.Point, attachment.RemoteID, id)
}
