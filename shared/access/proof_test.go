package access

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/dhcp4o6/dhcp4o6/shared/exit"
)

// impostor listens in the place of a daemon. It hears what is sent, and answers a request for a
// proof.
type impostor struct {
	at     string
	answer func(nonce string) string

	mu    sync.Mutex
	heard string
}

func newImpostor(t *testing.T, answer func(nonce string) string) *impostor {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	i := &impostor{at: "http://" + l.Addr().String(), answer: answer}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go i.serve(conn)
		}
	}()
	return i
}

func (i *impostor) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	for {
		line, err := in.ReadString('\n')
		i.mu.Lock()
		i.heard += line
		i.mu.Unlock()
		if err != nil {
			return
		}
		if _, rest, ok := strings.Cut(line, "nonce="); ok {
			nonce, _, _ := strings.Cut(rest, "&")
			_, _ = io.WriteString(conn, i.answer(nonce))
		}
	}
}

func (i *impostor) hears(what string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return strings.Contains(i.heard, what)
}

// Whoever listens at the port of a daemon does not get the token of our clients.
func TestTheTokenIsForTheDaemonOnly(t *testing.T) {
	refused := NewRefused(prometheus.NewRegistry(), "dhcp4d", slog.New(slog.DiscardHandler))
	shown := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "leases") })
	daemon := httptest.NewServer(NewGuard(token, refused, shown))
	defer daemon.Close()
	ask := func(ctx context.Context, base, token string) (string, error) {
		x, err := Config{Prefix: "DHCP4D_", Home: "STORE", Token: token}.Client(base)
		if err != nil {
			t.Fatal(err)
		}
		body, err := x.Do(ctx, http.MethodGet, "/v1/leases", url.Values{}, nil)
		if err != nil {
			return "", err
		}
		defer func() { _ = body.Close() }()
		text, err := io.ReadAll(body)
		return string(text), err
	}
	if got, err := ask(t.Context(), daemon.URL, token); err != nil || got != "leases" {
		t.Fatalf("the daemon: %q, %v", got, err)
	}
	answering := func(text string) string {
		return "HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + text
	}
	for name, answer := range map[string]func(nonce string) string{
		"that knows nothing":           func(string) string { return "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n" },
		"like a daemon of before":      func(string) string { return "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n" },
		"that says yes":                func(string) string { return answering(strings.Repeat("0", 64)) },
		"with the proof of a guess":    func(nonce string) string { return answering(proof(proofKey(token+"x"), byDaemon, nonce)) },
		"with a proof that it has got": func(string) string { return answering(proof(proofKey(token), byDaemon, "AAAAAAAAAAAAAAAAAAAAAAAAAA")) },
		"with the proof of the client": func(nonce string) string { return answering(proof(proofKey(token), byClient, nonce)) },
		"that refuses":                 func(string) string { return "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n" },
		"that says nothing":            func(string) string { return "" },
		"that answers twice": func(nonce string) string {
			return answering(proof(proofKey(token), byDaemon, nonce)) + "HTTP/1.1 200 OK\r\n\r\n"
		},
		"that speaks another language": func(string) string { return "220 ready\r\n" },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			i := newImpostor(t, func(nonce string) string {
				said := answer(nonce)
				if said == "" {
					cancel() // who has asked gives up
				}
				return said
			})
			if got, err := ask(ctx, i.at, token); exit.Code(err) != exit.StatusCannotAsk {
				t.Errorf("%q, %v", got, err)
			}
			if !i.hears(proofPath) || i.hears(token) || i.hears("Authorization") {
				t.Errorf("it hears %q", i.heard)
			}
		})
	}
	t.Run("a daemon with another token", func(t *testing.T) {
		_, err := ask(t.Context(), daemon.URL, token+"x")
		if err == nil || !strings.Contains(err.Error(), "the API refused our token: set DHCP4D_API_TOKEN") {
			t.Error(err)
		}
		if n := testutil.ToFloat64(refused); n != 1 {
			t.Errorf("%v requests count as refused", n)
		}
	})
	t.Run("a short token, of which there is no proof", func(t *testing.T) {
		short := httptest.NewServer(NewGuard("short", refused, shown))
		defer short.Close()
		if got, err := ask(t.Context(), short.URL, "short"); err != nil || got != "leases" {
			t.Errorf("%q, %v", got, err)
		}
		r, err := http.Get(short.URL + proofPath + "?nonce=AAAAAAAAAAAAAAAAAAAAAAAAAA")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		if r.StatusCode != http.StatusNotFound {
			t.Errorf("%s", r.Status)
		}
	})
	if n := testutil.ToFloat64(refused); n != 1 {
		t.Errorf("%v requests count as refused", n)
	}
}
