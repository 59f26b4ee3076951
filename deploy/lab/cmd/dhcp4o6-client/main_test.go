package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/site"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

// served is the site with both daemons.
func served(t *testing.T, leaseTime time.Duration) *site.Site {
	t.Helper()
	s, _, _, _ := servedBy(t, leaseTime, "multicast")
	return s
}

func servedBy(t *testing.T, leaseTime time.Duration, option88 string) (s *site.Site, config pair.Config, six, four *pair.Half) {
	t.Helper()
	lab := netlab.Test(t)
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := pair.Find(name); err != nil {
			netlab.Skip(t, err.Error())
		}
	}
	s, err := site.New(lab)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	config = site.Config(t.TempDir())
	config.LeaseTime, config.Option88 = leaseTime, option88
	config.Env = []string{"DHCP6D_DNS_SERVERS=2001:db8::53"} // something to tell without option 88
	if six, four, err = pair.Start(s.Server, pair.Ours, pair.Ours, config); err != nil {
		t.Fatal(err)
	}
	return s, config, six, four
}

// events runs the program on the clients' host and returns what it reported.
func events(ctx context.Context, t *testing.T, s *site.Site, out *bytes.Buffer, args ...string) []line {
	t.Helper()
	out.Reset()
	args = append([]string{"-i", "access", "-json"}, args...)
	if err := s.Clients.Do(func() error { return run(ctx, args, out) }); err != nil {
		t.Fatal(err)
	}
	var lines []line
	for text := range strings.Lines(out.String()) {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines
}

// eventsOf lists them in one line.
func eventsOf(lines []line) string {
	var got []string
	for _, l := range lines {
		got = append(got, string(l.Event))
	}
	return strings.Join(got, " ")
}

func TestProgram(t *testing.T) {
	t.Run("keeps its address over a restart", func(t *testing.T) {
		s := served(t, time.Hour)
		state := filepath.Join(t.TempDir(), "lease")
		var out bytes.Buffer
		first := events(t.Context(), t, s, &out, "-once", "-state", state)
		second := events(t.Context(), t, s, &out, "-once", "-state", state)
		if eventsOf(first) != "learned obtained" || eventsOf(second) != "learned confirmed" ||
			first[1].Address != second[1].Address || !site.Direct.Prefix.Contains(first[1].Address) || first[1].Mask != 24 || len(first[1].DNS) != 1 {
			t.Errorf("first %+v, then %+v", first, second)
		}
	})
	t.Run("renews at T1 and releases when it ends", func(t *testing.T) {
		s := served(t, 4*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var out bytes.Buffer
		if got := eventsOf(events(ctx, t, s, &out)); got != "learned obtained renewed released" {
			t.Errorf("reported %s", got)
		}
	})
	t.Run("Q-13 stops, and takes the address away, when option 88 vanishes; starts again when it is back", func(t *testing.T) {
		s, config, six, _ := servedBy(t, time.Hour, "multicast")
		var out bytes.Buffer
		restart := func(after time.Duration, option string) {
			time.Sleep(after)
			six.Kill()
			config.Option88 = option
			var err error
			if six, err = pair.StartV6(s.Server, pair.Ours, config, false); err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			restart(500*time.Millisecond, "")
			restart(3500*time.Millisecond, "multicast")
		})
		lines := events(ctx, t, s, &out, "-refresh", "1s", "-configure", "access")
		all.Wait()
		got := eventsOf(slices.DeleteFunc(slices.Clone(lines), func(l line) bool { return l.Event == client.Missing }))
		if got != "learned obtained stopped learned confirmed released" {
			t.Errorf("reported %s", eventsOf(lines))
		}
	})
	t.Run("rides out a restart of both daemons while its lease is rebound", func(t *testing.T) {
		s, config, six, four := servedBy(t, 8*time.Second, "multicast")
		ctx, cancel := context.WithTimeout(t.Context(), 7900*time.Millisecond)
		defer cancel()
		var all sync.WaitGroup
		all.Go(func() {
			time.Sleep(time.Second)
			six.Kill()
			four.Kill()
			time.Sleep(4 * time.Second) // over T1
			if _, _, err := pair.Start(s.Server, pair.Ours, pair.Ours, config); err != nil {
				t.Error(err)
			}
		})
		var out bytes.Buffer
		lines := events(ctx, t, s, &out)
		all.Wait()
		if got := eventsOf(lines); got != "learned obtained rebound released" || lines[1].Address != lines[2].Address {
			t.Errorf("reported %s", got)
		}
	})
	t.Run("declines, then takes another address", func(t *testing.T) {
		s := served(t, time.Hour)
		ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
		defer cancel()
		var out bytes.Buffer
		lines := events(ctx, t, s, &out, "-decline", "1", "-release=false")
		if got := eventsOf(lines); got != "learned declined obtained kept" || lines[1].Address == lines[2].Address {
			t.Errorf("reported %+v", lines)
		}
	})
	t.Run("plays its own relays", func(t *testing.T) {
		s := served(t, time.Hour)
		var out bytes.Buffer
		run := func() error {
			return run(t.Context(), []string{"-i", "up", "-once", "-relays", "3", "-source", site.Relay1Core.String(), "-link", site.Relay1Lan.String(),
				"-mac", "02:00:00:00:00:09", "-server", site.ServerCore.String()}, &out)
		}
		if err := s.Relay1.Do(run); err != nil || !strings.HasPrefix(out.String(), "obtained 198.51.100.") {
			t.Errorf("%v: %s", err, &out)
		}
	})
}

func TestConfigure(t *testing.T) {
	s := served(t, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out bytes.Buffer
	var ended sync.WaitGroup
	seen := func() (address string, routes []string) {
		err := s.Clients.Do(func() error {
			link, err := netlink.LinkByName("access")
			if err != nil {
				return err
			}
			addrs, err1 := netlink.AddrList(link, unix.AF_INET)
			list, err2 := netlink.RouteList(link, unix.AF_INET)
			for _, a := range addrs {
				if address = a.IPNet.String(); a.ValidLft < 3500 || a.ValidLft > 3600 {
					t.Errorf("the address is valid for %d s", a.ValidLft)
				}
			}
			for _, r := range list {
				if r.Gw != nil {
					routes = append(routes, r.Dst.String()+" "+r.Gw.String())
				}
			}
			return errors.Join(err1, err2)
		})
		if err != nil {
			t.Fatal(err)
		}
		return address, routes
	}
	// The program has its own thread in the namespace, so that the host's is
	// free for looking.
	ended.Go(func() {
		runtime.LockOSThread() // never unlocked: the thread ends with it
		if err := s.Clients.Enter(); err != nil {
			t.Error(err)
			return
		}
		if err := run(ctx, []string{"-i", "access", "-configure", "access"}, &out); err != nil {
			t.Error(err)
		}
	})
	var address string
	var routes []string
	for range 100 {
		if address, routes = seen(); len(routes) > 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if !strings.HasPrefix(address, "192.0.2.") || !strings.HasSuffix(address, "/24") || len(routes) != 1 || routes[0] != "0.0.0.0/0 192.0.2.1" {
		t.Errorf("address %s, routes %v", address, routes)
	}
	cancel()
	ended.Wait()
	if address, routes := seen(); address != "" || len(routes) > 0 {
		t.Errorf("left behind: address %s, routes %v", address, routes)
	}
	if !strings.Contains(out.String(), "released 192.0.2.") {
		t.Errorf("reported %s", &out)
	}
}

func TestMistakes(t *testing.T) {
	for want, args := range map[string][]string{
		"-i is required":       {},
		"finding interface":    {"-i", "nothere"},
		"-server":              {"-i", "lo", "-server", "x"},
		"-mac":                 {"-i", "lo", "-mac", "x"},
		"-relays 10":           {"-i", "lo", "-relays", "10"},
		"-relays needs":        {"-i", "lo", "-relays", "1"},
		"delete it to start":   {"-i", "lo", "-mac", "02:00:00:00:00:01", "-state", "main_test.go"},
		"flag provided but no": {"-nonsense"},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v gives %v, want %q", args, err, want)
		}
	}
}
