package durable

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/shared/postgrestest"
	"github.com/dhcp4o6/dhcp4o6/test/faultlink"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// TestCutOffFromTheDatabase cuts the machine of a dhcp4d off from the database, without a RST. The
// server ends the connections of that dhcp4d, and with them the locks of a commit of which it has
// only a part. Another dhcp4d then serves the client of that commit. The one that is cut off is not
// ready, and serves again when the link is back.
func TestCutOffFromTheDatabase(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"", " behind PgBouncer"} {
		for _, c := range []struct {
			name string
			when moment
		}{
			{"while nothing is under way", atOnce},
			{"when the server has a part of a commit", withinCommit},
			{"when the answer to a commit is on its way", beforeAnswer},
		} {
			t.Run("DB-4 a dhcp4d"+way+" is cut off "+c.name, func(t *testing.T) {
				t.Parallel()
				cutOff(t, c.when, way != "")
			})
		}
	}
}

// moment is when a wire is cut.
type moment int32

const (
	never moment = iota
	atOnce
	withinCommit // the database gets a commit without its end
	beforeAnswer // the database gets a commit
)

// wire is a link that is cut.
type wire struct {
	link   *faultlink.Link
	commit []byte // what a commit contains
	when   atomic.Int32
	cut    atomic.Bool
}

// rewrite takes a frame of Ethernet, IPv6 and TCP.
func (w *wire) rewrite(from faultlink.Side, frame []byte) (frames [][]byte, replaced bool) {
	const ip, tcp = 14, 14 + 40
	when := moment(w.when.Load())
	if when == atOnce {
		w.cut.Store(true)
	}
	switch {
	case w.cut.Load():
		return nil, true
	case when == never, from != faultlink.Left, len(frame) < tcp+20, frame[ip+6] != 6:
		return nil, false
	}
	end := []byte{'S', 0, 0, 0, 4} // Sync
	payload := frame[tcp+int(frame[tcp+12]>>4)*4:]
	if !bytes.HasSuffix(payload, end) || !bytes.Contains(payload, w.commit) {
		return nil, false
	}
	w.cut.Store(true)
	if when == withinCommit {
		frame = slices.Clone(frame[:len(frame)-len(end)])
		binary.BigEndian.PutUint16(frame[ip+4:], uint16(len(frame)-tcp))
		binary.BigEndian.PutUint16(frame[tcp+16:], 0)
		binary.BigEndian.PutUint16(frame[tcp+16:], checksum(frame[ip+8:tcp], frame[tcp:]))
	}
	return [][]byte{frame}, true
}

// checksum returns the checksum of a TCP segment over IPv6 (RFC 8200 section 8.1).
func checksum(addresses, segment []byte) uint16 {
	sum := uint32(len(segment)) + 6 // TCP
	for _, b := range [][]byte{addresses, segment} {
		for ; len(b) > 1; b = b[2:] {
			sum += uint32(binary.BigEndian.Uint16(b))
		}
		if len(b) == 1 {
			sum += uint32(b[0]) << 8
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// pair is a dhcp6d and a dhcp4d on one host, with a relay for them.
type pair struct {
	six, four *servers.Half
	client    *client.Client
}

// cutOff runs two pairs with one database:
//
//	relay 0 ══╦══ a ──(wire)── database
//	relay 1 ══╩══ b ────────── database
func cutOff(t *testing.T, when moment, bouncer bool) {
	lab := newLab(t)
	b := &bench{t: t}
	host := func(name string) *netns.Host {
		h, err := lab.Host(name)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	end := func(h *netns.Host, name, address string) netns.End {
		return netns.End{Host: h, Name: name, Addresses: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr(address), 64)}}
	}
	db := host("database")
	names := []string{"a", "b"}
	hosts := []*netns.Host{host("a"), host("b")}
	relays := []*netns.Host{host("relay0"), host("relay1")}
	agents := []netip.Addr{agent, netip.MustParseAddr("2001:db8:c::12")}
	hardware := net.HardwareAddr{2, 0, 0, 0xc0, 0xff, 0xee}
	w := &wire{commit: hardware}
	var err error
	if w.link, err = lab.FaultLink(end(hosts[0], "db", "2001:db8:e:a::1"), end(db, "a", "2001:db8:e:a::db")); err != nil {
		t.Fatal(err)
	}
	w.link.SetRewrite(w.rewrite)
	if err := errors.Join(
		lab.Link(end(hosts[1], "db", "2001:db8:e:b::1"), end(db, "b", "2001:db8:e:b::db")),
		lab.Segment(end(hosts[0], "core", coreOf[0].String()), end(hosts[1], "core", coreOf[1].String()),
			end(relays[0], "up", agents[0].String()), end(relays[1], "up", agents[1].String()))); err != nil {
		t.Fatal(err)
	}
	database := postgrestest.StartIn(t, db.Do, "listen_addresses=*")
	b.migrate("DHCP4D_STORE=" + database.URL())
	port := 5432
	if bouncer {
		port = 6432
		startBouncer(t, db, database, port)
	}
	pairs := make([]pair, 2)
	for i, h := range hosts {
		p := &pairs[i]
		p.six, p.four, err = servers.Start(h, servers.Ours, servers.Ours, servers.Config{
			Dir: t.TempDir(), Interfaces: []string{"core"}, Relays: []netip.Prefix{netip.PrefixFrom(agents[i], 128)}, Quiet: true,
			Subnets: subnets, Env: append(slices.Clone(rules), "DHCP4D_NAME="+names[i], "DHCP4D_API_LISTEN=off",
				fmt.Sprintf("DHCP4D_STORE=postgres://dhcp4d@[2001:db8:e:%s::db]:%d/postgres?sslmode=disable&application_name=%s", names[i], port, names[i])),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("%s: dhcp6d said:\n%s\ndhcp4d said:\n%s", names[i], p.six.Output(), p.four.Output())
			}
		})
		socket, err := netns.In(relays[i], func() (*client.Socket, error) {
			return client.Listen("up", netip.AddrPortFrom(agents[i], 547))
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { socket.Close() })
		levels := relay.Chain(1, link, netip.MustParseAddr("fe80::1"))
		if p.client, err = client.New(socket, client.Options{
			HardwareAddr: hardware, Servers: []netip.Addr{coreOf[i]}, Relays: levels,
			Retransmit: client.Retransmit{First: 200 * time.Millisecond, Max: 200 * time.Millisecond, Tries: 300},
		}); err != nil {
			t.Fatal(err)
		}
	}
	lease, err := pairs[0].client.Obtain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pairs[1].client.Reboot(t.Context(), lease.Address); err != nil {
		t.Fatal(err)
	}
	ready := func() bool {
		m, err := pairs[0].four.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		return m["dhcp4d_ready"] == 1
	}
	of := func(name, more string) string {
		return database.Query(t, "SELECT count(*) FROM pg_stat_activity WHERE application_name = '"+name+"'"+more)
	}
	if n := of("a", ""); n == "0" || !ready() {
		t.Fatalf("before the cut %s connections, ready %v", n, ready())
	}

	w.when.Store(int32(when))
	renewed := make(chan error, 1)
	go func() {
		_, err := pairs[0].client.Renew(t.Context(), lease)
		renewed <- err
	}()
	b.await("the cut", w.cut.Load)
	began := time.Now()
	since := func() time.Duration { return time.Since(began).Round(100 * time.Millisecond) }
	if when == withinCommit {
		served := make(chan error, 1)
		go func() {
			_, err := pairs[1].client.Reboot(t.Context(), lease.Address)
			served <- err
		}()
		b.await("the other dhcp4d to wait for the lease", func() bool { return of("b", " AND wait_event_type = 'Lock'") != "0" || len(served) > 0 })
		if len(served) > 0 && !bouncer { // PgBouncer may keep the part
			t.Error("the commit of which the server has a part does not lock its lease")
		}
		if err := <-served; err != nil {
			t.Errorf("the other dhcp4d: %v", err)
		}
		t.Logf("the other dhcp4d renews the lease %v after the cut", since())
	}
	b.await("the dhcp4d that is cut off not to be ready", func() bool { return !ready() })
	t.Logf("dhcp4d is not ready %v after the cut", since())
	b.await("the server to end its connections", func() bool { return of("a", "") == "0" })
	t.Logf("the server has no connection of it %v after the cut", since())
	if _, err := pairs[1].client.Reboot(t.Context(), lease.Address); err != nil {
		t.Errorf("the other dhcp4d: %v", err)
	}
	if len(renewed) > 0 {
		t.Error("dhcp4d acknowledges while it is cut off:", <-renewed)
	}

	w.when.Store(int32(never))
	w.cut.Store(false)
	back := time.Now()
	if err := <-renewed; err != nil {
		t.Errorf("when the link is back: %v", err)
	}
	t.Logf("dhcp4d acknowledges %v after the link is back", time.Since(back).Round(100*time.Millisecond))
	if n := database.Query(t, "SELECT count(*) FROM dhcp4d.lease WHERE state = 2"); n != "1" {
		t.Errorf("%s leases in force, want one", n)
	}
}

// startBouncer starts PgBouncer beside a server, with the settings of docs/database.md.
func startBouncer(t *testing.T, h *netns.Host, s *postgrestest.Server, port int) {
	t.Helper()
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/pgbouncer"); err != nil {
			netnstest.Skip(t, "pgbouncer is not installed")
		}
	}
	config := fmt.Sprintf(`[databases]
postgres = host=%s user=dhcp4d
[pgbouncer]
pool_mode = session
auth_type = any
listen_addr = *
listen_port = %d
unix_socket_dir =
user = postgres
tcp_keepidle = 2
tcp_keepintvl = 1
tcp_keepcnt = 3
tcp_user_timeout = 5000
`, s.Dir(), port)
	file := filepath.Join(s.Dir(), "pgbouncer.ini")
	if err := os.WriteFile(file, []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	p, err := h.Start(nil, path, file)
	if err != nil {
		t.Fatal(err)
	}
	(&bench{t: t}).await("PgBouncer", func() bool {
		c, err := h.Dial("tcp", fmt.Sprintf("[::1]:%d", port))
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PgBouncer said:\n%s", p.Output())
		}
	})
}
