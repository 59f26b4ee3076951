package access

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const token = "s3cret-s3cret-s3cret"

func TestOpen(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	shown := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	refused := NewRefused(prometheus.NewRegistry(), "dhcp4d", log)
	open := func(c Config) (*Server, error) {
		c.Prefix = "DHCP4D_"
		return c.Open(shown, nil, refused, log)
	}
	if s, err := open(Config{}); s != nil || err != nil {
		t.Errorf("off: %v, %v", s, err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().String()
	if s, err := open(Config{Listen: Listen(at), Token: token}); s != nil || err != nil {
		t.Errorf("the default address is taken: %v, %v", s, err)
	}
	if _, err := open(Config{Listen: Listen(at), Asked: true, Token: token}); err == nil || !strings.Contains(err.Error(), "free the port or set DHCP4D_API_LISTEN") {
		t.Errorf("an address asked for is taken: %v", err)
	}
	if s, err := open(Config{Listen: "127.0.0.1:0"}); s != nil || err != nil {
		t.Errorf("there is no place for a token: %v, %v", s, err)
	}
	var nowhere Config
	nowhere.Listen = "127.0.0.1:0"
	nowhere.In(filepath.Join(t.TempDir(), "missing"))
	if s, err := open(nowhere); s != nil || err != nil {
		t.Errorf("the token cannot be kept: %v, %v", s, err)
	}
	nowhere.Asked = true
	if _, err := open(nowhere); err == nil {
		t.Error("the token of an API that was asked for cannot be kept, and nobody says so")
	}
	path := filepath.Join(t.TempDir(), "api-token")
	s, err := open(Config{Listen: "127.0.0.1:0", TokenPath: path})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	made, err := ReadToken(path)
	if err != nil {
		t.Fatal(err)
	}
	for shown, want := range map[string]int{made: http.StatusOK, "": http.StatusUnauthorized} {
		r, err := getAs(t, shown, "http://"+s.Addr().String()+"/v1/leases")
		if err != nil {
			t.Fatal(err)
		}
		if r.StatusCode != want {
			t.Errorf("token %q: %s, want %d", shown, r.Status, want)
		}
		_ = r.Body.Close()
	}
	if n := testutil.ToFloat64(refused); n != 1 {
		t.Errorf("%v refused requests are counted, want 1", n)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("ends with %v", err)
	}
}

// getAs makes a request with a token over the network.
func getAs(t *testing.T, token, url string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return http.DefaultClient.Do(r)
}

func TestTheTokenOfTheFirstStart(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "api-token")
	made, err := makeToken(path)
	if err != nil || len(made) < 26 {
		t.Fatalf("%q, %v", made, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: only the owner may read it", info.Mode(), err)
	}
	if again, err := makeToken(path); err != nil || again != made {
		t.Errorf("the next start: %q, %v, want %q", again, err, made)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v, %v: nothing but the token is left", files, err)
	}
	for content, want := range map[string]string{
		"":                       "is empty; remove it",
		" \n":                    "is empty; remove it",
		string(make([]byte, 27)): "zero octets only, as a power cut may leave it; remove it",
		"half\x00\x00":           "no HTTP header can carry; remove it",
		"two words\n":            "no HTTP header can carry; remove it",
		"ABCDEFGHIJKLM":          "holds 13 characters, which may be guessed; remove it", // cut
	} {
		t.Run(fmt.Sprintf("OP-4 %q", content), func(t *testing.T) {
			if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if token, err := makeToken(path); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q, %v, want %q", token, err, want)
			}
		})
	}
	if _, err := makeToken(filepath.Join(dir, "missing", "api-token")); err == nil {
		t.Error("a directory that is not there")
	}
}
