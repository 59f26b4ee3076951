package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

// healthTime is the longest wait for the answer of a daemon that is alive.
const healthTime = 3 * time.Second

// health asks a daemon, by the address of its metrics, whether it is alive. It is the health check
// of a container whose image has no other program. It does not ask whether the daemon is ready: a
// restart would not help that.
func health(ctx context.Context, at config.Listen, stdout io.Writer) error {
	if at == "" {
		return errors.New("cannot ask: METRICS_LISTEN is unset")
	}
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{
		Scheme: "http", Host: reachable(at), Path: "/healthz",
	}).String(), nil)
	if err != nil {
		return fmt.Errorf("asking at %s: %w", at, err)
	}
	// Without a proxy that the environment may name.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	defer answer.Body.Close() //nolint:errcheck // nothing was written to it
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("answered %s", answer.Status)
	}
	_, err = io.Copy(stdout, io.LimitReader(answer.Body, 4<<10))
	return err
}

// reachable returns the address to connect to for a server that listens at the given one, which may
// stand for all addresses.
func reachable(at config.Listen) string {
	host, port, err := net.SplitHostPort(string(at))
	if err != nil {
		return string(at)
	}
	if a, err := netip.ParseAddr(host); host == "" || (err == nil && a.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
