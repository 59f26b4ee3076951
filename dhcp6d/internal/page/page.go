// Package page is the read-only page of dhcp6d: backends, interfaces, drops and silences, and the
// live trace. Package shared/page is its frame.
package page

import (
	"embed"
	"html/template"
	"net/http"
	"net/netip"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	frame "github.com/dhcp4o6/dhcp4o6/shared/page"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

//go:embed *.html
var templates embed.FS

// Options are what a page is made from. All are required.
type Options struct {
	Backends   func() []backend.Status
	Interfaces func() Interfaces
	Trace      *trace.Hub
	Metrics    prometheus.Gatherer
	Version    string
	Links      []access.Page
}

// Interfaces are those that are to be served, and what is known of those that are.
type Interfaces interface {
	Status() []listen.Status
	ByName(name []byte) *listen.Interface
}

type page struct {
	Options
	metrics *frame.Metrics
}

// New makes the page.
func New(o Options) *frame.Site {
	p := &page{o, frame.NewMetrics(o.Metrics)}
	site := (&frame.Site{Daemon: "dhcp6d", Version: o.Version, Prefix: "DHCP6D_", Links: o.Links, Neighbour: "dhcp4d",
		NeighbourPort: "9568"}).
		Start(templates, template.FuncMap{})
	site.Handle("/", "Backends and interfaces", p.overview)
	site.Handle("/drops", "Drops and silences", p.drops)
	site.Trace(o.Trace)
	return site
}

// overview is the data of the template of the same name.
type overview struct {
	Backends   []backend.Status
	Interfaces []row
}

type row struct{ Name, Addresses, Trouble string }

func (p *page) overview(*http.Request) frame.Answer {
	v := overview{Backends: p.Backends()}
	served := p.Interfaces()
	for _, s := range served.Status() {
		one := row{Name: s.Name}
		if s.Trouble != listen.NoTrouble {
			one.Trouble = s.Trouble.String()
		}
		if i := served.ByName([]byte(s.Name)); i != nil {
			one.Addresses = join(i.Addresses)
		}
		v.Interfaces = append(v.Interfaces, one)
	}
	return frame.Answer{Template: "overview", Title: "Backends and interfaces", Data: v}
}

func join(all []netip.Addr) string {
	var texts []string
	for _, a := range all {
		texts = append(texts, a.String())
	}
	return strings.Join(texts, ", ")
}

func (p *page) drops(*http.Request) frame.Answer {
	return frame.Answer{Template: "drops", Title: "Drops and silences", Data: map[string][]frame.Count{
		"Drops":    p.metrics.ByReason("dhcp6d_packets_dropped_total", frame.DropMeanings(drop.DHCP6D)),
		"Silences": p.metrics.ByReason("dhcp6d_packets_silent_total", frame.SilenceMeanings(drop.DHCP6D)),
	}}
}
