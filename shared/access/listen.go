package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/dhcp4o6/dhcp4o6/shared/web"
)

// Server is the API on its listener, a component of the daemon.
type Server struct {
	*web.Server
	log *slog.Logger
}

// Open opens the listener of the API, which h serves for whoever shows the token. It returns nil
// where the API is off. An API that was not asked for does not stop the daemon: if its address is
// taken or its token cannot be kept, Open logs that and returns nil.
func (c Config) Open(h http.Handler, pages Pages, refused *Refused, log *slog.Logger) (*Server, error) {
	if c.Listen == "" {
		return nil, nil
	}
	if c.Token == "" && c.TokenPath == "" {
		log.Warn("no API: there is no directory for its token; set the token, or switch the API off",
			"variables", c.Prefix+"API_TOKEN, "+c.Prefix+"API_LISTEN=off")
		return nil, nil
	}
	listener, err := net.Listen("tcp", string(c.Listen))
	if err != nil {
		err = fmt.Errorf("cannot listen at %s: %w; free the port or set %sAPI_LISTEN", c.Listen, err, c.Prefix)
	}
	token := c.Token
	if err == nil && token == "" {
		if token, err = makeToken(c.TokenPath); err != nil {
			err = errors.Join(err, listener.Close())
		}
	}
	switch {
	case err != nil && !c.Asked:
		log.Warn("no API: set its address and its token, or switch it off", "error", err,
			"variables", c.Prefix+"API_TOKEN, "+c.Prefix+"API_LISTEN=off")
		return nil, nil
	case err != nil:
		return nil, err
	}
	daemon := strings.ToLower(strings.TrimSuffix(c.Prefix, "_"))
	return &Server{web.New(listener, NewGuard(token, refused, h).With(daemon, pages), log), log}, nil
}

// Name is the component's name in logs and errors.
func (s *Server) Name() string { return "api" }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	s.log.Info("API", "address", s.Addr().String())
	return s.Serve(ctx)
}

// Guard is a handler that passes requests with the token to another one.
type Guard struct {
	token   [sha256.Size]byte // its digest
	key     func() []byte     // of proofs
	refused *Refused
	inner   http.Handler

	name  string // of the daemon
	pages Pages  // nil: there are none
}

// With adds the pages of a daemon to what a guard guards. The paths of the API begin with /v1/.
func (g *Guard) With(daemon string, pages Pages) *Guard {
	g.name, g.pages = daemon, pages
	return g
}

// NewGuard makes a guard. refused counts requests without the token.
func NewGuard(token string, refused *Refused, inner http.Handler) *Guard {
	key := sync.OnceValue(func() []byte { return proofKey(token) })
	return &Guard{token: sha256.Sum256([]byte(token)), key: key, refused: refused, inner: inner}
}

// ServeHTTP implements http.Handler.
func (g *Guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if g.pages != nil && !strings.HasPrefix(r.URL.Path, "/v1/") {
		g.page(w, r)
		return
	}
	if r.Method == http.MethodGet && r.URL.Path == proofPath {
		g.prove(w, r)
		return
	}
	if !g.knows(r) {
		g.refused.note(r)
		w.Header().Set("WWW-Authenticate", "Bearer")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	g.inner.ServeHTTP(w, r)
}

// knows reports whether a request has the token, in the form of RFC 6750 section 2.1. It takes
// constant time.
func (g *Guard) knows(r *http.Request) bool {
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(shown))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], g.token[:]) == 1
}
