package api

import (
	"crypto/sha256"
	"crypto/subtle"
	_ "embed" // of the reference
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// The bounds of requests.
const (
	atOnce    = 4                // requests that are served at one time
	maxBody   = 16 << 10         // octets of a request
	maxOrder  = 15 * time.Second // for a change to become durable
	maxWrite  = 30 * time.Second // without the client's taking anything
	maxHeader = 16 << 10
)

//go:embed openapi.json
var reference []byte

// Handler serves the API.
type Handler struct {
	leases Leases
	token  *[sha256.Size]byte // of the token; nil: none is asked for
	slots  chan struct{}
	mux    *http.ServeMux
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
		{"GET", "/v1/openapi.json", nil, func(_ *Handler, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(reference) // whoever asked and went away does not matter
		}},
	}
}

// NewHandler makes a handler. An empty token lets everybody in who comes by a
// name or address of this host's loopback interface.
func NewHandler(l Leases, token string) *Handler {
	h := &Handler{leases: l, slots: make(chan struct{}, atOnce), mux: http.NewServeMux()}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		h.token = &sum
	}
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
	switch {
	case !h.knows(r):
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		return
	case h.token == nil && !local(r.Host):
		// A page in a browser on this host must not get here by a name of
		// its own that it has resolved to the loopback address.
		fail(w, http.StatusForbidden, "without a token only localhost and loopback addresses are served")
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
	// A test without a connection has no deadline.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxWrite))
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	h.mux.ServeHTTP(w, r)
}

// knows tells whether a request shows the token. The time that takes does not
// depend on what is wrong with it.
func (h *Handler) knows(r *http.Request) bool {
	if h.token == nil {
		return true
	}
	shown, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(shown))
	return subtle.ConstantTimeCompare(sum[:], h.token[:]) == 1
}

// local tells whether a Host header names this host's loopback interface.
func local(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && a.IsLoopback()
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
	status := http.StatusGatewayTimeout // the change may yet become durable
	why := "the change was not on stable storage in time; whether it will be is not known"
	for _, c := range []struct {
		err    error
		status int
	}{
		{ErrNotFound, http.StatusNotFound}, {ErrConflict, http.StatusConflict}, {ErrStale, http.StatusGone},
		{ErrBusy, http.StatusServiceUnavailable}, {ErrStore, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, c.err) {
			status, why = c.status, err.Error()
		}
	}
	fail(w, status, why)
}
