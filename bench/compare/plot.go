package compare

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Plot draws the medians as SVG: for each load one bar per pair. The bars are CPU per exchange and
// rate, both as multiples of the bare pair's, and the latency.
func (r *Result) Plot(w io.Writer) error {
	p := &plot{}
	p.text(20, 24, 15, "DHCPv4 over DHCPv6: our pair, Kea's, and one that only moves datagrams (bare)")
	p.text(20, 44, 11, fmt.Sprintf("%s, commit %s; %s; leases on %s; medians of %d interleaved runs",
		r.Time.Format(time.DateOnly), r.Commit, r.Machine, r.FileSystem, r.Options.Rounds))
	p.y = 60
	if len(r.Keas) > 0 {
		p.text(20, p.y, 11, strings.Join(r.Keas, ", "))
		p.y += 12
	}
	closed := func(m Median) bool { return m.Load.InFlight > 0 }
	open := func(m Median) bool { return m.Load.Rate > 0 }
	if len(r.Options.Windows) > 0 {
		p.panel("CPU of both daemons per exchange, bare pair = 1 (less is better)", r, closed,
			one("%.2f", func(m Median) float64 { return m.Ratio }))
		p.panel("exchanges per second, bare pair = 1 (more is better)", r, closed,
			one("%.2f", func(m Median) float64 { return m.Pace }))
		p.panel("latency of an exchange with so many in flight, ms: median, and in light 99th percentile (less is "+
			"better)", r, closed, latency)
	}
	if len(r.Options.Rates) > 0 {
		p.panel("latency of an exchange at a given rate, ms: median, and in light 99th percentile (less is better)", r,
			open, latency)
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif">`+
		`<rect width="100%%" height="100%%" fill="white"/>%s</svg>`+"\n",
		plotWidth, p.y+10, p.b.String())
	return err
}

// A bar is a figure in a dark colour, behind it a figure that is not less in a light one, and both
// in words.
type bar struct {
	dark, light float64
	words       string
}

func one(format string, figure func(Median) float64) func(Median) bar {
	return func(m Median) bar { return bar{figure(m), 0, fmt.Sprintf(format, figure(m))} }
}

func latency(m Median) bar { return bar{m.P50, m.P99, fmt.Sprintf("%.2f, %.2f", m.P50, m.P99)} }

const (
	plotWidth = 900
	barLeft   = 190
	barWidth  = 600
	barHeight = 14
)

// plot is an SVG that grows downwards.
type plot struct {
	b strings.Builder
	y int
}

func (p *plot) text(x, y, size int, s string) {
	s = strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(s)
	fmt.Fprintf(&p.b, `<text x="%d" y="%d" font-size="%d">%s</text>`+"\n", x, y, size, s)
}

func (p *plot) panel(title string, r *Result, which func(Median) bool, figure func(Median) bar) {
	p.y += 24
	p.text(20, p.y, 13, title)
	p.y += 8
	most := 0.0
	for _, m := range r.Medians {
		if b := figure(m); which(m) {
			most = max(most, b.dark, b.light)
		}
	}
	last := Load{}
	for _, m := range r.Medians {
		if !which(m) {
			continue
		}
		if m.Load != last {
			p.y += 6
			p.text(20, p.y+barHeight-3, 11, m.Load.String())
			last = m.Load
		}
		length := func(figure float64) int {
			if most == 0 {
				return 1
			}
			return max(1, int(figure/most*barWidth))
		}
		b := figure(m)
		p.text(105, p.y+barHeight-3, 11, m.Subject)
		if b.light > b.dark {
			p.bar(length(b.light), m.Subject, 0.4)
		}
		p.bar(length(b.dark), m.Subject, 1)
		p.text(barLeft+length(max(b.dark, b.light))+6, p.y+barHeight-3, 11, b.words)
		p.y += barHeight
	}
}

func (p *plot) bar(length int, subject string, opacity float64) {
	fmt.Fprintf(&p.b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s" fill-opacity="%v"/>`+"\n", barLeft, p.y,
		length, barHeight-2, colour(subject), opacity)
}

func colour(subject string) string {
	switch {
	case subject != likeOurs(subject):
		return "#7fbf7b"
	case ours(subject):
		return "#1b7837"
	case subject == Kea:
		return "#b35806"
	case subject == KeaOther:
		return "#e08214"
	}
	return "#878787"
}
