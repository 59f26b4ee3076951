package config

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/document"
)

// subnetWith makes a sound subnet with further keys, one a line, which replace
// its own; "-key" removes one. The first line is "- limit: 0".
func subnetWith(keys string) string {
	own := []string{"id: 1", "subnet: 192.0.2.0/24", "pools: [192.0.2.10-192.0.2.250]", "match: [{prefix: 2001:db8:1::/64}]"}
	lines := []string{"- limit: 0"}
	for line := range strings.SplitSeq(keys, "\n") {
		key, _, _ := strings.Cut(strings.TrimPrefix(line, "-"), ":")
		own = slices.DeleteFunc(own, func(s string) bool { return line != "" && strings.HasPrefix(s, key+":") })
		if line != "" && line[0] != '-' {
			lines = append(lines, "  "+line)
		}
	}
	for _, line := range own {
		lines = append(lines, "  "+line)
	}
	return strings.Join(lines, "\n") + "\n"
}

// TestMistakes gives for each mistake the whole line that reports it.
// noMatch takes the match out of a subnet.
func noMatch(doc string) string {
	return strings.ReplaceAll(doc, "  match: [{prefix: 2001:db8:1::/64}]\n", "")
}

func TestMistakes(t *testing.T) {
	for _, c := range []struct {
		name, doc, want string
		mistakes        int // if not 1
	}{
		{"empty", "", "the document is empty; give a list of subnets", 0},
		{"null", "# nothing\n", "the document is empty; give a list of subnets", 0},
		{"no YAML", "- id: [1", "line 1: not readable as YAML", 0},
		{"two documents", "- 1\n---\n- 2\n", "a second document starts; put everything into one", 0},
		{"text", "foo", "line 1, column 1: subnets: must be a list of subnets", 0},
		{"empty list", "[]", "the list is empty; give at least one subnet", 0},
		{"mapping without subnets", "lease-time: 1h", "has no subnets; give a list of them under the key subnets", 0},
		{"unknown key at the top", "subnet: []", "subnet: is no key of the document's top; did you mean subnets?", 2},
		{"subnet is text", "- foo", "subnets[0]: must be a subnet, a mapping of keys to values", 0},
		{"anchor in itself", "&a [*a]", "the anchor a contains itself", 0},

		{"unknown key", subnetWith("colour: red"), "line 2, column 3: subnets[0].colour: is no key of a subnet; it has id, name, subnet, pools", 0},
		{"misspelt key", subnetWith("lease_time: 1h"), "subnets[0].lease_time: is no key of a subnet; did you mean lease-time?", 0},
		{"key twice", subnetWith("limit: 1"), "line 2, column 3: subnets[0].limit: is there twice, first in line 1", 0},
		{"merge key", subnetWith("<<: {}"), "subnets[0].<<: is no key of a subnet", 0},
		{"name that is a number", subnetWith(`name: "12"`), "line 2, column 9: subnets[0].name: \"12\" would be taken for an id; give a name with letters", 0},
		{"name that is too long", subnetWith("name: " + strings.Repeat("n", 65)), "subnets[0].name: the name has 65 octets; at most 64 are possible", 0},
		{"name that cannot be printed", subnetWith(`name: "a\tb"`), `subnets[0].name: "a\tb" has blanks at its ends, or characters that cannot be printed`, 0},
		{"name with a blank behind", subnetWith(`name: "north "`), `subnets[0].name: "north " has blanks at its ends`, 0},
		{"name without text", subnetWith("name: "), "subnets[0].name: is empty; give a name or leave the key out", 0},
		{"name twice", subnetWith("name: north") + strings.NewReplacer("id: 1", "id: 2", "192.0.2.", "198.51.100.", "db8:1:", "db8:2:").Replace(subnetWith("name: north")),
			`subnets[1].name: the name "north" is taken by the subnet in line 1`, 0},
		{"network that no query can reach", noMatch(subnetWith("network: home")), "line 2, column 12: subnets[0].network: no subnet of the network home has match, so that no query can reach it; give one of them match entries", 0},
		{"network that no query can reach, but once", noMatch(subnetWith("network: home")) + strings.NewReplacer("id: 1", "id: 2", "192.0.2.", "198.51.100.").Replace(noMatch(subnetWith("network: home"))),
			"subnets[0].network: no subnet of the network home has match", 0},
		{"claims of one network", subnetWith("network: home") + strings.NewReplacer("id: 1", "id: 2", "192.0.2.", "198.51.100.").Replace(subnetWith("network: home")),
			"or, if both are on one link, the same network and only one of them the entry", 0},
		{"expression of an option", subnetWith("options: {host-name: {expr: \"lcase(option[12]\"}}"), "subnets[0].options.host-name.expr: ", 0},
		{"expression that is true or false", subnetWith("options: {host-name: {expr: \"option[12].exists\"}}"), "is true or false, and a value is asked for", 0},
		{"expression of option 108", subnetWith("options: {108: {expr: \"pkt4.mac\"}}"), "decides whether a client needs an address; give it a value, in a class if it depends on the client", 0},
		{"expression of an option that is there twice", subnetWith("options: {host-name: {expr: \"pkt4.mac\"}, 12: {expr: \"pkt4.mac\"}}"), "option host-name is there twice; leave one out", 0},
		{"expression beside a value", subnetWith("options: {12: {expr: \"pkt4.mac\"}, host-name: a}"), "is there twice; leave one out", 0},
		{"expression of an option that is taken away", subnetWith("options: {12: {expr: \"pkt4.mac\"}}\nno-options: [12]"), "is configured here, too; leave one out", 0},
		{"expression of the server's own option", subnetWith("options: {lease-time: {expr: \"pkt4.mac\"}}"), "is no option known by name", 0},
		{"flexible identifier without its expression", subnetWith("reservations: [{flex-id: a, address: 192.0.2.9}]"), "gives flex-id, and the subnet says by no flex-id what that is; give it the expression", 0},
		{"flexible identifier that depends on the reservation", subnetWith("flex-id: \"ifelse(known, 'a', 'b')\""), "subnets[0].flex-id: depends on whether the client has a reservation", 0},
		{"flexible identifier that is a test", subnetWith("flex-id: \"option[60].exists\""), "subnets[0].flex-id: is true or false", 0},
		{"reservation of an unknown class", subnetWith("classes: [{name: phones, test: \"option[60].exists\"}]\nreservations: [{class: phnes, address: 192.0.2.9}]"), "subnets[0].reservations[0].class: no class phnes is defined here; did you mean phones?", 0},
		{"reservation of a class that depends on it", subnetWith("classes: [{name: a, test: known}]\nreservations: [{class: a, address: 192.0.2.9}]"), "the class a depends on whether the client has a reservation", 0},
		{"two reservations of a class", subnetWith("classes: [{name: a, test: \"option[60].exists\"}]\nreservations: [{class: a, address: 192.0.2.9}, {class: a, address: 192.0.2.8}]"), "the same client or attachment point has a reservation already", 0},
		{"what a limit counts by that is a test", subnetWith("limit-by: \"option[60].exists\""), "subnets[0].limit-by: is true or false", 0},
		{"no id", subnetWith("-id"), "line 1, column 3: subnets[0]: has no id", 0},
		{"id 0", subnetWith("id: 0"), `"0" must be a number from 1 to 4294967295`, 0},
		{"id as text", subnetWith("id: one"), `"one" must be a number`, 0},
		{"id as list", subnetWith("id: [1]"), "subnets[0].id: must be a number", 0},
		{"id twice", subnetWith("") + "- {id: 1, subnet: 10.0.0.0/24, pools: [], match: []}", "subnets[1]: the id 1 is taken by the subnet in line 1", 0},
		{"no subnet", subnetWith("-subnet"), "subnets[0]: has no subnet", 0},
		{"no prefix", subnetWith("subnet: 192.0.2.0"), `"192.0.2.0" must be an IPv4 prefix`, 0},
		{"IPv6 prefix", subnetWith("subnet: 2001:db8::/64"), "must be an IPv4 prefix", 0},
		{"bits behind the prefix", subnetWith("subnet: 192.0.2.1/24"), "192.0.2.1/24 has bits set behind the prefix; did you mean 192.0.2.0/24?", 0},
		{"multicast prefix", subnetWith("subnet: 224.0.0.0/24"), "cannot be a subnet", 0},
		{"same subnet twice", subnetWith("") + "- {id: 2, subnet: 192.0.2.0/24, pools: [], match: []}", "line 6, column 19: subnets[1].subnet: 192.0.2.0/24 overlaps the subnet 192.0.2.0/24 in line 3", 0},
		{"subnet in a subnet", subnetWith("") + "- {id: 2, subnet: 192.0.0.0/16, pools: [], match: []}", "192.0.2.0/24 overlaps the subnet 192.0.0.0/16 in line 6", 0},
		{"subnet in the next but one", subnetWith("pools: []\nsubnet: 10.0.0.0/8") + "- {id: 2, subnet: 10.1.0.0/24, pools: [], match: []}\n- {id: 3, subnet: 10.2.0.0/24, pools: [], match: []}", "subnets[2].subnet: 10.2.0.0/24 overlaps the subnet 10.0.0.0/8", 2},

		{"no pools", subnetWith("-pools"), "subnets[0]: has no pools and no reservations", 0},
		{"pools as text", subnetWith("pools: 192.0.2.10-192.0.2.20"), "subnets[0].pools: must be a list of pools", 0},
		{"no range", subnetWith("pools: [foo]"), `subnets[0].pools[0]: "foo" must be a range`, 0},
		{"pool backwards", subnetWith("pools: [192.0.2.20-192.0.2.10]"), "ends before it begins; did you mean 192.0.2.10-192.0.2.20?", 0},
		{"pool outside", subnetWith("pools: [192.0.3.10-192.0.3.20]"), "192.0.3.10-192.0.3.20 is not within the subnet 192.0.2.0/24", 0},
		{"pool beyond", subnetWith("pools: [192.0.2.10-192.0.3.20]"), "is not within the subnet", 0},
		{"pool wider than the subnet", subnetWith("pools: [192.0.0.0/16]"), "192.0.0.0-192.0.255.255 is not within the subnet", 0},
		{"network address", subnetWith("pools: [192.0.2.0-192.0.2.9]"), "begin at 192.0.2.1", 0},
		{"broadcast address", subnetWith("pools: [192.0.2.9-192.0.2.255]"), "end at 192.0.2.254", 0},
		{"pools overlap", subnetWith("pools: [192.0.2.10-192.0.2.20, 192.0.2.20-192.0.2.30]"), "line 2, column 34: subnets[0].pools[1]: 192.0.2.20-192.0.2.30 overlaps the pool 192.0.2.10-192.0.2.20 in line 2", 0},
		{"pools overlap in the other order", subnetWith("pools: [192.0.2.20-192.0.2.30, 192.0.2.10-192.0.2.20]"), "subnets[0].pools[1]: 192.0.2.10-192.0.2.20 overlaps the pool 192.0.2.20-192.0.2.30", 0},
		{"pools overlap the next but one", subnetWith("pools: [192.0.2.10-192.0.2.90, 192.0.2.20-192.0.2.30, 192.0.2.50-192.0.2.60]"), "subnets[0].pools[2]: 192.0.2.50-192.0.2.60 overlaps the pool 192.0.2.10-192.0.2.90", 2},
		{"pool of the server identifier", subnetWith("pools: [192.0.2.1-192.0.2.1]"), "has no address left", 0},
		{"pool excluded", subnetWith("exclude: [192.0.2.0/24]"), "has no address left", 0},
		{"pool without range", subnetWith("pools: [{exclude: []}]"), "subnets[0].pools[0]: has no range", 0},
		{"pool with unknown key", subnetWith("pools: [{range: 192.0.2.0/24, size: 1}]"), "subnets[0].pools[0].size: is no key of a pool", 0},
		{"exclusion outside the pool", subnetWith("pools: [{range: 192.0.2.10-192.0.2.20, exclude: [192.0.2.21]}]"), "the exclusion 192.0.2.21 is not in the pool 192.0.2.10-192.0.2.20", 0},
		{"exclusion outside the subnet", subnetWith("exclude: [192.0.3.1]"), "subnets[0].exclude[0]: 192.0.3.1 is not within the subnet", 0},

		{"D4-6 server identifier 0.0.0.0", subnetWith("server-id: 0.0.0.0"), "subnets[0].server-id: 0.0.0.0 is not the address of a host", 0},
		{"D4-6 server identifier 255.255.255.255", subnetWith("server-id: 255.255.255.255"), "is not the address of a host", 0},
		{"D4-6 server identifier multicast", subnetWith("server-id: 224.0.0.1"), "is not the address of a host", 0},
		{"D4-6 server identifier IPv6", subnetWith("server-id: 2001:db8::1"), "is no IPv4 address", 0},
		{"D4-6 server identifier is the network's", subnetWith("server-id: 192.0.2.0"), "is the network's own or the broadcast address", 0},
		{"RA-7 server identifier is a peer's", subnetWith("server-id: 198.51.100.2"), "is a peer's (DHCP4D_PEER_SERVER_IDS)", 0},

		{"no match", subnetWith("-match"), "subnets[0]: has no match, so that no query can reach it", 0},
		{"match entry without key", subnetWith("match: [{}]"), "subnets[0].match[0]: has no key", 0},
		{"match with unknown key", subnetWith("match: [{prefixes: 2001:db8::/64}]"), "did you mean prefix?", 0},
		{"match IPv4 prefix", subnetWith("match: [{prefix: 192.0.2.0/24}]"), "must be an IPv6 prefix", 0},
		{"match bits behind the prefix", subnetWith("match: [{prefix: 2001:db8::1/64}]"), "did you mean 2001:db8::/64?", 0},
		{"D6-42 match prefix of a group", subnetWith("match: [{prefix: \"ff02::/16\"}]"), "no address that a host or a relay can have", 0},
		{"D6-42 match unspecified link-address", subnetWith("match: [{link-address: \"::\"}]"), "no address that a host or a relay can have", 0},
		{"D6-42 match link-local link-address", subnetWith("match: [{link-address: fe80::/64}]"), "is link-local", 0},
		{"D6-42 match long interface", subnetWith("match: [{interface: abcdefghijklmnop}]"), "dhcp6d sends the kernel's name of an interface", 0},
		{"match remote-id without number", subnetWith("match: [{remote-id: foo}]"), "must be the enterprise number and the identifier", 0},
		{"match remote-id too short", subnetWith("match: [{remote-id: 0x00000009}]"), "is too short", 0},
		{"match interface-id with odd hex", subnetWith("match: [{interface-id: 0x0}]"), "must be hex", 0},
		{"match empty interface-id", subnetWith("match: [{interface-id: ''}]"), "is empty", 0},
		{"match unknown peer", subnetWith("match: [{peer: foo}]"), `"foo" is not in DHCP4D_IPC_PEERS, which has [::1]:6767`, 0},
		{"match trusts nobody", subnetWith("match: [{trust-inner: true}]"), "no entry says whose are trusted", 0},
		{"D4-12 equal claims of two subnets", subnetWith("") + "- {id: 2, subnet: 10.0.0.0/24, pools: [], match: [{prefix: '2001:db8:1:0::/64'}]}", "line 6, column 51: subnets[1].match[0]: claims the same queries as the entry of subnet 1 in line 5", 0},
		{"D4-12 equal claims with keys in another order", subnetWith("match: [{interface: eth0, interface-id: a}]") + "- {id: 2, subnet: 10.0.0.0/24, pools: [], match: [{interface-id: 0x61, interface: eth0}]}", "claims the same queries", 0},
		{"D4-12 equal claims, one of them trusted", subnetWith("match: [{interface: eth0}]") + "- {id: 2, subnet: 10.0.0.0/24, pools: [], match: [{interface: eth0, trust-inner: true}]}", "claims the same queries", 0},
		{"match entry twice", subnetWith("match: [{interface: eth0}, {interface: eth0}]"), "subnets[0].match[1]: is the same entry as in line 2", 0},

		{"no state", subnetWith("state: off"), `"off" must be active or drain`, 0},
		{"negative limit", strings.Replace(subnetWith(""), "limit: 0", "limit: -1", 1), "must be a number from 0", 0},
		{"lease time 0", subnetWith("lease-time: 0"), "must be a duration", 0},
		{"lease time of half a second", subnetWith("lease-time: 500ms"), "must be a duration in whole seconds", 0},
		{"lease time too long", subnetWith("lease-time: 40000d"), "must be a duration", 0},
		{"least above default", subnetWith("min-lease-time: 2h"), "min-lease-time 2h, lease-time 1h and max-lease-time 1h must not descend", 0},
		{"greatest below default", subnetWith("max-lease-time: 30m"), "must not descend", 0},
		{"D4-29 renewal after rebinding", subnetWith("renewal-time: 0.9"), "renewal-time 54m, rebinding-time 3150s and lease-time 1h must ascend", 0},
		{"D4-29 rebinding after the lease", subnetWith("rebinding-time: 2h"), "must ascend", 0},
		{"D4-29 factor above 1", subnetWith("renewal-time: 1.5"), "must be a factor between 0 and 1", 0},
		{"authoritative", subnetWith("authoritative: yes"), "must be true or false", 0},
		{"next server", subnetWith("next-server: tftp.example"), "is no IPv4 address", 0},
		{"long boot file", subnetWith("boot-file-name: " + strings.Repeat("a", 128)), "has 128 octets; at most 127", 0},
		{"IPv6-only wait", subnetWith("v6-only-wait: never"), "must be a duration", 0},
		{"IPv6-only wait twice", subnetWith("v6-only-wait: 300\noptions: {v6-only-preferred: 300}"), "option v6-only-preferred is there twice", 0},

		{"moves", subnetWith("moves: away"), `"away" must be when-silent, follow or refuse`, 0},
		{"D4-30 option 108 of a pool", subnetWith("pools: [{range: 192.0.2.8/29, options: {v6-only-preferred: 300}}]"), "subnets[0].pools[0].options.v6-only-preferred: decides whether a client needs an address", 0},

		{"auto-config", subnetWith("options: {auto-config: 1}"), "subnets[0].options.auto-config: cannot be configured: it tells a client whether to choose a link-local IPv4 address", 0},
		{"auto-config by code", subnetWith("options: {116: 0x01}"), "subnets[0].options.116: cannot be configured", 0},
		{"always-send no list", subnetWith("always-send: wpad"), "subnets[0].always-send: must be a list of option names or codes", 0},
		{"always-send unknown", subnetWith("always-send: [252, router]"), "subnets[0].always-send[1]: is no option known by name; did you mean routers?", 0},
		{"always-send of what the server writes", subnetWith("always-send: [dhcp-lease-time]"), "subnets[0].always-send[0]: cannot be configured: the server writes it", 0},
		{"always-send in a pool", subnetWith("pools: [{range: 192.0.2.8/29, always-send: [{}]}]"), "subnets[0].pools[0].always-send[0]: must be the name or the code of an option", 0},
		{"always-send of option 108", subnetWith("always-send: [108]"), "subnets[0].always-send[0]: is for clients only that list it", 0},
		{"options as list", subnetWith("options: [routers]"), "subnets[0].options: must be a mapping of option names or codes to values", 0},
		{"unknown option", subnetWith("options: {router: 192.0.2.1}"), "line 2, column 13: subnets[0].options.router: is no option known by name; did you mean routers?", 0},
		{"bad option value", subnetWith("options: {routers: [192.0.2.1, x]}"), `line 2, column 34: subnets[0].options.routers[1]: "x" is no IPv4 address`, 0},
		{"option by name and code", subnetWith("options: {routers: 192.0.2.1, 3: 0xc0000201}"), "option routers is there twice", 0},
		{"O4-8 width 33", subnetWith("options: {classless-static-route: [10.0.0.0/33 via 192.0.2.1]}"), "must be an IPv4 prefix", 0},
		{"O4-10 empty value", subnetWith("options: {domain-name: ''}"), "subnets[0].options.domain-name: is empty", 0},

		{"class without condition", subnetWith("classes: [{options: {routers: 192.0.2.1}}]"), "subnets[0].classes[0]: says of no client", 0},
		{"class with bad hex", subnetWith("classes: [{hw-address: 'zz:*'}]"), "must be hex", 0},
		{"class with a mistake in its test", subnetWith("classes: [{name: a, test: \"optoin[60].hex == 'a'\"}]"), "line 2, column 30: subnets[0].classes[0].test: optoin is not understood; did you mean option?", 0},
		{"test in plain text", "classes:\n  - test: option[60].hex = 'a'\nsubnets:\n" + subnetWith(""), "line 2, column 26: classes[0].test: one = means nothing", 0},
		{"test in single quotes", subnetWith("classes: [{name: a, test: 'option[60].hex == ''a'' nand option[61].exists'}]"), "line 2, column 54: subnets[0].classes[0].test: nand is not understood", 0},
		{"test over several lines", "classes:\n  - name: a\n    test: >\n      option[60].exists\n      and optoin[61].exists\nsubnets:\n" + subnetWith(""), "line 5, column 11: classes[0].test: optoin is not understood", 0},
		{"test as a block", "classes:\n  - name: a\n    test: |\n      option[60].exists\n\n        or pkt4.size == 1\nsubnets:\n" + subnetWith(""), "line 6, column 17: classes[0].test: pkt4 has no field size", 0},
		{"test that ends too early", subnetWith("classes: [{name: a, test: 'option[60].hex =='}]"), "line 2, column 47: subnets[0].classes[0].test: the end is not understood here", 0},
		{"test of a value", subnetWith("classes: [{name: a, test: 'option[60].hex'}]"), "is a value, and a test is asked for", 0},
		{"test with an option's name", subnetWith("classes: [{name: a, test: 'option[host_name].exists'}]"), "did you mean host-name?", 0},
		{"class with a maximum alone", subnetWith("classes: [{test: known, max-lease-time: 1h}]"), "classes[0].max-lease-time: needs lease-time beside it", 0},
		{"class with times that descend", subnetWith("classes: [{test: known, lease-time: 2h, max-lease-time: 1h}]"), "must not descend", 0},
		{"class with an unknown refusal", subnetWith("classes: [{test: known, refuse: loud}]"), "must be silent or nak", 0},
		{"class of an unknown class", subnetWith("classes: [{name: a, test: \"member('b')\"}, {name: b, test: known}]"), "no class b is defined before this one", 0},
		{"two classes of one name", subnetWith("classes: [{name: a, test: known}, {name: a, test: known}]"), "subnets[0].classes[1]: the class a is defined already", 0},
		{"class of a name that is always there", subnetWith("classes: [{name: KNOWN, test: known}]"), "KNOWN is a class that is always there", 0},
		{"match of an unknown class", subnetWith("match: [{class: a}]"), "line 2, column 19: subnets[0].match[0].class: no class a is defined at the document's top; there are none", 0},
		{"match of a class of the subnet", subnetWith("classes: [{name: a, test: unknown}]\nmatch: [{class: a}]"), "no class a is defined at the document's top", 0},
		{"match of a class that asks for a reservation", "classes: [{name: a, test: not known}]\nsubnets:\n" + subnetWith("match: [{class: a}]"), "depends on whether the client has a reservation", 0},
		{"trust by class", "classes: [{name: a, test: pkt4.htype == 1}]\nsubnets:\n" + subnetWith("match: [{class: a, trust-inner: true}]"), "whoever is in a class says so himself", 0},
		{"equal claims by class", "classes: [{name: a, test: pkt4.htype == 1}]\nsubnets:\n" + subnetWith("match: [{class: a}, {class: a}]"), "is the same entry", 0},

		{"pool for an unknown class", subnetWith("pools: [{range: 192.0.2.9-192.0.2.9, only: [phone]}]\nclasses: [{name: phones, test: known}]"), "subnets[0].pools[0].only[0]: no class phone is defined here; did you mean phones?", 0},
		{"pool for no class", subnetWith("pools: [{range: 192.0.2.9-192.0.2.9, only: []}]"), "names no class; nobody would get an address", 0},
		{"class of an unknown pool", subnetWith("classes: [{test: known, pools: [a]}]"), "subnets[0].classes[0].pools: no pool has the name a", 0},
		{"D4-90 option taken away where it is configured", subnetWith("options: {routers: [192.0.2.1]}\nno-options: [3]"), "subnets[0].no-options[0]: option routers is configured here, too", 0},
		{"D4-90 unknown option taken away", subnetWith("no-options: [router]"), "did you mean routers?", 0},
		{"D4-90 a pool takes the IPv6-only wait away", subnetWith("pools: [{range: 192.0.2.9-192.0.2.9, no-options: [108]}]"), "cannot depend on it", 0},
		{"pool with a maximum alone", subnetWith("pools: [{range: 192.0.2.9-192.0.2.9, max-lease-time: 1h}]"), "needs lease-time beside it", 0},
		{"reservation with times that descend", reserve("{address: 192.0.2.9, client-id: 01:02, lease-time: 2h, max-lease-time: 1h}"), "must not descend", 0},
		{"reservation with an unknown refusal", reserve("{address: 192.0.2.9, client-id: 01:02, refuse: loud}"), "must be silent or nak", 0},
		{"D4-87 identity by a class that asks for a reservation", subnetWith("classes: [{test: known, ignore-client-id: true}]"), "subnets[0].classes[0].ignore-client-id: depends here on whether the client has a reservation", 0},
		{"D4-87 reservation by what the subnet ignores", reserve("{address: 192.0.2.9, client-id: 01:02}") + "  ignore-client-id: true\n", "names its client by client-id, which the subnet ignores", 0},
		{"D4-89 reservation by link-selection alone", reserve("{address: 192.0.2.9, link-selection: 192.0.2.1}"), "link-selection names no client by itself", 0},
		{"D4-89 reservation by two ways", reserve("{address: 192.0.2.9, circuit-id: a, interface-id: a}"), "must name its client in one way", 0},
		{"D4-89 several hardware addresses, one reserved already", reserve("{address: 192.0.2.9, hw-address: '02:00'}, {address: 192.0.2.8, hw-addresses: ['02:01', '02:00']}"), "the same client or attachment point has a reservation already in line 2", 0},
		{"reservation without address", reserve("{hw-address: 02:00:00:00:00:01}"), "subnets[0].reservations[0]: gives its client nothing; give it an address, pools, or options", 0},
		{"reservation with address and pools", subnetWith("pools: [{range: 192.0.2.10-192.0.2.20, name: a}]\nreservations: [{hw-address: 02:00:00:00:00:01, address: 192.0.2.9, pools: [a]}]"), "subnets[0].reservations[0].pools: says of which pools the address is, and the reservation has one", 0},
		{"reservation with an unknown pool", reserve("{hw-address: 02:00:00:00:00:01, pools: [a]}"), "no pool of the subnet has the name a; give it to one", 0},
		{"reservation without client", reserve("{address: 192.0.2.9}"), "must name its client in one way", 0},
		{"reservation with two clients", reserve("{address: 192.0.2.9, hw-address: 02:00:00:00:00:01, interface-id: a}"), "must name its client in one way", 0},
		{"reservation by link-address alone", reserve("{address: 192.0.2.9, link-address: 2001:db8::1}"), "link-address names no client by itself", 0},
		{"D6-42 reservation with a link-local link-address", reserve("{address: 192.0.2.9, interface-id: a, link-address: fe80::1}"), "is link-local", 0},
		{"D6-42 reservation with the link-address of a group", reserve("{address: 192.0.2.9, interface-id: a, link-address: ff02::1}"), "no address that a host or a relay can have", 0},
		{"reservation by link-address prefix", reserve("{address: 192.0.2.9, interface-id: a, link-address: 2001:db8::/64}"), "must be an address, not a prefix", 0},
		{"reservation outside the subnet", reserve("{address: 192.0.3.9, client-id: 01:02}"), "192.0.3.9 is not in the subnet 192.0.2.0/24", 0},
		{"reservation of the broadcast address", reserve("{address: 192.0.2.255, client-id: 01:02}"), "is the network's own or the broadcast address", 0},
		{"reservation of the server identifier", reserve("{address: 192.0.2.1, client-id: 01:02}"), "192.0.2.1 is the server identifier", 0},
		{"client-id as text", reserve("{address: 192.0.2.9, client-id: foo}"), "must be hex", 0},
		{"client-id too short", reserve("{address: 192.0.2.9, client-id: 'ff'}"), "at least two octets", 0},
		{"hw-address too long", reserve("{address: 192.0.2.9, hw-address: '" + strings.Repeat("00", 17) + "'}"), "at most 16", 0},
		{"address reserved twice", reserve("{address: 192.0.2.9, client-id: 01:02}, {address: 192.0.2.9, client-id: 01:03}"), "subnets[0].reservations[1].address: 192.0.2.9 is reserved already in line 2", 0},
		{"client reserved twice", reserve("{address: 192.0.2.9, client-id: 01:02}, {address: 192.0.2.8, client-id: 0x0102}"), "subnets[0].reservations[1]: the same client or attachment point has a reservation already in line 2", 0},
		{"point reserved twice", reserve("{address: 192.0.2.9, interface-id: a}, {address: 192.0.2.8, interface-id: 0x61}"), "the same client or attachment point", 0},
		{"reservation options", reserve("{address: 192.0.2.9, client-id: 01:02, options: {routers: x}}"), "subnets[0].reservations[0].options.routers:", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := defaults
			d.PeerServerIDs = []netip.Addr{netip.MustParseAddr("198.51.100.2")}
			s, err := ParseSubnets([]byte(c.doc), d)
			var mistakes document.Mistakes
			if s != nil || !errors.As(err, &mistakes) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\nwant %s\n%s", err, c.want, c.doc)
			}
			if len(mistakes) != max(1, c.mistakes) {
				t.Errorf("%d mistakes:\n%v\n%s", len(mistakes), err, c.doc)
			}
		})
	}
}

func reserve(list string) string { return subnetWith("reservations: [" + list + "]") }
