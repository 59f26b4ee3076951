// Package core puts together what leases addresses: the store, the book that is loaded from it, the
// server that decides about queries, and the committer that makes its decisions durable.
//
// It opens no socket and reads no environment and no clock: the caller passes all of them. main
// passes those of the machine. A simulation passes a disk, clocks and a network of its own, and so
// runs the code that ships.
package core

import (
	"context"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/asking"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/commit"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/operator"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/refusals"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/server"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
	"github.com/dhcp4o6/dhcp4o6/shared/udp"
)

// Options are what a core is made from. All but Recovery are required.
type Options struct {
	Runtime *daemon.Runtime
	Clock   *clock.Clock
	URL     string         // of the store
	Store   engine.Options // its Log, Now, Clock and Made are set by Open
	Config  Config         // in effect at the start
	// MetricsSubnets is how many subnets the metrics tell apart.
	MetricsSubnets int

	// Recovery is for a store that was restored from an old backup: for one lease time no client
	// gets an address that is new to it. A store that was repaired recovers in any case.
	Recovery bool
}

// Config is the part of the configuration that a reload may change.
type Config struct {
	Subnets *network.Subnets
	Peers   []netip.Addr // server identifiers of other dhcp4d
	Hooks   *event.Hooks
	Asker   *asking.Asker // of the hooks; nil: no program outside is asked
}

// Core is a dhcp4d without its sockets.
type Core struct {
	rt           *daemon.Runtime
	clock        *clock.Clock
	store        store.Store
	storeMetrics *commit.Metrics
	book         *leases.Book
	settings     atomic.Pointer[server.Settings]
	url          string            // the store's URL
	reached      *daemon.Condition // that the database can be reached; nil: it always could
	most         int               // subnets that the metrics tell apart
	recovery     bool
	started      lease.Time

	commits *commit.Committer[*server.Replies] // nil before Serve
}

// Open opens the store and loads the book from it, once the clock is right. Until then it waits, at
// most until ctx ends. Close must follow.
func Open(ctx context.Context, o Options) (*Core, error) {
	c := &Core{rt: o.Runtime, clock: o.Clock, url: o.URL, most: o.MetricsSubnets, recovery: o.Recovery}
	o.Store.Log, o.Store.Now, o.Store.Clock = o.Runtime.Log.With("package", "store"), o.Clock.Now, o.Clock
	o.Store.Made = func(dir string) { logMade(c.rt.Log, dir) }
	if err := c.openStore(ctx, o.Store); err != nil {
		return nil, err
	}
	c.storeMetrics = commit.NewMetrics(c.rt.Registry, c.store)
	settings := server.NewSettings(o.Config.Subnets, o.Config.Peers, o.Config.Hooks, o.Config.Asker)
	c.settings.Store(settings)
	c.book = leases.New(c.clock, settings.Leases, leases.NewMetrics(c.rt.Registry))
	if err := c.load(ctx); err != nil {
		c.Close()
		return nil, fmt.Errorf("loading the leases: %w", err)
	}
	c.rt.Registry.MustRegister(leases.NewGauges(c.book, c.most))
	if store.MustRecover(c.store) {
		c.recovery = true
		c.rt.Log.Warn("the store was repaired, so leases may be missing: dhcp4d recovers, as with -recovery")
	}
	c.started = c.clock.Now() + 1 // leases of the second before last through the one in which they expire
	c.setRecovery(settings)
	logUnrenewed(c.rt.Log, c.book)
	logSummed(c.rt.Log, len(c.settings.Load().Leases.Policies), c.most)
	logRecovery(c.rt.Log, settings.Leases.RecoverTill(), c.clock.Ahead())
	return c, nil
}

// Close closes the store, after Finish. What was promised is durable already, and the store logs
// its errors.
func (c *Core) Close() { _ = c.store.Close() }

// Link is the way to dhcp6d and back.
type Link struct {
	Peers *atomic.Pointer[server.Peers]
	Auth  server.Auth

	IPC         udp.Reader
	StopReading func() // ends IPC once what has arrived is read
	Wake        func() // ends the wait of IPC; nil: nothing can be parked for long

	// One writer, and one signer, for each goroutine that sends: the server's replies (Auth has the
	// signer), ACKs, and notices of what dhcp4d can do.
	Replies, Acks, Notices        udp.Writer
	SignerOfAcks, SignerOfNotices *ipc.Signer

	Trace *trace.Hub // nil: nobody can follow a subscriber
	// Refusals gets the clients that are refused; nil: nobody looks at them.
	Refusals *refusals.Recent
	// Local is where the socket is bound, for traces.
	Local     netip.AddrPort
	GroupSize int // ACKs that may wait for one sync
}

// Serve makes the server and the committer for a link, and returns the components that run them,
// for [daemon.Runtime.Run]. Finish must follow.
func (c *Core) Serve(l Link) []daemon.Component {
	series := server.NewSeries(c.rt.Registry)
	again := server.NewAgain(l.Wake)
	acks := &server.Acks{
		Writer: l.Acks, Signer: l.SignerOfAcks,
		Ledger: series.NewLedger(), Notifier: c.book.NewNotifier(), Clock: c.clock, Again: again, Refusals: l.Refusals,
	}
	c.commits = server.NewCommitter(server.Commits{
		Store: c.store, Limit: l.GroupSize, Log: c.rt.Log.With("package", "commit"), Metrics: c.storeMetrics,
	}, c.book, acks)
	ability := &server.Ability{
		Store:  c.commits,
		Ready:  c.rt.Ready.Condition("store", "not looked at yet"),
		Writer: l.Notices,
		Signer: l.SignerOfNotices,
		Peers:  l.Peers,
		Log:    c.rt.Log.With("package", "server"),
	}
	srv := &server.Server{
		Log:      c.rt.Log.With("package", "server"),
		IPC:      l.IPC,
		Wake:     l.Wake,
		Again:    again,
		Replies:  l.Replies,
		Peers:    l.Peers,
		Auth:     l.Auth,
		Settings: &c.settings,
		Book:     c.book,
		Commits:  c.commits,
		Ability:  ability,
		Ledger:   series.NewLedger(),
		Trace:    l.Trace,
		Refusals: l.Refusals,
		Local:    l.Local,
	}
	return []daemon.Component{
		daemon.Func("recovery", c.finishRecovery),
		daemon.Func("ability", ability.Run),
		srv,
		c.book.NewExpiry(),
		clock.NewWatch(c.rt.Registry, c.clock, c.store, c.rt.Log.With("package", "clock")),
		daemon.Func("socket", func(ctx context.Context) error {
			<-ctx.Done()
			ability.AnnounceStop() // dhcp6d sends later queries to other backends
			// The server ends when it has served what has arrived. ACKs that wait for their sync
			// still leave.
			l.StopReading()
			return nil
		}),
	}
}

// Finish commits what has gathered and sends its ACKs, when the components of Serve have ended and
// the link is still there.
func (c *Core) Finish() { c.commits.Close() }

// Book returns the book of leases, for people who look at it.
func (c *Core) Book() *leases.Book { return c.book }

// Orders returns what carries out the orders of people. It can be called after Serve.
func (c *Core) Orders() *operator.Orders[*server.Replies] {
	return &operator.Orders[*server.Replies]{Book: c.book, Commits: c.commits}
}

// Reconfigure puts another configuration into effect, between two batches of queries.
func (c *Core) Reconfigure(next Config) {
	settings := server.NewSettings(next.Subnets, next.Peers, next.Hooks, next.Asker)
	c.setRecovery(settings)
	c.book.Reconfigure(settings.Leases, func() { c.settings.Store(settings) })
	logUnrenewed(c.rt.Log, c.book)
	logSummed(c.rt.Log, len(c.settings.Load().Leases.Policies), c.most)
}

// recoverEvery is how often finishRecovery checks whether a repaired store has recovered.
const recoverEvery = time.Second

// finishRecovery notes in a store that was repaired when it has recovered.
func (c *Core) finishRecovery(ctx context.Context) error {
	said := ""
	for store.MustRecover(c.store) {
		if till := c.book.Settings().RecoverTill(); till != lease.Never && till <= c.clock.Now() {
			err := store.Recovered(c.store)
			switch {
			case err == nil:
				c.rt.Log.Info("the repaired store has recovered")
			case err.Error() != said:
				said = err.Error()
				c.rt.Log.Error("the store cannot be marked as recovered, trying again; until then each start "+
					"recovers again", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(recoverEvery):
		}
	}
	<-ctx.Done()
	return nil
}

// setRecovery makes settings recover from a restored backup, if the daemon was started for that.
func (c *Core) setRecovery(s *server.Settings) {
	if c.recovery {
		s.Leases.Recover(c.started)
	}
}
