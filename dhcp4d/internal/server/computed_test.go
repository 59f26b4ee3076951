package server

import (
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
)

// TestD4_94ValuesFromTheQuery: an expression gives the value of an option wherever one can stand.
// Without a value, or with one of an impossible length, the option is as if it were not configured
// there.
func TestD4_94ValuesFromTheQuery(t *testing.T) {
	b := newBench(t)
	b.reload(t, `
options:
  host-name: {expr: "'top-' + hexstring(pkt4.mac, '')"}
  domain-name: top.example
  root-path: {expr: "option[12].hex"}
classes:
  - {name: named, test: "option[12].exists", options: {host-name: {expr: "lcase(option[12].hex)"}, merit-dump: {expr: "ifelse(member('late'), 'late', '')"}}}
  - {name: late, test: "option[12].hex == 'LATE'"}
subnets:
  - id: 1
    subnet: 192.0.2.0/24
    match: [{interface: eth1}]
    pools: [{range: 192.0.2.10-192.0.2.99, options: {domain-name: {expr: "option[60].hex"}, routers: {expr: "option[200].hex"}}}]
    options: {routers: [192.0.2.1], 224: {expr: "pkt.iface"}}
    reservations: [{hw-address: "02:00:00:00:00:09", address: 192.0.2.9, options: {root-path: {expr: "'r' + hexstring(option[61].hex, ':')"}}}]
`)
	name := func(s string) []byte { return dhcp4.AppendOption(nil, 12, []byte(s)) }
	for _, c := range []struct {
		name    string
		client  byte
		options []byte
		want    map[byte]string
	}{
		{"of the top", 1, nil, map[byte]string{12: "top-020000000001", 15: "top.example", 17: "", 224: "eth1", 3: "\xc0\x00\x02\x01"}},
		{"of a class, over the top", 2, name("LATE"), map[byte]string{12: "late", 14: "late", 17: "LATE"}},
		{"that has no value", 3, name("x"), map[byte]string{12: "x", 14: "", 17: "x"}},
		{"of a pool", 4, vendor("pool.example"), map[byte]string{15: "pool.example"}},
		{"of a length that the option can have", 5, dhcp4.AppendOption(nil, 200, []byte{192, 0, 2, 3, 192, 0, 2, 4}), map[byte]string{3: "\xc0\x00\x02\x03\xc0\x00\x02\x04"}},
		{"of a length that it cannot have", 6, dhcp4.AppendOption(nil, 200, []byte{1, 2, 3}), map[byte]string{3: "\xc0\x00\x02\x01"}},
		{"of a reservation", 9, name("nine"), map[byte]string{17: "rff:09", 12: "nine"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := b.ask(t, frame(t, query(message(dhcp4.Discover, c.client, c.options)), direct))
			for code, want := range c.want {
				if got, ok := m.Option(code); string(got) != want || ok != (want != "") {
					t.Errorf("option %d is %q, want %q", code, got, want)
				}
			}
		})
	}
	t.Run("only where the client asks", func(t *testing.T) {
		asks := dhcp4.AppendOption(nil, dhcp4.OptParameterRequestList, []byte{15, 121})
		m := b.ask(t, frame(t, query(message(dhcp4.Discover, 1, asks)), direct))
		if m.Has(12) || m.Has(224) || !m.Has(15) {
			t.Error("the reply has other options than those that were asked for")
		}
	})
}

// TestD4_94RoutesWithoutAValue: a client that asks for classless routes which have no value gets
// the routers.
func TestD4_94RoutesWithoutAValue(t *testing.T) {
	b := newBench(t)
	b.reload(t, `[{id: 1, subnet: 192.0.2.0/24, match: [{interface: eth1}], pools: [192.0.2.10-192.0.2.99],
  options: {routers: [192.0.2.1], classless-static-route: {expr: "option[200].hex"}}}]`)
	asks := dhcp4.AppendOption(nil, dhcp4.OptParameterRequestList, []byte{3, 121})
	ask := func(client byte, more ...[]byte) dhcp4.Message {
		return b.ask(t, frame(t, query(message(dhcp4.Discover, client, append(more, asks)...)), direct))
	}
	if m := ask(1); !m.Has(3) || m.Has(121) {
		t.Error("a client without routes gets no routers")
	}
	if m := ask(2, dhcp4.AppendOption(nil, 200, []byte{0, 192, 0, 2, 1})); m.Has(3) || !m.Has(121) {
		t.Error("a client with routes gets routers")
	}
}
