package e2e

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/client"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/site"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/tshark"
)

func TestCaptures(t *testing.T) {
	t.Run("tshark finds no malformed packet and no bad checksum on both links", func(t *testing.T) {
		b := start(t)
		dir := t.TempDir()
		var files []string
		var captures []*netlab.Capture
		for _, name := range []string{"access", "core"} {
			file := filepath.Join(dir, name+".pcap")
			capture, err := b.Server.Capture(name, file)
			if err != nil {
				t.Fatal(err)
			}
			files, captures = append(files, file), append(captures, capture)
		}
		for i, via := range site.Ways {
			c := b.client(via, i+1, client.Options{Servers: nil})
			l := b.obtain(c)
			if _, err := c.Renew(t.Context(), l); err != nil {
				t.Error(err)
			}
			if via == site.Multicast {
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
				netlab.Skip(t, err.Error())
			}
			if err != nil {
				t.Fatal(err)
			}
			if packets < 12 { // two clients on each: DISCOVER, OFFER, REQUEST, ACK twice, RELEASE
				t.Errorf("only %d packets in %s", packets, file)
			}
			if len(faults) > 0 {
				t.Errorf("%s:\n%s", file, strings.Join(faults, "\n"))
			}
		}
	})
}
