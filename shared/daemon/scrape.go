package daemon

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

// The bounds of scrapes. A scrape of a dhcp4d with a thousand subnets takes some ten milliseconds.
const (
	scrapeShare = time.Second / 10 // of processor time for scrapes in each second
	scrapeBurst = 2 * time.Second  // of unused processor time that may be saved up
	scrapeWait  = 10 * time.Second // the longest wait of a scrape for its turn
)

// scrapes serves /metrics one scrape after the other and within a share of one processor, so that
// scrapers in a loop take little time from packets. The answer is complete before its first octet
// leaves, so a scraper that reads slowly does not delay the others.
type scrapes struct {
	handler http.Handler
	turn    chan struct{}
	budget  *rate.Limiter // in microseconds of work
	size    int           // octets of the last answer; owned by the scrape that has the turn
}

func newScrapes(h http.Handler) *scrapes {
	return &scrapes{
		handler: h,
		turn:    make(chan struct{}, 1),
		budget:  rate.NewLimiter(rate.Limit(scrapeShare.Microseconds()), int(scrapeBurst.Microseconds())),
	}
}

// ServeHTTP implements http.Handler.
func (s *scrapes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, ok := s.render(r)
	if !ok {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many scrapes at once; scrape less often", http.StatusServiceUnavailable)
		return
	}
	maps.Copy(w.Header(), answer.header)
	w.WriteHeader(answer.status)
	_, _ = w.Write(answer.body.Bytes()) // nobody needs the answer if the scraper has gone
}

// render makes the answer to one scrape when its turn has come. It reports false if that takes too
// long.
func (s *scrapes) render(r *http.Request) (*rendered, bool) {
	ctx, cancel := context.WithTimeout(r.Context(), scrapeWait)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, false
	}
	if s.budget.Wait(ctx) != nil {
		return nil, false
	}
	answer := &rendered{header: make(http.Header), status: http.StatusOK}
	answer.body.Grow(s.size)
	begun := time.Now()
	s.handler.ServeHTTP(answer, r)
	s.budget.ReserveN(begun, int(min(time.Since(begun), scrapeBurst).Microseconds()))
	s.size = answer.body.Len()
	return answer, true
}

// rendered is an answer in memory.
type rendered struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *rendered) Header() http.Header         { return a.header }
func (a *rendered) WriteHeader(status int)      { a.status = status }
func (a *rendered) Write(p []byte) (int, error) { return a.body.Write(p) }
