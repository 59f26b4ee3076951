package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/site"
)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

// served is the site with both daemons.
func served(t *testing.T, leaseTime time.Duration) *site.Site {
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
	config := site.Config(t.TempDir())
	config.LeaseTime = leaseTime
	if _, _, err := pair.Start(s.Server, pair.Ours, pair.Ours, config); err != nil {
		t.Fatal(err)
	}
	return s
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

func TestProgram(t *testing.T) {
	t.Run("keeps its address over a restart", func(t *testing.T) {
		s := served(t, time.Hour)
		state := filepath.Join(t.TempDir(), "lease")
		var out bytes.Buffer
		first := events(t.Context(), t, s, &out, "-once", "-state", state)
		second := events(t.Context(), t, s, &out, "-once", "-state", state)
		if len(first) != 1 || len(second) != 1 || first[0].Event != "obtained" || second[0].Event != "confirmed" ||
			first[0].Address != second[0].Address || !site.Direct.Prefix.Contains(first[0].Address) || first[0].Mask != 24 || len(first[0].DNS) != 1 {
			t.Errorf("first %+v, then %+v", first, second)
		}
	})
	t.Run("renews at T1 and releases when it ends", func(t *testing.T) {
		s := served(t, 4*time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		var out bytes.Buffer
		var got []string
		for _, l := range events(ctx, t, s, &out) {
			got = append(got, l.Event)
		}
		if strings.Join(got, " ") != "obtained renewed released" {
			t.Errorf("reported %v", got)
		}
	})
}
