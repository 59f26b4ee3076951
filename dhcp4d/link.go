package main

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/server"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/resolve"
)

// link is what a reload may change of the IPC.
type link struct {
	name   string // ours, as a backend
	end    *ipc.End
	opener *ipc.Opener
	// There is one signer for each goroutine that signs.
	replies, acks, notices *ipc.Signer
	peers                  atomic.Pointer[server.Peers]

	log      *slog.Logger
	resolver resolve.Resolver
	network  string        // of the addresses that our socket can hear: ip, ip4 or ip6
	renamed  chan struct{} // there may be names that were never looked up

	mu         sync.Mutex
	configured []config.Peer
	names      map[string]naming // by host
}

// newLink makes the link of an end that accepts nothing that was signed before start.
func newLink(c config.Config, end *ipc.End, start time.Time, log *slog.Logger) *link {
	l := &link{
		name: c.Name, end: end, opener: end.NewOpener(start),
		replies: end.NewSigner(), acks: end.NewSigner(), notices: end.NewSigner(),
		log: log, resolver: net.DefaultResolver, network: networkOf(c.IPCListen.Addr()),
		renamed: make(chan struct{}, 1), names: map[string]naming{},
	}
	l.setPeers(c)
	return l
}

// newEnd makes our end of the IPC.
func newEnd(c config.Config) *ipc.End { return ipc.NewEnd(drop.DHCP4D, c.IPCKeys, c.IPCOldPeers) }

// set takes new keys and peers. It does not switch keys on or off: a file that is empty by accident
// must not switch authentication off, and datagrams that were never verified may be replayed.
func (l *link) set(c config.Config) error {
	if l.end.Keyed() != (len(c.IPCKeys) > 0) {
		return errors.New("DHCP4D_IPC_KEYS can be changed while we run, but not be set or unset: restart for that")
	}
	l.end.Configure(c.IPCKeys, c.IPCOldPeers)
	l.setPeers(c)
	return nil
}

// oldPeers returns how many peers authenticate by HMAC alone.
func (l *link) oldPeers() (n int) {
	for _, p := range *l.peers.Load() {
		if p.IPC.Old() {
			n++
		}
	}
	return n
}

// setPeers takes new peers. Those that are peers already keep their sessions.
func (l *link) setPeers(c config.Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configured = c.IPCPeers
	l.publishLocked()
	select {
	case l.renamed <- struct{}{}:
	default: // they will be looked up anyway
	}
}

// publishLocked makes the peers from the configuration and from the addresses of its names. If two
// entries have one address, the first counts.
func (l *link) publishLocked() {
	known := map[netip.AddrPort]*ipc.Peer{}
	if old := l.peers.Load(); old != nil {
		for at, p := range *old {
			known[at] = p.IPC
		}
	}
	peers := make(server.Peers)
	for _, p := range l.configured {
		addrs := l.names[p.Host].addrs
		if a := p.Addr(); a.IsValid() {
			addrs = []netip.Addr{a}
		}
		for _, a := range addrs {
			at := netip.AddrPortFrom(a, p.Port)
			if _, taken := peers[at]; taken {
				continue
			}
			peer := server.Peer{Name: p.Name, Kea: p.Kea}
			if !p.Kea {
				if peer.IPC = known[at]; peer.IPC == nil {
					peer.IPC = l.end.Peer(l.name)
				}
			}
			peers[at] = peer
		}
	}
	l.peers.Store(&peers)
}
