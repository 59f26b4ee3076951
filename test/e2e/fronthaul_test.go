package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"

	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/faultlink"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// fronthaul is the network of docs/fronthaul.md, with two radio units:
//
//	unit1 ── site1 ══ LDRA sw1/port-1 ══╗
//	                                    switch ── edge-a ── edge-b
//	unit2 ── site2 ══ LDRA sw1/port-2 ══╝
type fronthaul struct {
	t      *testing.T
	lab    *netns.Lab
	etc    string // in place of /etc/dhcp4o6
	page   string
	hosts  map[string]*netns.Host
	ports  [2]*faultlink.Link
	halves map[string]*netns.Process
}

// host returns a host by name.
func (f *fronthaul) host(name string) *netns.Host {
	f.t.Helper()
	if h := f.hosts[name]; h != nil {
		return h
	}
	h, err := f.lab.Host(name)
	if err != nil {
		f.t.Fatal(err)
	}
	f.hosts[name] = h
	return h
}

// code returns the code of the page's block with a fence.
func (f *fronthaul) code(fence string) string {
	f.t.Helper()
	m := regexp.MustCompile("(?s)\n```" + regexp.QuoteMeta(fence) + "\n(.*?)```\n").FindStringSubmatch(f.page)
	if m == nil {
		f.t.Fatalf("the page has no code %q", fence)
	}
	return strings.ReplaceAll(m[1], "/etc/dhcp4o6", f.etc)
}

// plug makes a port of the switch add an Interface-Id.
func (f *fronthaul) plug(port int, id string) {
	agent := relay.LDRA{InterfaceID: []byte(id)}
	f.ports[port].SetRewrite(func(from faultlink.Side, frame []byte) ([][]byte, bool) {
		return agent.Rewrite(from == faultlink.Left, frame)
	})
}

func newFronthaul(t *testing.T) *fronthaul {
	t.Helper()
	page, err := os.ReadFile("../../docs/fronthaul.md")
	if err != nil {
		t.Fatal(err)
	}
	f := &fronthaul{t: t, lab: netnstest.Lab(t), etc: t.TempDir(), page: string(page), hosts: map[string]*netns.Host{}, halves: map[string]*netns.Process{}}
	try := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		unit, site := f.host(fmt.Sprintf("unit%d", i+1)), f.host(fmt.Sprintf("site%d", i+1))
		try(f.lab.Link(netns.End{Host: unit, Name: "eth0"}, netns.End{Host: site, Name: "unit"}))
		f.ports[i], err = f.lab.FaultLink(netns.End{Host: site, Name: "up"}, netns.End{Host: f.host("switch"), Name: fmt.Sprintf("port%d", i+1)})
		try(err)
		f.plug(i, fmt.Sprintf("sw1/port-%d", i+1))
	}
	try(f.lab.Link(netns.End{Host: f.host("switch"), Name: "uplink"}, netns.End{Host: f.host("edge-a"), Name: "fronthaul"}))
	back := func(host, address string) netns.End {
		return netns.End{Host: f.host(host), Name: "back", Addresses: []netip.Prefix{netip.MustParsePrefix(address)}}
	}
	try(f.lab.Link(back("edge-a", "2001:db8:b::1/64"), back("edge-b", "2001:db8:b::2/64")))
	try(f.host("switch").Do(func() error {
		off := false
		bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "br0"}, MulticastSnooping: &off}
		if err := netlink.LinkAdd(bridge); err != nil {
			return err
		}
		for _, name := range []string{"port1", "port2", "uplink"} {
			port, err := netlink.LinkByName(name)
			if err == nil {
				err = netlink.LinkSetMaster(port, bridge)
			}
			if err != nil {
				return err
			}
		}
		return netlink.LinkSetUp(bridge)
	}))
	for name, content := range map[string]string{
		"radio-units.csv": f.code("csv /etc/dhcp4o6/radio-units.csv"),
		"subnets.yml":     f.code("yaml /etc/dhcp4o6/subnets.yml"),
		"ipc-keys":        "1:" + strings.Repeat("QUJD", 11) + "\n",
	} {
		try(os.WriteFile(filepath.Join(f.etc, name), []byte(content), 0o600))
	}
	f.start("edge-a", "dhcp4d")
	f.start("edge-b", "dhcp4d")
	f.start("edge-a", "dhcp6d")
	for i := range 2 {
		f.gateway(f.host(fmt.Sprintf("site%d", i+1)))
	}
	t.Cleanup(func() {
		if t.Failed() {
			for name, p := range f.halves {
				t.Logf("%s:\n%s", name, tailOf(p.Output()))
			}
		}
	})
	return f
}

// start starts a daemon with its environment from the page, and waits until it is ready.
func (f *fronthaul) start(host, daemon string) {
	f.t.Helper()
	env := strings.Fields(f.code("env /etc/dhcp4o6/" + daemon + ".env on " + host))
	state := filepath.Join(f.t.TempDir(), host+daemon)
	metrics := "[::1]:9566"
	switch daemon {
	case "dhcp4d":
		metrics = "[::1]:9567"
		env = append(env, "DHCP4D_STORE=journal:"+state)
	case "dhcp6d":
		if err := os.Mkdir(state, 0o700); err != nil {
			f.t.Fatal(err)
		}
		env = append(env, "DHCP6D_STATE_DIR="+state)
	}
	env = append(env, strings.ToUpper(daemon)+"_METRICS_LISTEN="+metrics, strings.ToUpper(daemon)+"_LOG_FORMAT=text")
	path, err := servers.Find(daemon)
	if err != nil {
		netnstest.Skip(f.t, err.Error())
	}
	p, err := f.host(host).Start(env, path)
	if err != nil {
		f.t.Fatal(err)
	}
	f.halves[daemon+" on "+host] = p
	// dhcp6d is ready when both dhcp4d answer it.
	f.says(p, map[string]string{"dhcp4d": "msg=starting", "dhcp6d": "msg=ready"}[daemon])
}

// says waits until a process has printed a text.
func (f *fronthaul) says(p *netns.Process, what string) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	if err := p.WaitFor(ctx, func() error {
		if !strings.Contains(p.Output(), what) {
			return fmt.Errorf("it has not printed %q", what)
		}
		return nil
	}); err != nil {
		f.t.Fatalf("%v:\n%s", err, p.Output())
	}
}

// gateway runs the commands of the page for a cell site.
func (f *fronthaul) gateway(site *netns.Host) {
	f.t.Helper()
	agent, err := servers.Find("dhcp4o6-relay")
	if err != nil {
		netnstest.Skip(f.t, err.Error())
	}
	script := f.code("sh gateway")
	p, err := site.Start([]string{"PATH=" + filepath.Dir(agent) + ":/usr/sbin:/usr/bin:/sbin:/bin"}, "/bin/sh", "-ec", script)
	if err != nil {
		f.t.Fatal(err)
	}
	f.halves["gateway on "+site.Name] = p
	f.says(p, "msg=relaying")
}

// unit is a radio unit: an IPv4-only client. It has a hardware address of its own if one is given.
func (f *fronthaul) unit(host, address string, tries int) *nclient4.Client {
	f.t.Helper()
	c, err := netns.In(f.host(host), func() (*nclient4.Client, error) {
		if address != "" {
			link, err := netlink.LinkByName("eth0")
			if err == nil {
				err = netlink.LinkSetHardwareAddr(link, []byte(address))
			}
			if err != nil {
				return nil, err
			}
		}
		return nclient4.New("eth0", nclient4.WithTimeout(time.Second), nclient4.WithRetry(tries))
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { c.Close() })
	return c
}

// obtains checks that a unit gets an address.
func (f *fronthaul) obtains(c *nclient4.Client, want string) *nclient4.Lease {
	f.t.Helper()
	lease, err := c.Request(f.t.Context())
	if err != nil {
		f.t.Fatalf("no address, want %s: %v", want, err)
	}
	if got := lease.ACK.YourIPAddr.String(); got != want {
		f.t.Errorf("got %s, want %s", got, want)
	}
	if got := fmt.Sprint(lease.ACK.Router()); got != "[10.66.0.1]" {
		f.t.Errorf("routers %s", got)
	}
	return lease
}

// TestRA8Fronthaul runs docs/fronthaul.md.
func TestRA8Fronthaul(t *testing.T) {
	t.Parallel()
	f := newFronthaul(t)
	one := f.unit("unit1", "", 5)
	lease := f.obtains(one, "10.66.0.11")
	f.obtains(f.unit("unit2", "", 5), "10.66.0.12")

	// The renewal goes by unicast to the server identifier, which is an address of the gateway.
	renewed, err := one.Renew(t.Context(), lease, dhcpv4.WithOption(dhcpv4.OptParameterRequestList(dhcpv4.OptionRouter)))
	if err != nil || renewed.ACK.YourIPAddr.String() != "10.66.0.11" {
		t.Errorf("renewed %v, %v", renewed, err)
	}

	// A replaced unit gets the address of the port.
	f.obtains(f.unit("unit1", "\x02\x4a\x07\x00\x00\x99", 5), "10.66.0.11")

	// At another port the unit gets another address. At a port that is not in the list it gets
	// none.
	f.plug(1, "sw2\x02")
	f.obtains(f.unit("unit2", "\x02\x4a\x07\x00\x00\x98", 5), "10.66.0.13")
	f.plug(1, "sw3/port-1")
	if lease, err := f.unit("unit2", "\x02\x4a\x07\x00\x00\x97", 1).DiscoverOffer(t.Context()); err == nil {
		t.Errorf("at a port that is not in the list: %v", lease)
	}
	f.plug(1, "sw1/port-2")

	// If one dhcp4d dies, the other one serves all units: it has the list, too.
	identifier := func(l *nclient4.Lease) string { return l.ACK.ServerIdentifier().String() }
	for _, dead := range []string{"edge-a", "edge-b"} {
		f.halves["dhcp4d on "+dead].Kill()
		alive := map[string]string{"edge-a": "10.66.0.3", "edge-b": "10.66.0.2"}[dead]
		for unit, want := range map[string]string{"unit1": "10.66.0.11", "unit2": "10.66.0.12"} {
			if got := identifier(f.obtains(f.unit(unit, "", 5), want)); got != alive {
				t.Errorf("without the dhcp4d on %s %s has its address of %s", dead, unit, got)
			}
		}
		f.start(dead, "dhcp4d")
	}
}
