package daemon

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
)

func TestHealth(t *testing.T) {
	code := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/healthz" {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte("ok\n"))
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	var out bytes.Buffer
	if err := health(t.Context(), config.Listen("0.0.0.0:"+port), &out); err != nil || out.String() != "ok\n" {
		t.Errorf("a daemon that lives: %q, %v", out.String(), err)
	}
	code = http.StatusServiceUnavailable
	if err := health(t.Context(), config.Listen(":"+port), &out); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("a daemon that says no: %v", err)
	}
	server.Close()
	if err := health(t.Context(), config.Listen(":"+port), &out); err == nil {
		t.Error("a daemon that is not there is healthy")
	}
}

func TestReachable(t *testing.T) {
	for at, want := range map[config.Listen]string{
		":9547":             "localhost:9547",
		"[::]:9547":         "localhost:9547",
		"0.0.0.0:9547":      "localhost:9547",
		"[2001:db8::1]:80":  "[2001:db8::1]:80",
		"dhcp6d.lan:9547":   "dhcp6d.lan:9547",
		"192.0.2.1:9547":    "192.0.2.1:9547",
		"[fe80::1%eth0]:80": "[fe80::1%eth0]:80",
	} {
		if got := reachable(at); got != want {
			t.Errorf("%s: %s, want %s", at, got, want)
		}
	}
}
