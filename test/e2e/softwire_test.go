package e2e

import (
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
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

// TestSW_1Links: what a client is told follows its link, and the document, and is what explain-ce
// tells.
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
	t.Run("explain-ce tells the same octets", func(t *testing.T) {
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
			t.Errorf("it tells\n%s", out)
		}
	})
	t.Run("a mistake is refused, and a change takes effect", func(t *testing.T) {
		f.refused(t, "LINKS", strings.Replace(mapELinks, "ea-bits: 16", "ea-bits: 49", 1))
		gets(t, direct, 94, mapE)
		f.set(t, "LINKS", "links: [{aftr-name: aftr.example.net}]\n")
		gets(t, direct, 64, aftr)
	})
}
