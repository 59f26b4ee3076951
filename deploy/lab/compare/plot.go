package compare

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Plot draws the medians as SVG: bars by load, one per pair, of CPU per
// exchange and rate as multiples of the bare pair's, and of the 99th
// percentile where the rate was given.
func (r *Result) Plot(w io.Writer) error {
	p := &plot{}
	p.text(20, 24, 15, "DHCPv4 over DHCPv6: our pair, Kea's, and one that only moves datagrams (bare)")
	p.text(20, 44, 11, fmt.Sprintf("%s, commit %s; %s; leases on %s; medians of %d interleaved runs", r.Time.Format(time.DateOnly), r.Commit, r.Machine, r.FileSystem, r.Options.Rounds))
	p.y = 60
	if len(r.Options.Windows) > 0 {
		closed := func(m Median) bool { return m.Load.InFlight > 0 }
		p.panel("CPU of both daemons per exchange, bare pair = 1 (less is better)", "%.2f", r, closed, func(m Median) float64 { return m.Ratio })
		p.panel("exchanges per second, bare pair = 1 (more is better)", "%.2f", r, closed, func(m Median) float64 { return m.Pace })
	}
	if len(r.Options.Rates) > 0 {
		open := func(m Median) bool { return m.Load.Rate > 0 }
		p.panel("99th percentile of an exchange at a given rate, ms (less is better)", "%.1f ms", r, open, func(m Median) float64 { return m.P99 })
	}
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif"><rect width="100%%" height="100%%" fill="white"/>%s</svg>`+"\n",
		plotWidth, p.y+10, p.b.String())
	return err
}

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

func (p *plot) panel(title, format string, r *Result, which func(Median) bool, figure func(Median) float64) {
	p.y += 24
	p.text(20, p.y, 13, title)
	p.y += 8
	most := 0.0
	for _, m := range r.Medians {
		if which(m) {
			most = max(most, figure(m))
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
		length := 1
		if most > 0 {
			length = max(1, int(figure(m)/most*barWidth))
		}
		p.text(105, p.y+barHeight-3, 11, m.Subject)
		fmt.Fprintf(&p.b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/>`+"\n", barLeft, p.y, length, barHeight-2, colour(m.Subject))
		p.text(barLeft+length+6, p.y+barHeight-3, 11, fmt.Sprintf(format, figure(m)))
		p.y += barHeight
	}
}

func colour(subject string) string {
	switch subject {
	case Ours, OursKeys:
		return "#1b7837"
	case Kea:
		return "#b35806"
	}
	return "#878787"
}
