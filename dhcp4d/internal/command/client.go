package command

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
)

// client is a client of the API.
type client struct {
	base  string
	token string
	http  http.Client
}

// clientFlag is the flag that names the daemon.
func clientFlag(f *flag.FlagSet) *string {
	return f.String("api", "", "`URL` of the API (default http:// and DHCP4D_API_LISTEN)")
}

func (c *call) client(base string) (*client, error) {
	own, err := config.LoadAPI(c.environ)
	if err != nil {
		return nil, err
	}
	if base == "" {
		if own.Listen == "" {
			return nil, fmt.Errorf("DHCP4D_API_LISTEN is off; name a daemon with -api URL")
		}
		base = "http://" + reachable(string(own.Listen))
	}
	// The proxy of the environment is for the way out, not for a daemon.
	return &client{strings.TrimSuffix(base, "/"), own.Token, http.Client{Transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext, ResponseHeaderTimeout: time.Minute,
	}}}, nil
}

// reachable is where to connect to in order to reach who listens at a place.
func reachable(at string) string {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return at
	}
	if a, err := netip.ParseAddr(host); host == "" || err == nil && a.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// do makes a request and returns the body of a good answer.
func (x *client) do(c *call, method, path string, query url.Values, body any) (io.ReadCloser, error) {
	target := x.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var content io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(c.ctx, method, target, content)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if x.token != "" {
		r.Header.Set("Authorization", "Bearer "+x.token)
	}
	answer, err := x.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("no answer from the API: %w; is dhcp4d running, and this its API?", err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close() //nolint:errcheck // nothing was written to it
	if answer.StatusCode == http.StatusUnauthorized {
		return nil, fmt.Errorf("the API does not know us: set DHCP4D_API_TOKEN (or DHCP4D_API_TOKEN_FILE) to the daemon's")
	}
	var problem struct{ Error string }
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if json.Unmarshal(text, &problem) != nil || problem.Error == "" {
		problem.Error = answer.Status
	}
	return nil, fmt.Errorf("%s", problem.Error)
}

// get decodes one object.
func (x *client) get(c *call, method, path string, body, into any) error {
	b, err := x.do(c, method, path, nil, body)
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // nothing was written to it
	return json.NewDecoder(b).Decode(into)
}
