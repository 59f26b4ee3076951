package e2e

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

const (
	mapELinks = "links:\n" +
		"  - {link: '2001:db8:1::/64', aftr-name: aftr.example.net}\n" +
		"  - {interface: access, map-e: {rules: [{ipv6-prefix: '2001:db8::/40', ipv4-prefix: 192.0.2.0/24, ea-bits: 16}], border-relays: ['2001:db8:ffff::1']}}\n"
	mapE = "0059000d" + "001018c0000200" + "2820010db800" + "005a001020010db8ffff00000000000000000001"
	aftr = "0461667472076578616d706c65036e657400"
)

// TestSW_7Softwire checks that a client learns its border relay and bind prefix in a response, if
// it asks for them, directly and through relays. They depend on its link, not on what it writes.
func TestSW_7Softwire(t *testing.T) {
	t.Parallel()
	const (
		links = "links:\n" +
			"  - {link: '2001:db8:1::/64', softwire: {border-relays: ['2001:db8:ffff::1', '2001:db8:ffff::2']}}\n" +
			"  - {interface: access, softwire: {border-relays: ['2001:db8:ffff::3'], bind-prefix: '2001:db8:a::/64'}}\n"
		first, second, third = "20010db8ffff00000000000000000001", "20010db8ffff00000000000000000002", "20010db8ffff00000000000000000003"
		bind                 = "4020010db8000a0000"
	)
	f := reloadable(t, map[string]string{"LINKS": links}, "DHCP6D_DNS_SERVERS=2001:db8::53")
	forged := raw(dhcpv6.OptionVendorOpts, append([]byte{0, 0, 9, 191, 0xea, 0x71, 0, 20, 0, 90, 0, 16}, make([]byte, 16)...)...)
	for i, tt := range []struct {
		name  string
		via   topology.Via
		query []dhcpv6.Option
		want  []string
	}{
		{"direct", topology.Multicast, []dhcpv6.Option{dhcpv6.OptRequestedOption(90, 137)}, []string{"90 " + third, "137 " + bind}},
		{"direct, to an address", topology.Unicast, []dhcpv6.Option{dhcpv6.OptRequestedOption(137, 90)}, []string{"90 " + third, "137 " + bind}},
		{"only the border relay", topology.Multicast, []dhcpv6.Option{dhcpv6.OptRequestedOption(90)}, []string{"90 " + third}},
		{"through a relay", topology.OneRelay, []dhcpv6.Option{dhcpv6.OptRequestedOption(90, 137)}, []string{"90 " + first, "90 " + second}},
		{"on another link", topology.TwoRelays, []dhcpv6.Option{dhcpv6.OptRequestedOption(90, 137)}, nil},
		{"not asked for", topology.Multicast, nil, nil},
		{"forged", topology.Multicast, []dhcpv6.Option{forged}, nil},
		{"forged, and asked for", topology.Multicast, []dhcpv6.Option{dhcpv6.OptRequestedOption(90), forged}, []string{"90 " + third}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := f.b.at(t)
			c := b.client(tt.via, i+1, client.Options{Query: tt.query})
			l := b.obtain(c)
			renewed, err := c.Renew(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			for what, r := range map[string]*client.Response{"ACK": l.Response, "ACK of the renewal": renewed.Response} {
				options, err := relay.ParseOptions(r.Message[4:])
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, o := range options {
					if o.Code() != dhcpv6.OptionDHCPv4Msg && o.Code() != dhcpv6.OptionVendorOpts {
						got = append(got, fmt.Sprintf("%d %x", o.Code(), o.ToBytes()))
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("in the response with the %s: %v, want %v", what, got, tt.want)
				}
			}
		})
	}
	t.Run("by Information-request", func(t *testing.T) {
		got := f.b.at(t).replied(f.b.at(t).client(topology.Multicast, 21, client.Options{}),
			message(dhcpv6.MessageTypeInformationRequest, clientID, dhcpv6.OptRequestedOption(90, 137)))
		if got[90] != third || got[137] != bind {
			t.Errorf("the Reply has %v", got)
		}
	})
	t.Run("a change takes effect", func(t *testing.T) {
		f.refused(t, "LINKS", strings.Replace(links, "'2001:db8:ffff::3'", "", 1))
		f.set(t, "LINKS", "links: [{aftr-name: aftr.example.net}]\n")
		b := f.b.at(t)
		l := b.obtain(b.client(topology.Multicast, 22, client.Options{Query: []dhcpv6.Option{dhcpv6.OptRequestedOption(90, 137)}}))
		if strings.Contains(hex.EncodeToString(l.Response.Message), third) {
			t.Errorf("the response still has the border relay: %x", l.Response.Message)
		}
	})
}

// TestSW_1Links checks that a client gets the service of its link, as explain-ce prints it.
func TestSW_1Links(t *testing.T) {
	t.Parallel()
	f := reloadable(t, map[string]string{"LINKS": mapELinks}, "DHCP6D_DNS_SERVERS=2001:db8::53")
	asks := message(dhcpv6.MessageTypeInformationRequest, clientID, dhcpv6.OptRequestedOption(64, 94, 95))
	direct := f.b.client(topology.Multicast, 1, client.Options{})
	behind := f.b.client(topology.OneRelay, 2, client.Options{})
	gets := func(t *testing.T, c *client.Client, code dhcpv6.OptionCode, want string) {
		t.Helper()
		got := f.b.at(t).replied(c, asks)
		if got[code] != want || len(got) != 3 { // and both identifiers
			t.Errorf("got %v, want option %d %s", got, code, want)
		}
	}
	t.Run("each link has its own", func(t *testing.T) {
		gets(t, direct, 94, mapE)
		gets(t, behind, 64, aftr)
	})
	t.Run("explain-ce prints the same octets", func(t *testing.T) {
		path, err := servers.Find("dhcp6d")
		if err != nil {
			t.Fatal(err)
		}
		command := exec.Command(path, "explain-ce", "2001:db8:12:3400::/56")
		command.Env = append(os.Environ(), "DHCP6D_LINKS_FILE="+filepath.Join(f.dir, "LINKS"))
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		told := strings.NewReplacer(" ", "", "\n", "").Replace(string(out))
		if _, err := hex.DecodeString(mapE); err != nil || !strings.Contains(told, "005e0025"+mapE) || !strings.Contains(told, "PSID0x34") {
			t.Errorf("explain-ce prints\n%s", out)
		}
	})
	t.Run("a mistake is refused, and a change takes effect", func(t *testing.T) {
		f.refused(t, "LINKS", strings.Replace(mapELinks, "ea-bits: 16", "ea-bits: 49", 1))
		gets(t, direct, 94, mapE)
		f.set(t, "LINKS", "links: [{aftr-name: aftr.example.net}]\n")
		gets(t, direct, 64, aftr)
	})
}
