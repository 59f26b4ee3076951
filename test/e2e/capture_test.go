package e2e

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
	"github.com/dhcp4o6/dhcp4o6/test/tshark"
)

func TestCaptures(t *testing.T) {
	t.Parallel()
	t.Run("tshark finds no malformed packet and no bad checksum on both links", func(t *testing.T) {
		t.Parallel()
		b := start(t)
		dir := t.TempDir()
		var files []string
		var captures []*netns.Capture
		for _, name := range []string{"access", "core"} {
			file := filepath.Join(dir, name+".pcap")
			capture, err := b.Server.Capture(name, file)
			if err != nil {
				t.Fatal(err)
			}
			files, captures = append(files, file), append(captures, capture)
		}
		for i, via := range topology.Ways {
			c := b.client(via, i+1, client.Options{Servers: nil})
			l := b.obtain(c)
			if _, err := c.Renew(t.Context(), l); err != nil {
				t.Error(err)
			}
			if via == topology.Multicast {
				if _, err := c.Information(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if err := c.Release(l); err != nil {
				t.Error(err)
			}
		}
		for i, file := range files {
			if err := captures[i].Close(); err != nil {
				t.Fatal(err)
			}
			faults, packets, err := tshark.Check(file)
			if errors.Is(err, tshark.ErrMissing) {
				netnstest.Skip(t, err.Error())
			}
			if err != nil {
				t.Fatal(err)
			}
			if packets < 12 { // two clients on each, with DISCOVER, OFFER, two REQUESTs, two ACKs and a RELEASE
				t.Errorf("only %d packets in %s", packets, file)
			}
			if len(faults) > 0 {
				t.Errorf("%s:\n%s", file, strings.Join(faults, "\n"))
			}
		}
	})
}
