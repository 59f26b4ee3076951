package main

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/server"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
)

// link is what a reload may change of the IPC.
type link struct {
	keyed         bool
	verifier      *ipc.Verifier
	replies, acks *ipc.Signer
	peers         atomic.Pointer[server.Peers]
}

func newIPC(c config.Config, start time.Time) *link {
	l := &link{
		keyed:    len(c.IPCKeys) > 0,
		verifier: ipc.NewVerifier(ipc.ToBackend, c.IPCKeys, start),
		replies:  ipc.NewSigner(ipc.FromBackend, c.IPCKeys),
		acks:     ipc.NewSigner(ipc.FromBackend, c.IPCKeys),
	}
	l.setPeers(c)
	return l
}

// set takes new keys and peers. Whether there are keys is fixed: a file that
// is empty by accident must not open the door, and what was never verified
// may be replayed.
func (l *link) set(c config.Config) error {
	if l.keyed != (len(c.IPCKeys) > 0) {
		return errors.New("DHCP4D_IPC_KEYS can be changed while we run, but not be set or unset: restart for that")
	}
	l.verifier.SetKeys(c.IPCKeys)
	l.replies.SetKeys(c.IPCKeys)
	l.acks.SetKeys(c.IPCKeys)
	l.setPeers(c)
	return nil
}

func (l *link) setPeers(c config.Config) {
	peers := make(server.Peers)
	for _, p := range c.IPCPeers {
		peers[p.Addr] = server.Peer{Name: p.Name, Kea: p.Kea}
	}
	l.peers.Store(&peers)
}
