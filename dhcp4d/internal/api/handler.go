package api

import (
	_ "embed" // of the reference
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/operator"
	"github.com/dhcp4o6/dhcp4o6/shared/follow"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

// The bounds of requests.
const (
	atOnce   = 4                // requests that are served at one time
	maxBody  = 16 << 10         // octets of a request
	maxOrder = 15 * time.Second // for a change to become durable
)

//go:embed openapi.json
var reference []byte

// Handler serves the API.
type Handler struct {
	leases  Leases
	orders  Orders
	slots   chan struct{}
	mux     *http.ServeMux
	trace   *trace.Hub
	changes *changes
}

// Options are what a handler is made from. All are required.
type Options struct {
	Leases   Leases
	Orders   Orders
	Trace    *trace.Hub // where subscribers are followed
	Registry prometheus.Registerer
	Log      *slog.Logger
}

// route is a method and path, and the parameters that it takes.
type route struct {
	method, path string
	parameters   []string
	serve        func(h *Handler, w http.ResponseWriter, r *http.Request)
}

func routes() []route {
	return []route{
		{"GET", "/v1/leases", append(slices.Clone(filterNames), "cursor", "limit", "format"), (*Handler).list},
		{"POST", "/v1/leases", nil, (*Handler).reserve},
		{"GET", "/v1/leases/{address}", nil, (*Handler).show},
		{"DELETE", "/v1/leases/{address}", nil, (*Handler).release},
		{"GET", "/v1/subnets", nil, (*Handler).subnets},
		{"GET", follow.Path, follow.Parameters(), func(h *Handler, w http.ResponseWriter, r *http.Request) {
			follow.Serve(w, r, h.trace, fail)
		}},
		{"GET", "/v1/openapi.json", nil, func(_ *Handler, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(reference) // whoever asked and went away does not matter
		}},
	}
}

// NewHandler makes a handler. It serves everybody: an [access.Guard] lets those in who may.
func NewHandler(o Options) *Handler {
	h := &Handler{leases: o.Leases, orders: o.Orders, slots: make(chan struct{}, atOnce), mux: http.NewServeMux(), trace: o.Trace,
		changes: newChanges(o.Registry, o.Log)}
	for _, r := range routes() {
		h.mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, req *http.Request) {
			for name := range req.URL.Query() {
				if !slices.Contains(r.parameters, name) {
					fail(w, http.StatusBadRequest, "there is no parameter "+name)
					return
				}
			}
			r.serve(h, w, req)
		})
	}
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if r.URL.Path == follow.Path { // lasts, and is bounded by its hub
		h.mux.ServeHTTP(w, r)
		return
	}
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	default:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "too many requests at once; try again")
		return
	}
	h.mux.ServeHTTP(w, r)
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic("api: " + err.Error()) // nothing in our types can fail to be encoded
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // whoever asked and went away does not matter
}

func fail(w http.ResponseWriter, status int, why string) { answer(w, status, problem{why}) }

// failed answers with an error of Leases.
func failed(w http.ResponseWriter, err error) {
	status, why := statusOf(err)
	fail(w, status, why)
}

// statusOf is what an error of Leases means to whoever asked.
func statusOf(err error) (status int, why string) {
	status = http.StatusGatewayTimeout // the change may yet become durable
	why = "the change was not on stable storage in time; whether it will be is not known"
	for _, c := range []struct {
		err    error
		status int
	}{
		{leases.ErrNotFound, http.StatusNotFound}, {leases.ErrConflict, http.StatusConflict}, {leases.ErrStale, http.StatusGone},
		{operator.ErrBusy, http.StatusServiceUnavailable}, {operator.ErrStore, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, c.err) {
			status, why = c.status, err.Error()
		}
	}
	return status, why
}
