package server

import (
	"net/netip"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

func TestWhetherABasisStillHolds(t *testing.T) {
	id := func(a string) lease.ID { return lease.ID{Addr: netip.MustParseAddr(a)} }
	taken, kept, earlier, foreign := id("192.0.2.1"), id("192.0.2.2"), id("192.0.2.3"), id("192.0.2.4")
	group := committedGroup{
		seq:     9,
		records: []lease.Binding{{ID: kept}, {ID: taken}},
		refused: []store.Refusal{{Record: 1}},
		before:  []lease.ID{earlier},
		changed: []lease.Binding{{ID: foreign, Client: []byte("mover")}},
	}
	blind := group
	blind.blind = true
	client := []byte("client")
	for name, c := range map[string]struct {
		basis basis
		in    *committedGroup
		want  drop.Reason
	}{
		"its record is durable":                     {basis{kind: ownRecord, id: kept, record: 0}, &group, drop.None},
		"its record was refused":                    {basis{kind: ownRecord, id: taken, record: 1}, &group, drop.LeaseRefused},
		"an earlier query's record is durable":      {basis{kind: sharedRecord, id: kept}, &group, drop.None},
		"an earlier query's record was refused":     {basis{kind: sharedRecord, id: taken}, &group, drop.LeaseRefused},
		"a record of the group before is durable":   {basis{kind: olderRecord, id: kept}, &group, drop.None},
		"a record of the group before was refused":  {basis{kind: olderRecord, id: earlier}, &group, drop.LeaseRefused},
		"an ACK of a lease that has changed":        {basis{kind: sharedRecord, id: foreign}, &blind, drop.None},
		"a NAK that nothing concerns":               {basis{kind: knowledge, id: kept, client: client, knows: 8}, &group, drop.None},
		"a NAK about the address of a refusal":      {basis{kind: knowledge, id: taken, client: client, knows: 8}, &group, drop.LeaseRefused},
		"a NAK that knew of an earlier refusal":     {basis{kind: knowledge, id: earlier, client: client, knows: 8}, &group, drop.None},
		"a NAK that did not know of it":             {basis{kind: knowledge, id: earlier, client: client, knows: 7}, &group, drop.LeaseRefused},
		"a NAK about a lease that has changed":      {basis{kind: knowledge, id: foreign, client: client, knows: 8}, &group, drop.LeaseChanged},
		"a NAK to a client whose lease has changed": {basis{kind: knowledge, id: kept, client: []byte("mover"), knows: 8}, &group, drop.LeaseChanged},
		"a NAK, and the changes are unknown":        {basis{kind: knowledge, id: kept, client: client, knows: 8}, &blind, drop.LeaseChanged},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.basis.lost(c.in); got != c.want {
				t.Errorf("lost returns %v, want %v", got, c.want)
			}
		})
	}
}
