package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/signal"
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
			if (err == nil) != (tt.err == "") || (err != nil && !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if !strings.Contains(stdout.String(), tt.stdout) {
				t.Errorf("stdout lacks %q:\n%s", tt.stdout, stdout.String())
			}
		})
	}
}

func TestOP_1_CheckWarnsLast(t *testing.T) {
	p := program(nil)
	p.Host = func(settings) []string { return []string{"no interface"} }
	var both buffer
	environ := []string{"DHCP4D_POOL=p", "DHCP4D_METRICS_LISTEN=192.0.2.77:1"}
	if err := p.Run(t.Context(), []string{"-check"}, environ, &both, &both); err != nil {
		t.Fatal(err)
	}
	want := "dhcp4d: warning: mind the gap\n" +
		"dhcp4d: warning: DHCP4D_METRICS_LISTEN: this host has no address 192.0.2.77 now; correct it, or add the address before the start\n" +
		"dhcp4d: warning: no interface\n"
	if !strings.HasSuffix(both.String(), want) || strings.Count(both.String(), "warning") != 3 {
		t.Errorf("-check prints\n%s\nwant at its end\n%s", both.String(), want)
	}
}

func TestHasAddress(t *testing.T) {
	for a, has := range map[string]bool{
		"::": true, "0.0.0.0": true, "127.0.0.1": true, "::1": true, "2001:db8::77": false, "::ffff:127.0.0.1": true, "fe80::77%lo": false,
	} {
		if got := daemon.HasAddress("X", netip.MustParseAddr(a)) == ""; got != has {
			t.Errorf("%s: %v, want %v", a, got, has)
		}
	}
	for at, ok := range map[config.Listen]bool{":80": true, "localhost:80": true, "[2001:db8::77]:80": false, "": true} {
		if got := daemon.Listens("X", at) == ""; got != ok {
			t.Errorf("%q: %v, want %v", at, got, ok)
		}
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
			return daemon.Settings{LogLevel: daemon.Level{Level: slog.LevelDebug}}, err
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
	for _, want := range []string{
		"STATUS=Starting", "STATUS=Not ready. running: starting; backend: none answers yet",
		"STATUS=Not ready. backend: none answers yet", "READY=1\nSTATUS=Serving",
	} {
		expectNotification(t, manager, want)
	}
	c.Unmet("silent")
	expectNotification(t, manager, "STATUS=Not ready. backend: silent")
	c.Unmet("deaf")
	expectNotification(t, manager, "STATUS=Not ready. backend: deaf")
	c.Met()
	expectNotification(t, manager, "STATUS=Serving")
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
	if strings.Contains(stderr.String(), "said before") {
		t.Error("a debug message at level info")
	}
	reload <- nil
	hangup(t)
	<-reloading
	reload <- nil

	if err := unix.Kill(os.Getpid(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("after SIGTERM: %v", err)
	}
	expectNotification(t, manager, "STOPPING=1\nSTATUS=Stopping")
	for _, part := range []string{"starting", "mind the gap", "ready", "not reloaded", "refused", "stopping", "stopped", "said before the level is changed"} {
		if !strings.Contains(stderr.String(), part) {
			t.Errorf("the log lacks %q:\n%s", part, stderr.String())
		}
	}
}

func TestStopIsNotLostBehindReloads(t *testing.T) {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, unix.SIGHUP) // before the daemon listens, a hangup would end the test
	defer signal.Stop(ignored)
	begun, release, stopped := make(chan struct{}, 16), make(chan struct{}), make(chan struct{})
	p := program(func(ctx context.Context, rt *daemon.Runtime, _ settings) error {
		rt.OnReload(func() (daemon.Settings, error) {
			begun <- struct{}{}
			<-release
			return daemon.Settings{}, nil
		})
		return rt.Run(ctx, daemon.Func("idle", func(ctx context.Context) error {
			<-ctx.Done()
			close(stopped)
			return nil
		}))
	})
	done := make(chan error, 1)
	go func() {
		done <- p.Run(t.Context(), nil, []string{"DHCP4D_POOL=p", "DHCP4D_METRICS_LISTEN=" + metricsAt(t)}, io.Discard, io.Discard)
	}()
	for len(begun) == 0 { // until the daemon listens for signals, a hangup is ignored
		hangup(t)
		time.Sleep(time.Millisecond)
	}
	for range 8 {
		hangup(t)
	}
	if err := unix.Kill(os.Getpid(), unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-stopped // while the reload hangs
	close(release)
	if err := <-done; err != nil {
		t.Errorf("ended with %v", err)
	}
	if n := len(begun); n != 1 {
		t.Errorf("%d reloads began, want the one that hung", n)
	}
}

// A SIGHUP that comes while the configuration is read, or while there is nothing to reload yet, is
// a reload as soon as there is.
func TestEarlyHangupsAreReloads(t *testing.T) {
	for _, when := range []string{"while the configuration is read", "while Serve begins"} {
		t.Run(when, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			reloads := 0
			p := program(func(ctx context.Context, rt *daemon.Runtime, _ settings) error {
				if when == "while Serve begins" {
					hangup(t)
				}
				time.Sleep(20 * time.Millisecond) // for a frame that does not wait
				rt.OnReload(func() (daemon.Settings, error) {
					reloads++
					stop()
					return daemon.Settings{}, nil
				})
				return rt.Run(ctx, daemon.Func("idle", func(ctx context.Context) error {
					<-ctx.Done()
					return nil
				}))
			})
			p.Load = func(environ []string) (settings, error) {
				if when != "while Serve begins" {
					hangup(t)
				}
				return load(environ)
			}
			time.AfterFunc(time.Minute, stop)
			if err := p.Run(ctx, nil, []string{"DHCP4D_POOL=p", "DHCP4D_METRICS_LISTEN=" + metricsAt(t)}, io.Discard, io.Discard); err != nil || reloads != 1 {
				t.Errorf("%d reloads, %v", reloads, err)
			}
		})
	}
}

func hangup(t *testing.T) {
	t.Helper()
	if err := unix.Kill(os.Getpid(), unix.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// The status says why the service is down, also when it never came up.
func TestStatusOfFailure(t *testing.T) {
	notify := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: notify, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }()
	t.Setenv("NOTIFY_SOCKET", notify)
	p := program(func(context.Context, *daemon.Runtime, settings) error {
		return errors.New("opening the IPC: in use\nmore")
	})
	if err := p.Run(t.Context(), nil, []string{"DHCP4D_METRICS_LISTEN=" + metricsAt(t)}, io.Discard, io.Discard); err == nil {
		t.Error("no error without a pool")
	}
	expectNotification(t, manager, "STATUS=configuration: DHCP4D_POOL: not set; give text: pool")
	environ := []string{"DHCP4D_POOL=p", "DHCP4D_METRICS_LISTEN=" + metricsAt(t)}
	if err := p.Run(t.Context(), nil, environ, io.Discard, io.Discard); err == nil {
		t.Error("no error of Serve")
	}
	for _, want := range []string{"STATUS=Starting", "STATUS=Not ready. running: stopped", "STATUS=opening the IPC: in use (the log has more)"} {
		expectNotification(t, manager, want)
	}
}

func expectNotification(t *testing.T, manager *net.UnixConn, want string) {
	t.Helper()
	if err := manager.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 512)
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

func TestATakenPortStopsNoService(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := taken.Addr().String()
	ctx, stop := context.WithCancel(t.Context())
	var stderr buffer
	p := program(func(ctx context.Context, rt *daemon.Runtime, _ settings) error {
		return rt.Run(ctx, daemon.Func("test", func(ctx context.Context) error {
			if err := taken.Close(); err != nil { // while we serve
				t.Error(err)
			}
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
				if r, err := http.Get("http://" + at + "/readyz"); err == nil {
					_ = r.Body.Close()
					break
				}
				if time.Now().After(deadline) {
					t.Error("the port is free and nobody listens there")
					break
				}
			}
			stop()
			<-ctx.Done()
			return nil
		}))
	})
	if err := p.Run(ctx, nil, []string{"DHCP4D_POOL=p", "DHCP4D_METRICS_LISTEN=" + at}, io.Discard, &stderr); err != nil {
		t.Error(err)
	}
	if n := strings.Count(stderr.String(), "address already in use"); n != 1 || !strings.Contains(stderr.String(), "DHCP4D_METRICS_LISTEN") {
		t.Errorf("the failure is logged %d times, want once with its variable:\n%s", n, stderr.String())
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
