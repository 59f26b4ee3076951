package access

import (
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// sayEvery is the least time between two lines about refused requests, so that guessing tokens
// cannot fill the disk.
const sayEvery = 10 * time.Second

// Refused counts requests that are refused, and logs them. Any goroutine may call its methods.
type Refused struct {
	prometheus.Counter
	log *slog.Logger

	mu     sync.Mutex
	quiet  bool // a line was written less than sayEvery ago
	untold int  // requests since that line
}

// NewRefused makes one, with its counter at zero.
func NewRefused(reg prometheus.Registerer, namespace string, log *slog.Logger) *Refused {
	c := prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Name: "api_unauthorized_total", Help: "Requests to the API with a wrong token or none.",
	})
	reg.MustRegister(c)
	return &Refused{Counter: c, log: log}
}

// note counts a request. It logs the first one at once. Those that follow soon are summed up in one
// line.
func (r *Refused) note(req *http.Request) {
	r.Inc()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.quiet {
		r.untold++
		return
	}
	r.quiet = true
	time.AfterFunc(sayEvery, r.sum)
	path := req.URL.Path
	r.log.Warn("a request to the API was refused: it shows a wrong token or none", "from", req.RemoteAddr,
		"method", req.Method, "path", path[:min(len(path), maxPath)])
}

// maxPath is how much of a path is logged, in octets.
const maxPath = 100

// sum logs how many requests came since the last line.
func (r *Refused) sum() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.untold == 0 {
		r.quiet = false
		return
	}
	r.log.Warn("more requests to the API were refused: they show a wrong token or none", "requests", r.untold)
	r.untold = 0
	time.AfterFunc(sayEvery, r.sum)
}
