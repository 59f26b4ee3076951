package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
)

// Server is the API on its listener, a component of the daemon.
type Server struct {
	listener net.Listener
	handler  http.Handler
	log      *slog.Logger
}

// Listen opens the listener; a nil Server is none. Where nobody has said where
// to listen and the default place is taken, by another dhcp4d perhaps, the
// daemon goes without.
func Listen(c config.API, l Leases, log *slog.Logger) (*Server, error) {
	if c.Listen == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", string(c.Listen))
	switch {
	case err != nil && !c.Asked:
		log.Warn("no API: its default place cannot be had; set DHCP4D_API_LISTEN, or off", "address", string(c.Listen), "error", err)
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("cannot listen at %s: %w; free the port or set %sAPI_LISTEN", c.Listen, err, config.Prefix)
	}
	return &Server{listener, NewHandler(l, c.Token), log}, nil
}

// Name is the component's name in logs and errors.
func (s *Server) Name() string { return "api" }

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadTimeout:       10 * time.Second,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	s.log.Info("API", "address", s.listener.Addr().String())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(s.listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if server.Shutdown(last) != nil {
		_ = server.Close() // the second try cannot be improved upon
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
