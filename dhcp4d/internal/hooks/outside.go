package hooks

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/asking"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/encode"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/event"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/shared/consult"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp6"
	"github.com/dhcp4o6/dhcp4o6/shared/expression"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/parking"
	"github.com/dhcp4o6/dhcp4o6/shared/rule"
	"github.com/dhcp4o6/dhcp4o6/shared/spelling"
	"github.com/dhcp4o6/dhcp4o6/shared/spool"
)

// outsideVariables are the variables of the hook outside.
type outsideVariables struct {
	Socket      string        `env:"SOCKET" kind:"path of a UNIX socket" desc:"hook outside: where the program listens that is asked about queries"`
	Key         string        `env:"KEY" kind:"an expression that is a value" desc:"hook outside: what a verdict is about and is kept under, such as the Interface-Id of a client; where it is empty, the program is not asked"`
	Point       string        `env:"POINT" envDefault:"subnet4_select" kind:"pkt4_receive or subnet4_select" desc:"hook outside: where the program is asked, after all other hooks of the point; only classes that are marked at pkt4_receive can choose the subnet"`
	Timeout     time.Duration `env:"TIMEOUT" envDefault:"300ms" desc:"hook outside: how long a query waits for its verdict, at most 2s"`
	Policy      string        `env:"POLICY" envDefault:"drop" kind:"drop, open or stale" desc:"hook outside: what becomes of a query without a verdict: it is dropped, goes on as if nobody had been asked, or the last verdict of its key decides, however old it is"`
	Reasons     []string      `env:"REASONS" desc:"hook outside: the reasons for which the program drops queries, as they are counted"`
	Events      string        `env:"EVENTS" kind:"a directory" desc:"hook outside: where changes of leases are kept until the program has been told; unset tells it none"`
	EventsSize  fileSize      `env:"EVENTS_SIZE" envDefault:"64M" kind:"a size such as 100M or 1G" desc:"hook outside: how much is kept; what is older is lost for a program that is away"`
	Cache       uint32        `env:"CACHE" envDefault:"65536" desc:"hook outside: how many verdicts are kept"`
	Parked      uint32        `env:"PARKED" envDefault:"4096" desc:"hook outside: how many queries may wait for their verdicts"`
	ParkedPoint uint32        `env:"PARKED_POINT" envDefault:"16" desc:"hook outside: how many queries of one attachment point may wait for their verdicts"`

	key    *expression.Value
	policy asking.Policy
	marked map[string]int
}

// maxSocket is the longest path of a UNIX socket.
const maxSocket = 107

// maxVerdicts bounds the cache.
const maxVerdicts = 1 << 22

// Check implements hook.Checker.
func (v *outsideVariables) Check(c *hook.Check) {
	switch {
	case !filepath.IsAbs(v.Socket):
		c.Mistake("SOCKET", fmt.Sprintf("%q is no path that begins with /", v.Socket),
			"name the socket that the program outside listens on")
	case len(v.Socket) > maxSocket:
		c.Mistake("SOCKET", fmt.Sprintf("the path has %d octets", len(v.Socket)),
			fmt.Sprintf("give one of at most %d", maxSocket))
	}
	if v.Events != "" && !filepath.IsAbs(v.Events) {
		c.Mistake("EVENTS", fmt.Sprintf("%q is no path that begins with /", v.Events),
			"name a directory that dhcp4d may write to")
	}
	c.Known("POINT", "point for the program outside", []string{v.Point},
		[]string{string(event.Pkt4Receive), string(event.Subnet4Select)})
	if v.Timeout < time.Millisecond || v.Timeout > 2*time.Second {
		c.Mistake("TIMEOUT", v.Timeout.String()+" is not between 1ms and 2s",
			"give a time after which the client would not yet have asked again")
	}
	found := false
	for p, name := range asking.Policies {
		if name == v.Policy {
			v.policy, found = asking.Policy(p), true
		}
	}
	if !found {
		remedy := "give drop, open or stale"
		if near := spelling.Nearest(v.Policy, asking.Policies, 2); near != "" {
			remedy = "did you mean " + near + "?"
		}
		c.Mistake("POLICY", "there is no policy "+v.Policy, remedy)
	}
	rule.CheckNames(c, "REASONS", "reason", v.Reasons)
	for _, n := range []struct {
		variable string
		n, most  uint32
	}{{"CACHE", v.Cache, maxVerdicts}, {"PARKED", v.Parked, parking.Slots},
		{"PARKED_POINT", v.ParkedPoint, parking.Slots}} {
		if n.n == 0 || n.n > n.most {
			c.Mistake(n.variable, fmt.Sprintf("%d is not between 1 and %d", n.n, n.most), "give a number between them")
		}
	}
}

// Needs implements hook.Needer.
func (v *outsideVariables) Needs() (variable, missing string) {
	c, err := net.DialTimeout("unix", v.Socket, time.Second)
	if err == nil {
		_ = c.Close()
		return "SOCKET", ""
	}
	if errors.Is(err, fs.ErrPermission) {
		return "SOCKET", "this user may not write to the socket " + v.Socket +
			"; let it, by its mode and group, and into its directory"
	}
	return "SOCKET", "nobody listens on " + v.Socket + " now; start the program outside, or correct the path"
}

// Complete implements hook.Completer: it compiles the key, which may ask for the classes of the
// subnets document.
func (v *outsideVariables) Complete(with *network.Subnets, c *hook.Check) {
	v.marked = with.Marked
	if v.Key == "" {
		if v.Events == "" {
			c.Mistake("KEY", "is not set", "give an expression, such as relay6[0].option[18].hex or pkt4.mac, or set "+
				c.Name("EVENTS")+" for a program that is only told")
		}
		return
	}
	words := &expression.Vocabulary{Option: encode.CodeOf, OptionNames: encode.Names, Classes: with.Names}
	key, err := expression.CompileValue(v.Key, words)
	if wrong, ok := errors.AsType[*expression.Error](err); ok {
		c.Mistake("KEY", fmt.Sprintf("column %d: %s", wrong.Column, wrong.Problem),
			"write it as docs/expressions.md says")
		return
	}
	if key.UsesKnown(with.Classes) {
		c.Mistake("KEY", "asks whether the client has a reservation, which is not known yet", "leave that out")
		return
	}
	v.key = key
}

// outsideHook is the hook that asks a program outside about queries.
type outsideHook struct {
	asker *asking.Asker // nil: the program is only told
	line  *line
	point string
	kept  *kept // nil: no events are
}

// kept is the events, shared by all configurations with the same directory.
type kept struct {
	*spool.Spool
	dir     string
	size    fileSize
	catchUp *event.CatchUp // nil: nobody was ever told anything
	users   atomic.Int32
}

// line is the connection to the program. A reload hands it on if the program is the same.
type line struct {
	socket  string
	timeout time.Duration
	point   string
	link    *consult.Link
	cache   *consult.Cache
	users   atomic.Int32
}

// newOutside goes on with the connection of the hook before, so that a reload forgets no verdict.
func newOutside(v *outsideVariables, env hook.Env, before *outsideHook) (*outsideHook, error) {
	metrics := asking.NewMetrics(env.Registry, v.Reasons)
	h := &outsideHook{point: v.Point}
	var err error
	if h.kept, err = keep(v, env, before); err != nil {
		return nil, err
	}
	if before != nil && before.line.socket == v.Socket && before.line.timeout == v.Timeout &&
		before.line.point == v.Point && before.kept == h.kept {
		h.line = before.line
	} else {
		h.line = &line{socket: v.Socket, timeout: v.Timeout, point: v.Point, cache: consult.NewCache(int(v.Cache))}
		var events *spool.Spool
		if h.kept != nil {
			events = h.kept.Spool
		}
		h.line.link = consult.NewLink(consult.Options{
			Events: events,
			Path:   v.Socket, Log: env.Log, Metrics: metrics.Metrics,
			Hello: outside.Hello{
				Daemon: "dhcp4d", Name: env.Daemon, Highest: outside.Version,
				Timeout: uint32(v.Timeout.Milliseconds()), Points: []string{v.Point},
			},
		})
	}
	h.line.users.Add(1)
	if v.key == nil {
		return h, nil
	}
	h.asker = &asking.Asker{
		Config: asking.Config{
			Point: v.Point, Key: v.key, Policy: v.policy, Timeout: v.Timeout,
			Limits:  parking.Limits{Queries: int(v.Parked), Point: int(v.ParkedPoint)},
			Reasons: v.Reasons, Marked: v.marked, Settable: settable(), Verdicts: int(v.Cache),
		},
		Link: h.line.link, Cache: h.line.cache, Metrics: metrics,
	}
	return h, nil
}

// settable returns the options that a verdict may set: those that can be configured, except the
// one that decides whether a client needs an address.
func settable() *[256]bool {
	var may [256]bool
	for code := range 256 {
		_, problem := encode.CodeOfText(strconv.Itoa(code))
		may[code] = problem == "" && byte(code) != dhcp4.OptIPv6OnlyPreferred
	}
	return &may
}

// Attach implements hook.Hook.
func (h *outsideHook) Attach(to *hook.Attachment) {
	if h.asker != nil {
		asking.Part.Give(to, h.asker)
		hook.FilterPoint[event.Query](h.point).RunLast(to, h.asker.Decide)
	}
	if h.kept != nil {
		event.Leases4Committed.Run(to, h.kept.tell)
		event.Behind.Give(to, h.kept.catchUp)
	}
}

// keep opens the directory of events, or shares it with the hook before.
func keep(v *outsideVariables, env hook.Env, before *outsideHook) (*kept, error) {
	switch {
	case v.Events == "":
		return nil, nil
	case before != nil && before.kept != nil && before.kept.dir == v.Events && before.kept.size == v.EventsSize:
		before.kept.users.Add(1)
		return before.kept, nil
	case before != nil && before.kept != nil && before.kept.dir == v.Events:
		return nil, errors.New("DHCP4D_OUTSIDE_EVENTS_SIZE cannot be changed while we run: restart for that")
	}
	lost := metric.Once(env.Registry, prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: "dhcp4d", Name: "outside_lost_events_total",
		Help: "Changes of leases that the program outside never gets, because the disk was too slow to keep them.",
	}))
	s, err := spool.Open(spool.Options{Dir: v.Events, Size: uint64(v.EventsSize), Log: env.Log,
		Lost: func(n int) { lost.Add(float64(n)) }})
	if err != nil {
		return nil, fmt.Errorf("%w (DHCP4D_OUTSIDE_EVENTS)", err)
	}
	k := &kept{Spool: s, dir: v.Events, size: v.EventsSize}
	k.users.Store(1)
	if last := s.Last(); last.Time > 0 {
		// An event is kept after its commit. So others of the same second as the last kept event
		// may be missing.
		k.catchUp = &event.CatchUp{
			Line: lease.Time(last.Stamp) - catchUpSlack, Wall: lease.Time(last.Time/1000) - catchUpSlack, Tell: k.tell,
		}
	}
	return k, nil
}

// catchUpSlack is by how many seconds a missing event may be older than the last kept one.
const catchUpSlack = 10

// tell stores an event for the program. Several goroutines may call it.
func (k *kept) tell(e *event.Lease) {
	b, state := &e.Binding, e.Binding.State.String()
	if e.Event == lease.EventExpired { // the record of a lease that is over by time stays as it was
		state = e.Event.String()
	}
	record := outside.Event{
		Again: e.Again, Event: e.Event.String(), Time: uint64(max(e.Time.UnixMilli(), 0)),
		Address: b.Addr, Subnet: b.Subnet, State: state, HWType: b.HWType, HWAddr: b.HWAddr,
		Attachment: b.Point, RemoteID: b.Remote(), Source: b.Source,
		Start: uint64(max(b.Start, 0)), Changed: uint64(max(b.Changed, 0)), By: e.By, Interface: e.Interface,
	}
	if b.Expires != lease.Never {
		record.Expires = uint64(max(b.Expires, 1))
	}
	if len(b.Client) > 0 && b.Client[0] == lease.KeyIdentifier {
		record.ClientID = b.Client[1:]
	}
	for _, r := range e.Relays {
		var options []byte
		if r.InterfaceID != nil {
			options = dhcp6.AppendOption(options, dhcp6.OptInterfaceID, r.InterfaceID)
		}
		if r.RemoteID != nil {
			options = dhcp6.AppendOption(options, dhcp6.OptRemoteID, r.RemoteID)
		}
		record.Relays = append(record.Relays, outside.Relay{Link: r.LinkAddress, Peer: r.PeerAddress, Options: options})
	}
	k.Add(&record, int64(e.Line))
}

// Close ends the connection if no other hook has taken it over.
func (h *outsideHook) Close() error {
	if h.line.users.Add(-1) == 0 {
		h.line.link.Close()
	}
	if h.kept != nil && h.kept.users.Add(-1) == 0 {
		h.kept.Close()
	}
	return nil
}
