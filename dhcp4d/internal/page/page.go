// Package page is the read-only page of dhcp4d: subnets by use, leases and their history, refusals,
// drops and silences, and the live trace. Package shared/page is its frame.
//
// It never lists all leases: a page shows a few, and looks for them a few at a time, for a bounded
// time.
package page

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leaselog"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/refusals"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
	frame "github.com/dhcp4o6/dhcp4o6/shared/page"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

//go:embed *.html
var templates embed.FS

// The bounds of a page.
const (
	subnetsPerPage = 50
	refusalsShown  = 20
	rangesShown    = 4
	tenuresShown   = 200
	historyTime    = 3 * time.Second // for reading the lease log
)

// fresh is how long the figures of the subnets count as new.
const fresh = time.Second

// Leases is what the page shows. It is called by many goroutines.
type Leases interface {
	Now() lease.Time
	Get(a netip.Addr, into *lease.Batch)
	Scan(from leases.ScanPosition, match func(*lease.Binding) bool, into *lease.Batch) (next leases.ScanPosition, err error)
	Subnets() []leases.Usage
	Subnet(a netip.Addr) (name string, ok bool)
	SubnetNamed(name string) (id uint32, ok bool)
}

// Options are what a page is made from. All are required.
type Options struct {
	Leases   Leases
	Refusals *refusals.Recent
	Trace    *trace.Hub
	Metrics  prometheus.Gatherer
	Version  string
	Links    []access.Page
	// LeaseLog returns the path of the lease log, empty if the log goes to no file.
	LeaseLog func() string
}

// page is the page of a dhcp4d.
type page struct {
	Options
	metrics *frame.Metrics

	mu      sync.Mutex
	at      time.Time      // when subnets were read
	subnets []leases.Usage // the fullest first; never changed

	log chan struct{} // one reads the lease log at a time
}

// New makes the page.
func New(o Options) *frame.Site {
	p := &page{Options: o, metrics: frame.NewMetrics(o.Metrics), log: make(chan struct{}, 1)}
	site := (&frame.Site{Daemon: "dhcp4d", Version: o.Version, Prefix: "DHCP4D_", Links: o.Links, Neighbour: "dhcp6d",
		NeighbourPort: "9548"}).
		Start(templates, template.FuncMap{})
	site.Handle("/", "Subnets", p.overview)
	site.Handle("/leases", "Leases", p.search)
	site.Handle("/leases/{address}", "", p.lease)
	site.Handle("/drops", "Drops and silences", p.drops)
	site.Trace(o.Trace)
	return site
}

// byUse are the subnets, the fullest first. Many open pages cost no more than one.
func (p *page) byUse() []leases.Usage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.at) > fresh || p.at.After(now) {
		all := p.Leases.Subnets()
		slices.SortFunc(all, func(a, b leases.Usage) int { return leases.Fuller(&a, &b) })
		p.at, p.subnets = now, all
	}
	return p.subnets
}

// subnet is a row of the overview.
type subnet struct {
	leases.Usage
	Used     string
	Share    float64
	Pools    []pool
	Refusals uint64
}

type pool struct {
	Ranges     string
	Used       string
	Size, Free uint32
}

// overview is the data of the template of the same name.
type overview struct {
	Query          string
	Subnets        []subnet
	All            int
	From, To       int
	Back, On       string // links, empty if there is nothing
	Refusals       []refusal
	Minutes        int
	WithoutSubnet  uint64
	RefusedAnybody bool
}

type refusal struct {
	Time, Client, Subnet, Source, Reason, Meaning string
}

func used(size, free uint32) string {
	switch {
	case size == 0:
		return "–"
	case free == 0:
		return "100 %"
	}
	return fmt.Sprintf("%.1f %%", min(99.9, 100*float64(size-free)/float64(size)))
}

func (p *page) overview(r *http.Request) frame.Answer {
	all := p.byUse()
	from, _ := strconv.Atoi(r.URL.Query().Get("from")) // what is no number is the start
	from = max(0, min(from, len(all)-1))
	refused := p.Refusals.BySubnet(time.Now())
	v := overview{All: len(all), Minutes: int(refusals.Window / time.Minute), From: from + 1, WithoutSubnet: refused[0]}
	names := map[uint32]string{}
	for i := range all {
		names[all[i].ID] = all[i].Name
	}
	for _, u := range all[from:min(from+subnetsPerPage, len(all))] {
		s := subnet{Usage: u, Used: used(u.Size, u.Free), Refusals: refused[u.ID]}
		if u.Size > 0 {
			s.Share = float64(u.Size-u.Free) / float64(u.Size)
		}
		for _, one := range u.Pools {
			s.Pools = append(s.Pools, pool{rangesOf(&one), used(one.Size, one.Free), one.Size, one.Free})
		}
		v.Subnets = append(v.Subnets, s)
	}
	v.To = from + len(v.Subnets)
	if from > 0 {
		v.Back = "/?from=" + strconv.Itoa(max(0, from-subnetsPerPage))
	}
	if v.To < len(all) {
		v.On = "/?from=" + strconv.Itoa(v.To)
	}
	for _, one := range p.Refusals.Last(refusalsShown) {
		v.Refusals = append(v.Refusals, p.refusal(&one, names))
	}
	return frame.Answer{Template: "overview", Title: "Subnets", Data: v}
}

func (p *page) refusal(r *refusals.Refusal, names map[uint32]string) refusal {
	row := refusal{
		Time: time.Unix(r.Time, 0).UTC().Format("15:04:05"), Client: string(octets.AppendHex(nil, r.HWAddr())),
		Subnet: "none", Source: r.Source.String(), Reason: r.Why.Label(), Meaning: r.Why.Meaning(),
	}
	if r.Why == drop.None {
		row.Reason, row.Meaning = "NAK", r.Nak.String()
	}
	if r.Subnet != 0 {
		row.Subnet = strings.TrimSpace(fmt.Sprintf("%d %s", r.Subnet, names[r.Subnet]))
	}
	if r.Link.IsValid() && !r.Link.IsUnspecified() {
		row.Source += " behind " + r.Link.String()
	}
	return row
}

func rangesOf(u *leases.PoolUsage) string {
	var texts []string
	for _, r := range u.Ranges[:min(len(u.Ranges), rangesShown)] {
		texts = append(texts, r.First.String()+"–"+r.Last.String())
	}
	if n := len(u.Ranges) - rangesShown; n > 0 {
		texts = append(texts, fmt.Sprintf("and %d more ranges", n))
	}
	return strings.Join(texts, ", ")
}

// found is the data of the template leases.
type found struct {
	Query   string
	Senses  []string
	Leases  []row
	On      string // link to what follows, empty if there is nothing
	Problem string
}

type row struct {
	leasefile.Lease
	Client, Where, Until string
	Beside               string // the Remote-Id, unless Where has it
}

func (p *page) row(b *lease.Binding) row {
	l := leasefile.Of(b, p.Leases.Now())
	name, ok := p.Leases.Subnet(l.Address)
	l.SubnetName, l.Orphaned = name, !ok
	v := row{Lease: l, Client: l.ClientID, Where: "not known yet", Until: "never"}
	if v.Client == "" {
		v.Client = "–"
	}
	if l.Point != nil {
		v.Where = l.Point.String()
	}
	if len(b.RemoteID) > 0 {
		v.Beside = l.RemoteID
	}
	if l.Expires != nil {
		v.Until = l.Expires.Format("2006-01-02 15:04:05 UTC")
	}
	return v
}

func (p *page) search(r *http.Request) frame.Answer {
	q := r.URL.Query()
	v := found{Query: q.Get("q")}
	answer := frame.Answer{Template: "leases", Title: "Leases"}
	ask := query{subnetsNamed: p.Leases.SubnetNamed}
	text := strings.TrimSpace(v.Query)
	if id, err := strconv.ParseUint(q.Get("subnet"), 10, 32); err == nil {
		ask.subnet, ask.ofSubnet = uint32(id), true
		ask.senses = []string{fmt.Sprintf("leases of subnet %d", id)}
	} else if text != "" {
		ask.parse(text)
	}
	v.Senses = ask.senses
	if ask.senses == nil {
		if text != "" {
			answer.Status, v.Problem = http.StatusBadRequest, "This is no address and no identifier."
		}
		answer.Data = v
		return answer
	}
	at, err := leases.ParseCursor(q.Get("cursor"))
	var batch lease.Batch
	var next *leases.Cursor
	if err == nil {
		next, err = ask.find(r.Context(), p.Leases, at, &batch)
	}
	switch {
	case errors.Is(err, leases.ErrStale):
		answer.Status, v.Problem = http.StatusGone, "The leases were loaded again meanwhile. Search again."
	case err != nil:
		answer.Status, v.Problem = http.StatusBadRequest, "There is no such page of the result. Search again."
	}
	for i := range batch.Records {
		v.Leases = append(v.Leases, p.row(&batch.Records[i]))
	}
	if next != nil {
		on := url.Values{"cursor": {next.String()}}
		if q.Has("subnet") {
			on.Set("subnet", q.Get("subnet"))
		} else {
			on.Set("q", v.Query)
		}
		v.On = "/leases?" + on.Encode()
	}
	answer.Data = v
	return answer
}

// about is the data of the template lease.
type about struct {
	Address netip.Addr
	Lease   *row
	History []tenure
	Older   int // tenures that are not shown
	Note    string
}

type tenure struct {
	From, To, End, Client, Source, Where string
}

func (p *page) lease(r *http.Request) frame.Answer {
	a, err := netip.ParseAddr(r.PathValue("address"))
	if err != nil || !a.Is4() {
		return frame.Problem(http.StatusBadRequest, "This is no IPv4 address.")
	}
	v := about{Address: a}
	var batch lease.Batch
	if p.Leases.Get(a, &batch); len(batch.Records) > 0 {
		one := p.row(&batch.Records[0])
		v.Lease = &one
	}
	p.history(r.Context(), &v)
	return frame.Answer{Template: "lease", Title: a.String(), Data: v}
}

// history reads who had the address.
func (p *page) history(ctx context.Context, v *about) {
	path := p.LeaseLog()
	if path == "" {
		v.Note = "There is no history: the lease log is off, or goes to no file (DHCP4D_HOOKS, DHCP4D_LEASELOG_PATH)."
		return
	}
	ctx, cancel := context.WithTimeout(ctx, historyTime)
	defer cancel()
	select {
	case p.log <- struct{}{}:
		defer func() { <-p.log }()
	case <-ctx.Done():
		v.Note = "The lease log is being read for others. Reload the page."
		return
	}
	h, err := leaselog.ReadHistory(ctx, path, v.Address, time.Now())
	switch {
	case ctx.Err() != nil:
		v.Note = "The history is that of the newest files only: to read all of the lease log takes too long here. " +
			"Use dhcp4d leases history."
	case err != nil:
		v.Note = "The history may be incomplete: " + err.Error()
	case len(h.Tenures) == 0 && !h.Begins.IsZero():
		v.Note = "Nobody had the address since " + stamp(h.Begins) + ", where the log begins."
	case len(h.Tenures) == 0:
		v.Note = "The log has no lines yet."
	}
	for _, t := range slices.Backward(h.Tenures) {
		if len(v.History) == tenuresShown {
			v.Older = len(h.Tenures) - tenuresShown
			break
		}
		to := "never"
		if !t.To.IsZero() {
			to = stamp(t.To)
		}
		end := t.End
		if t.By != "" {
			end += " by " + t.By
		}
		v.History = append(v.History, tenure{stamp(t.From), to, end, t.Client.Who(), t.Source, t.Client.Where()})
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func (p *page) drops(*http.Request) frame.Answer {
	return frame.Answer{Template: "drops", Title: "Drops and silences", Data: map[string][]frame.Count{
		"Drops":    p.metrics.ByReason("dhcp4d_packets_dropped_total", frame.DropMeanings(drop.DHCP4D)),
		"Silences": p.metrics.ByReason("dhcp4d_queries_silent_total", frame.SilenceMeanings(drop.DHCP4D)),
	}}
}
