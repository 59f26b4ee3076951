package e2e

import (
	"bytes"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/shared/ipc"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// isHMAC reports whether a datagram is authenticated as by versions without sessions.
func isHMAC(b []byte) bool {
	return len(b) >= ipc.SignatureLen && bytes.HasPrefix(b[len(b)-ipc.SignatureLen:], []byte("\x00\x0b\x00\x2b\xfe\x01"))
}

// TestOldPeers: without old peers the daemons neither send nor accept HMAC, from the start, or from
// a reload on. With them, nothing but a sign of life counts under HMAC while there is a session.
func TestOldPeers(t *testing.T) {
	t.Parallel()
	plain := []byte{20, 0, 0, 0}
	refused := `dhcp4d_ipc_refused_total{cause="old_method"}`
	t.Run("IPC-27 none from the start", func(t *testing.T) {
		t.Parallel()
		m := between(t, false, nil, "DHCP6D_IPC_OLD_PEERS=false", "DHCP4D_IPC_OLD_PEERS=false")
		m.obtain(m.client(topology.Multicast, 1, client.Options{}))
		m.mu.Lock()
		for _, p := range m.heard {
			if isHMAC(p.datagram) {
				t.Errorf("a datagram has an HMAC: %x", p.datagram)
			}
		}
		m.mu.Unlock()
		m.deliver(passing{true, old(secret, "dhcp4d", 'q', 1).Sign(plain, time.Now())})
		m.series(m.four, refused, is(1))
		m.deliver(passing{false, old(secret, "dhcp4d", 'r', 1).Sign([]byte{21, 0, 0, 0}, time.Now())})
		m.series(m.six, `dhcp6d_ipc_refused_total{cause="old_method"}`, is(1))
	})
	t.Run("IPC-27 none from a reload on", func(t *testing.T) {
		t.Parallel()
		file := filepath.Join(t.TempDir(), "old")
		write(t, file, "true")
		m := between(t, false, nil, "DHCP4D_IPC_OLD_PEERS_FILE="+file)
		c := m.client(topology.Multicast, 1, client.Options{})
		lease := m.obtain(c)
		sign := old(secret, "dhcp4d", 'q', 1)
		probes := m.value(m.four, "dhcp4d_ipc_probes_total")
		m.deliver(passing{true, sign.Sign(plain, time.Now())})
		m.series(m.four, "dhcp4d_ipc_probes_total", func(n float64) bool { return n > probes })
		// A query that was recorded before the upgrade, such as a RELEASE.
		m.keep(func(p passing) bool { return p.up && !p.isProbe() })
		if err := c.Release(lease); err != nil {
			t.Fatal(err)
		}
		m.series(m.six, "dhcp6d_queries_forwarded_total", func(float64) bool { m.mu.Lock(); defer m.mu.Unlock(); return len(m.kept) > 0 })
		m.keep(nil)
		release := m.take()[0]
		m.deliver(passing{true, sign.Sign(ipc.Content(release.datagram), time.Now())})
		m.series(m.four, refused, is(1))
		write(t, file, "false")
		m.four.Signal(syscall.SIGHUP)
		m.series(m.four, "dhcp4d_config_last_reload_successful", is(1))
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end) && m.value(m.four, refused) < 2; time.Sleep(50 * time.Millisecond) {
			m.deliver(passing{true, sign.Sign(plain, time.Now())})
		}
		m.series(m.four, refused, func(n float64) bool { return n >= 2 })
		for _, h := range []struct {
			half   *servers.Half
			daemon string
		}{{m.six, "dhcp6d"}, {m.four, "dhcp4d"}} {
			if n := m.value(h.half, h.daemon+"_ipc_old_peers"); n != 0 {
				t.Errorf("%s has %v old peers", h.daemon, n)
			}
		}
		if l, err := c.Renew(t.Context(), lease); err != nil || l.Address != lease.Address {
			t.Errorf("the lease that a recorded RELEASE is for: %v, %v", l, err)
		}
	})
}
