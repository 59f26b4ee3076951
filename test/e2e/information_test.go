package e2e

import (
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/clients/relay"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// everything has the content of each option that dhcp6d can offer, by code.
var everything = []string{
	"DHCP6D_4O6_SERVERS=2001:db8:a::1,multicast",
	"DHCP6D_DNS_SERVERS=2001:db8::53,2001:db8::54",
	"DHCP6D_DOMAIN_SEARCH=example.org,lab.example.org",
	"DHCP6D_NTP_SERVERS=2001:db8::123,ff05::101,ntp.example.org",
	"DHCP6D_INFORMATION_REFRESH_TIME=1200",
	"DHCP6D_SOL_MAX_RT=120",
	"DHCP6D_INF_MAX_RT=2h",
	"DHCP6D_OPTIONS=59:687474703a2f2f78,17:0000000900010001ff",
	"DHCP6D_LINK_OPTIONS=2001:db8:2::/64 DNS_SERVERS=2001:db8:2::53 OPTIONS=\naccess SOL_MAX_RT=180",
}

const (
	dns88    = "20010db8000a00000000000000000001" + "ff020000000000000000000000010002"
	dns23    = "20010db8000000000000000000000053" + "20010db8000000000000000000000054"
	search24 = "076578616d706c65036f726700" + "036c6162076578616d706c65036f726700"
	ntp56    = "0001001020010db8000000000000000000000123" + "00020010ff050000000000000000000000000101" + "00030011036e7470076578616d706c65036f726700"
)

var offered = map[dhcpv6.OptionCode]string{
	17: "0000000900010001ff", 23: dns23, 24: search24, 32: "000004b0", 56: ntp56, 59: "687474703a2f2f78", 82: "00000078", 83: "00001c20", 88: dns88,
}

// on returns the offered options with changes. An empty value removes an option.
func on(changes map[dhcpv6.OptionCode]string) map[dhcpv6.OptionCode]string {
	all := maps.Clone(offered)
	maps.Copy(all, changes)
	maps.DeleteFunc(all, func(_ dhcpv6.OptionCode, v string) bool { return v == "" })
	return all
}

// message returns a DHCPv6 message of a type, with options.
func message(t dhcpv6.MessageType, options ...dhcpv6.Option) []byte {
	m := dhcpv6.Message{MessageType: t, TransactionID: dhcpv6.TransactionID{1, 2, 3}}
	for _, o := range options {
		m.AddOption(o)
	}
	return m.ToBytes()
}

func raw(code dhcpv6.OptionCode, data ...byte) dhcpv6.Option {
	return &dhcpv6.OptionGeneric{OptionCode: code, OptionData: data}
}

var clientID = raw(dhcpv6.OptionClientID, 0, 3, 0, 1, 2, 3, 4, 5, 6, 7)

// replied sends a message and returns the options of the Reply by code, nil if there is no Reply.
func (b *bench) replied(c *client.Client, m []byte) map[dhcpv6.OptionCode]string {
	b.t.Helper()
	if err := c.Send(m); err != nil {
		b.t.Fatal(err)
	}
	datagram, _, err := c.Receive(time.Now().Add(300 * time.Millisecond))
	if err != nil {
		return nil
	}
	if len(datagram) < 4 || [4]byte(datagram) != [4]byte{byte(dhcpv6.MessageTypeReply), 1, 2, 3} {
		b.t.Fatalf("got %x", datagram)
	}
	options, err := relay.ParseOptions(datagram[4:])
	if err != nil {
		b.t.Fatal(err)
	}
	all := map[dhcpv6.OptionCode]string{}
	for _, o := range options {
		if _, twice := all[o.Code()]; twice {
			b.t.Errorf("option %d twice", o.Code())
		}
		all[o.Code()] = hex.EncodeToString(o.ToBytes())
	}
	return all
}

func TestInformationRequest(t *testing.T) {
	t.Parallel()
	b := start(t, func(c *servers.Config) { c.Env = everything })
	codes := dhcpv6.OptionCodes(slices.Sorted(maps.Keys(offered)))
	everyCode := dhcpv6.OptRequestedOption(codes...)
	serverID := ""
	for i, via := range topology.Ways {
		want := offered
		switch via {
		case topology.Unicast:
			continue
		case topology.Multicast:
			want = on(map[dhcpv6.OptionCode]string{82: "000000b4"})
		case topology.TwoRelays:
			want = on(map[dhcpv6.OptionCode]string{23: "20010db8000200000000000000000053", 17: "", 59: ""})
		}
		t.Run("D6-12, D6-13, D6-27, D6-31, D6-32 every option that is asked for, as configured for the link, by "+string(via), func(t *testing.T) {
			b := b.at(t)
			got := b.replied(b.client(via, i+1, client.Options{}), message(dhcpv6.MessageTypeInformationRequest, clientID, everyCode))
			id := got[dhcpv6.OptionServerID]
			if serverID == "" {
				serverID = id
			}
			if id == "" || id != serverID || got[dhcpv6.OptionClientID] != "00030001020304050607" {
				t.Errorf("D6-8, D6-12 identifiers: %q and %q, before %q", got[dhcpv6.OptionClientID], id, serverID)
			}
			delete(got, dhcpv6.OptionServerID)
			delete(got, dhcpv6.OptionClientID)
			if !maps.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
	c := b.client(topology.Multicast, 20, client.Options{})
	for _, code := range codes {
		t.Run(fmt.Sprintf("D6-27, D6-31 option %d alone, without a client identifier", code), func(t *testing.T) {
			got := b.at(t).replied(c, message(dhcpv6.MessageTypeInformationRequest, dhcpv6.OptRequestedOption(code)))
			if len(got) != 2 || got[dhcpv6.OptionServerID] != serverID || got[code] == "" {
				t.Errorf("the Reply has %v", got)
			}
		})
	}
	server, _ := hex.DecodeString(serverID)
	ours, foreign := raw(dhcpv6.OptionServerID, server...), raw(dhcpv6.OptionServerID, 0, 4, 9, 9, 9)
	unicast := b.client(topology.Unicast, 21, client.Options{})
	for _, tt := range []struct {
		name   string
		from   *client.Client
		m      []byte
		series string // empty: it is answered
	}{
		{"D6-9 to us", c, message(dhcpv6.MessageTypeInformationRequest, ours, everyCode), ""},
		{"D6-9 to another server", c, message(dhcpv6.MessageTypeInformationRequest, foreign, everyCode), "foreign_server"},
		{"D6-9 with an IA", c, message(dhcpv6.MessageTypeInformationRequest, everyCode, raw(dhcpv6.OptionIANA, make([]byte, 12)...)), "forbidden_option"},
		{"D6-11 by unicast", unicast, message(dhcpv6.MessageTypeInformationRequest, everyCode), "unicast_forbidden"},
		{"D6-10 an Advertise", c, message(dhcpv6.MessageTypeAdvertise, clientID, ours), "server_message"},
		{"D6-10 a Reconfigure", c, message(dhcpv6.MessageTypeReconfigure, clientID, ours), "server_message"},
		{"D6-11 a Solicit by unicast", unicast, message(dhcpv6.MessageTypeSolicit, clientID), "address_assignment"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := b.at(t)
			if tt.series == "" {
				if got := b.replied(tt.from, tt.m); got[23] != dns23 {
					t.Errorf("the Reply has %v", got)
				}
				return
			}
			b.dropped(b.six, `dhcp6d_packets_dropped_total{reason="`+tt.series+`",socket="link"}`, func() {
				if got := b.replied(tt.from, tt.m); got != nil {
					t.Errorf("the Reply has %v", got)
				}
			})
		})
	}
	t.Run("without an offered option dhcp6d is silent", func(t *testing.T) {
		b := b.at(t)
		b.dropped(b.six, `dhcp6d_packets_silent_total{reason="nothing_to_offer",socket="link"}`, func() { // not a drop: it was understood
			if got := b.replied(c, message(dhcpv6.MessageTypeInformationRequest, clientID, dhcpv6.OptRequestedOption(dhcpv6.OptionSIPServersIPv6AddressList, 1, 2, 3))); got != nil {
				t.Errorf("the Reply has %v", got)
			}
		})
	})
	t.Run("messages for address assignment are dropped under their own reason", func(t *testing.T) {
		b := b.at(t)
		const assignment = `dhcp6d_packets_dropped_total{reason="address_assignment",socket="link"}`
		before, err := b.six.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		types := []dhcpv6.MessageType{dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRenew,
			dhcpv6.MessageTypeRebind, dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline}
		for _, kind := range types {
			if err := c.Send(message(kind, clientID, ours, everyCode)); err != nil {
				t.Fatal(err)
			}
		}
		b.series(b.six, assignment, is(before[assignment]+float64(len(types))))
		if _, _, err := c.Receive(time.Now().Add(100 * time.Millisecond)); err == nil {
			t.Error("one was answered")
		}
	})
	t.Run("D6-8 the server's DUID is the same after a restart", func(t *testing.T) {
		b.six.Kill()
		b.start6()
		b := b.at(t)
		if got := b.replied(c, message(dhcpv6.MessageTypeInformationRequest, clientID, everyCode)); got[dhcpv6.OptionServerID] != serverID {
			t.Errorf("the DUID is %q, and was %q", got[dhcpv6.OptionServerID], serverID)
		}
	})
}

func TestOption88Absent(t *testing.T) {
	t.Parallel()
	t.Run("Q-35 option 88 is absent where other options are offered", func(t *testing.T) {
		t.Parallel()
		b := start(t, func(c *servers.Config) { c.Option88, c.Env = "none", []string{"DHCP6D_DNS_SERVERS=2001:db8::53"} })
		c := b.client(topology.Multicast, 1, client.Options{Servers: []netip.Addr{}})
		if info, err := c.Information(t.Context(), dhcpv6.OptionDNSRecursiveNameServer); err != nil || info.Offered {
			t.Errorf("an Information-request: %+v, %v", info, err)
		}
	})
}
