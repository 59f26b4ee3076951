package access

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/exit"
)

// Client is a client of a daemon's API.
type Client struct {
	base, token, daemon string
	prefix, home        string
	http                http.Client
	key                 func() []byte // of proofs
}

// Client makes a client of a daemon that is configured like us. Base is its URL, if it is another.
func (c Config) Client(base string) (_ *Client, err error) {
	if base == "" {
		if c.Listen == "" {
			return nil, exit.CannotAsk(fmt.Errorf("%sAPI_LISTEN is off; name a daemon with -api URL", c.Prefix))
		}
		base = "http://" + reachable(string(c.Listen))
	}
	token := c.Token
	if token == "" && c.TokenPath != "" {
		// Without the file, the daemon's answer says that the token is missing.
		if token, err = ReadToken(c.TokenPath); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, exit.CannotAsk(err)
		}
	}
	daemon := strings.ToLower(strings.TrimSuffix(c.Prefix, "_"))
	x := &Client{
		base: strings.TrimSuffix(base, "/"), token: token, daemon: daemon, prefix: c.Prefix, home: c.Home,
		key: sync.OnceValue(func() []byte { return proofKey(token) }),
	}
	// The proxy of the environment is not for a daemon.
	x.http.Transport = &http.Transport{DialContext: x.dial, ResponseHeaderTimeout: time.Minute}
	return x, nil
}

// HasToken reports whether the client has a token to show.
func (x *Client) HasToken() bool { return x.token != "" }

// reachable returns the address to connect to for a server that listens at the given one.
func reachable(at string) string {
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return at
	}
	if a, err := netip.ParseAddr(host); host == "" || (err == nil && a.IsUnspecified()) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// Do makes a request and returns the body of a good answer, which the caller closes. A body that is
// not nil goes as JSON.
func (x *Client) Do(ctx context.Context, method, path string, query url.Values, body any) (io.ReadCloser, error) {
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
	r, err := http.NewRequestWithContext(ctx, method, target, content)
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
	if errors.Is(err, errRefused) {
		return nil, exit.CannotAsk(fmt.Errorf("%w: %s", errRefused, x.advice()))
	}
	if errors.Is(err, errUnproven) {
		return nil, exit.CannotAsk(fmt.Errorf("%w: %s; or another program has the port of the API; "+
			"or the daemon is of an older version, and must be restarted", err, x.advice()))
	}
	if err != nil {
		return nil, exit.CannotAsk(fmt.Errorf("no answer from the API: %w; is %s running, and this its API?",
			err, x.daemon))
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close() //nolint:errcheck // nothing was written to it
	if answer.StatusCode == http.StatusUnauthorized {
		return nil, exit.CannotAsk(fmt.Errorf("%w: %s", errRefused, x.advice()))
	}
	var problem struct{ Error string }
	text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if json.Unmarshal(text, &problem) != nil || problem.Error == "" {
		problem.Error = answer.Status
	}
	err = errors.New(inFlags(problem.Error, query, body))
	switch {
	case answer.StatusCode == http.StatusNotFound:
		return nil, exit.NotFound(err)
	case answer.StatusCode >= http.StatusInternalServerError:
		return nil, exit.CannotAsk(err)
	}
	return nil, err
}

// inFlags says what is wrong in the words of a person who gave flags: a parameter is the flag of
// its name, with hyphens.
func inFlags(problem string, query url.Values, body any) string {
	parameters := slices.Collect(maps.Keys(query))
	if fields, ok := body.(map[string]any); ok {
		parameters = slices.AppendSeq(parameters, maps.Keys(fields))
	}
	lines := strings.Split(problem, "\n")
	for i, line := range lines {
		if name, rest, ok := strings.Cut(line, ": "); ok && slices.Contains(parameters, name) {
			lines[i] = "-" + strings.ReplaceAll(name, "_", "-") + ": " + rest
		}
	}
	return strings.Join(lines, "\n")
}

// advice is what to do if a daemon has another token.
func (x *Client) advice() string {
	return fmt.Sprintf("set %[1]sAPI_TOKEN or %[1]sAPI_TOKEN_FILE to the daemon's, or if it has none, "+
		"%[1]s%[2]s to the daemon's, whose directory holds the token", x.prefix, x.home)
}

// Get makes a request and decodes its answer, one object.
func (x *Client) Get(ctx context.Context, method, path string, body, into any) error {
	b, err := x.Do(ctx, method, path, nil, body)
	if err != nil {
		return err
	}
	defer b.Close() //nolint:errcheck // nothing was written to it
	return json.NewDecoder(b).Decode(into)
}
