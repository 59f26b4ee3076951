package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/daemon"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
)

type settings struct {
	daemon daemon.Settings
	vars   []config.Variable
}

func (s settings) Settings() daemon.Settings    { return s.daemon }
func (s settings) Variables() []config.Variable { return s.vars }
func (s settings) Warnings() []string           { return []string{"mind the gap"} }

func load(environ []string) (settings, error) {
	var raw struct {
		Metrics  config.Listen `env:"METRICS_LISTEN" envDefault:"127.0.0.1:0" desc:"metrics"`
		Pool     string        `env:"POOL,required" desc:"pool"`
		Settings daemon.Settings
	}
	l := config.New("DHCP4D_", environ)
	l.Parse(&raw)
	raw.Settings.MetricsListen = raw.Metrics
	return settings{raw.Settings, l.Variables()}, l.Err()
}

func program(serve func(ctx context.Context, rt *daemon.Runtime, c settings) error) daemon.Program[settings] {
	return daemon.Program[settings]{Daemon: drop.DHCP4D, Version: "v1", About: "tests", Load: load, Serve: serve}
}

func TestSwitchesAndCommands(t *testing.T) {
	served := errors.New("served")
	p := program(func(_ context.Context, _ *daemon.Runtime, c settings) error {
		for _, v := range c.vars {
			if v.Name == "DHCP4D_POOL" && v.Value == "switched" {
				return served
			}
		}
		return nil
	})
	p.Switches = []daemon.Switch{{Flag: "-swap", Variable: "DHCP4D_POOL=switched", About: "from the other pool"}}
	var got []string
	p.Commands = []daemon.Command{{Name: "leases", About: "look at leases",
		Run: func(_ context.Context, args, _ []string, stdout, _ io.Writer) error {
			got = args
			_, err := io.WriteString(stdout, "listed\n")
			return err
		}}}
	environ := []string{"DHCP4D_POOL=p", "DHCP4D_METRICS_LISTEN=" + metricsAt(t)}
	var stdout buffer
	if err := p.Run(t.Context(), []string{"--swap"}, environ, &stdout, io.Discard); !errors.Is(err, served) {
		t.Errorf("a switch sets its variable and serves: %v", err)
	}
	if err := p.Run(t.Context(), []string{"leases", "list", "-h"}, environ, &stdout, io.Discard); err != nil ||
		strings.Join(got, " ") != "list -h" || stdout.String() != "listed\n" {
		t.Errorf("the command got %q and wrote %q: %v", got, stdout.String(), err)
	}
	if err := p.Run(t.Context(), []string{"-h"}, nil, &stdout, io.Discard); err != nil ||
		!strings.Contains(stdout.String(), "-swap      serve from the other pool") || !strings.Contains(stdout.String(), "leases     look at leases; leases -h") {
		t.Errorf("%v\n%s", err, stdout.String())
	}
}

// buffer is written by the daemon while the test reads.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestCommandLine(t *testing.T) {
	served := errors.New("served")
	p := program(func(context.Context, *daemon.Runtime, settings) error { return served })
	ok := []string{"DHCP4D_POOL=p"}
	tests := []struct {
		name          string
		args, environ []string
		stdout, err   string // parts
	}{
		{"no argument serves", nil, ok, "", "served"},
		{"-h lists the variables of an empty environment", []string{"-h"}, nil, "DHCP4D_POOL", ""},
		{"--help is -h", []string{"--help"}, nil, "dhcp4d -check", ""},
		{"-version", []string{"-version"}, nil, "dhcp4d v1 (", ""},
		{"-check prints what is in effect", []string{"-check"}, ok, "DHCP4D_POOL=p # environment", ""},
		{"-check names mistakes", []string{"-check"}, nil, "", "DHCP4D_POOL: not set"},
		{"unknown argument", []string{"-frob"}, ok, "", "unknown arguments"},
		{"word", []string{"check"}, ok, "", "unknown arguments"},
		{"too many arguments", []string{"-check", "-h"}, ok, "", "unknown arguments"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr buffer
			err := p.Run(t.Context(), tt.args, tt.environ, &stdout, &stderr)
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if !strings.Contains(stdout.String(), tt.stdout) {
				t.Errorf("stdout lacks %q:\n%s", tt.stdout, stdout.String())
			}
			if tt.name == "-check prints what is in effect" && !strings.Contains(stderr.String(), "warning: mind the gap") {
				t.Errorf("no warning: %s", stderr.String())
			}
		})
	}
}

// metricsAt is a free port: the daemon prints where it listens in its log only.
func metricsAt(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

func TestLife(t *testing.T) {
	at := metricsAt(t)
	notify := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }()
	t.Setenv("NOTIFY_SOCKET", notify)

	reload := make(chan error, 1)
	started, reloading, backend := make(chan struct{}), make(chan struct{}), make(chan *daemon.Condition, 1)
	p := program(func(ctx context.Context, rt *daemon.Runtime, _ settings) error {
		backend <- rt.Ready.Condition("backend", "none answers yet")
		rt.OnReload(func() (daemon.Settings, error) {
			reloading <- struct{}{}
			err := <-reload
			rt.Log.Debug("said before the level is changed")
			return daemon.Settings{LogLevel: slog.LevelDebug}, err
		})
		return rt.Run(ctx,
			daemon.Func("idle", func(ctx context.Context) error { close(started); <-ctx.Done(); return nil }),
			daemon.Func("cancelled", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }),
		)
	})
	var stderr buffer
	done := make(chan error, 1)
	environ := []string{"DHCP4D_POOL=p", "DHCP4D_METRICS_LISTEN=" + at}
	go func() { done <- p.Run(t.Context(), nil, environ, io.Discard, &stderr) }()
	<-started

	if code, body := get(t, "http://"+at+"/healthz"); code != 200 || body != "ok\n" {
		t.Errorf("healthz: %d %q", code, body)
	}
	if code, body := get(t, "http://"+at+"/readyz"); code != 503 || body != "running: ok\nbackend: none answers yet\n" {
		t.Errorf("readyz before: %d %q", code, body)
	}
	c := <-backend
	c.Met()
	if code, body := get(t, "http://"+at+"/readyz"); code != 200 || body != "running: ok\nbackend: ok\n" {
		t.Errorf("readyz after: %d %q", code, body)
	}
	expectNotification(t, manager, "READY=1")
	if err := p.Run(t.Context(), []string{"-health"}, environ, io.Discard, io.Discard); err != nil {
		t.Errorf("-health of a daemon that lives: %v", err)
	}
	if code, _ := get(t, "http://"+at+"/debug/pprof/"); code != 404 {
		t.Errorf("profiles are served without being asked for: %d", code)
	}

	expect := func(series string) {
		t.Helper()
		if _, body := get(t, "http://"+at+"/metrics"); !strings.Contains(body, "\n"+series+"\n") {
			t.Errorf("no %q among the metrics", series)
		}
	}
	expect("dhcp4d_ready 1")
	expect("dhcp4d_panics_total 0")
	expect("dhcp4d_config_last_reload_successful 1")
	// What a reload came to is to be seen when the next one is asked for.
	hangup(t)
	<-reloading
	reload <- errors.New("refused")
	hangup(t)
	<-reloading
	expect("dhcp4d_config_last_reload_successful 0")
	reload <- nil
	hangup(t)
	<-reloading
	expect("dhcp4d_config_last_reload_successful 1")
	reload <- nil
	if strings.Contains(stderr.String(), "said before") {
		t.Error("a debug message at level info")
	}
	hangup(t)
	<-reloading
	reload <- nil

	if err := unix.Kill(os.Getpid(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	expectNotification(t, manager, "STOPPING=1")
	for _, part := range []string{"starting", "mind the gap", "ready", "not reloaded", "refused", "stopping", "stopped", "said before the level is changed"} {
		if !strings.Contains(stderr.String(), part) {
			t.Errorf("the log lacks %q:\n%s", part, stderr.String())
		}
	}
}

func hangup(t *testing.T) {
	t.Helper()
	if err := unix.Kill(os.Getpid(), unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

func expectNotification(t *testing.T, manager *net.UnixConn, want string) {
	t.Helper()
	if err := manager.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	n, err := manager.Read(b)
	if err != nil || string(b[:n]) != want {
		t.Errorf("service manager got %q, %v, want %q", b[:n], err, want)
	}
}

func TestFailures(t *testing.T) {
	broken := errors.New("broken")
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	tests := []struct {
		name  string
		env   string
		serve func(ctx context.Context, rt *daemon.Runtime) error
		want  string
	}{
		{"the first component that fails ends all", "", func(ctx context.Context, rt *daemon.Runtime) error {
			return rt.Run(ctx,
				daemon.Func("good", func(ctx context.Context) error { <-ctx.Done(); return nil }),
				daemon.Func("bad", func(context.Context) error { return broken }))
		}, "bad: broken"},
		{"a component that ends by itself is a failure", "", func(ctx context.Context, rt *daemon.Runtime) error {
			return rt.Run(ctx, daemon.Func("short", func(context.Context) error { return nil }))
		}, "short: stopped by itself"},
		{"metrics port in use", "DHCP4D_METRICS_LISTEN=" + taken.Addr().String(), nil,
			"cannot listen at " + taken.Addr().String() + ": listen tcp " + taken.Addr().String() + ": bind: address already in use; free the port or set DHCP4D_METRICS_LISTEN"},
		{"debug port in use", "DHCP4D_DEBUG_LISTEN=" + taken.Addr().String(), nil, "DHCP4D_DEBUG_LISTEN"},
		{"log format", "DHCP4D_LOG_FORMAT=xml", nil, `DHCP4D_LOG_FORMAT: "xml" is no log format; give tint, json or text`},
		{"log level", "DHCP4D_LOG_LEVEL=loud", nil, "DHCP4D_LOG_LEVEL"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := program(func(ctx context.Context, rt *daemon.Runtime, _ settings) error { return tt.serve(ctx, rt) })
			err := p.Run(t.Context(), nil, []string{"DHCP4D_POOL=p", tt.env}, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestProfilesHaveAListenerOfTheirOwn(t *testing.T) {
	at := metricsAt(t)
	ctx, stop := context.WithCancel(t.Context())
	p := program(func(ctx context.Context, rt *daemon.Runtime, _ settings) error {
		return rt.Run(ctx, daemon.Func("test", func(ctx context.Context) error {
			if code, _ := get(t, "http://"+at+"/debug/pprof/"); code != 200 {
				t.Errorf("profiles: %d", code)
			}
			stop()
			<-ctx.Done()
			return nil
		}))
	})
	if err := p.Run(ctx, nil, []string{"DHCP4D_POOL=p", "DHCP4D_DEBUG_LISTEN=" + at}, io.Discard, io.Discard); err != nil {
		t.Error(err)
	}
}
