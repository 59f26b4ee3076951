package page

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/backend"
	"github.com/dhcp4o6/dhcp4o6/dhcp6d/internal/listen"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

// links are interfaces that are to be served. Those of the table are.
type links struct {
	*listen.Interfaces
	status []listen.Status
}

func (l links) Status() []listen.Status { return l.status }

// site makes the pages of a dhcp6d.
func site(backends []backend.Status, interfaces links) http.Handler {
	reg := prometheus.NewRegistry()
	drops := metric.NewDrops(reg, drop.DHCP6D, "link").Tally("link")
	drops.Add(drop.RelayForbidden, 3)
	drops.Flush()
	return New(Options{
		Backends:   func() []backend.Status { return backends },
		Interfaces: func() Interfaces { return interfaces },
		Trace:      new(trace.Hub), Metrics: reg, Version: "v1",
	})
}

// has reports an error for all that a page does not have, and for markup that is not closed.
func has(t *testing.T, h http.Handler, path string, code int, parts ...string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	body := w.Body.String()
	if w.Code != code {
		t.Errorf("%s: %d, want %d", path, w.Code, code)
	}
	for _, p := range parts {
		if !strings.Contains(body, p) {
			t.Errorf("%s: %q is not in\n%s", path, p, body)
		}
	}
	for _, tag := range []string{"a", "div", "dl", "main", "nav", "p", "span", "table", "td", "tr"} {
		opened := strings.Count(body, "<"+tag+">") + strings.Count(body, "<"+tag+" ")
		if closed := strings.Count(body, "</"+tag+">"); opened != closed {
			t.Errorf("%[1]s: %[2]d of <%[3]s>, %[4]d of </%[3]s>:\n%[5]s", path, opened, tag, closed, body)
		}
	}
	if strings.Contains(body, "<script") {
		t.Errorf("%s: a name was taken for markup:\n%s", path, body)
	}
}

func TestBackendsAndInterfaces(t *testing.T) {
	served := listen.NewInterfaces(listen.Interface{
		Index: 2, Name: "eth1", Addresses: []netip.Addr{netip.MustParseAddr("fe80::1"), netip.MustParseAddr("2001:db8::1")},
	})
	h := site([]backend.Status{
		{Name: "west", Address: "[2001:db8::4]:6768", Health: backend.Up, Timeouts: 7},
		{Name: "<script>", Health: backend.Down, Why: "its name stands for no address", Remedy: "correct the name"},
		{Name: "kea", Kea: true, Address: "[2001:db8::5]:6768", Health: backend.Unheard, Why: "it has said nothing"},
		{Name: "odd", Health: backend.Unable, Remedy: "free some disk"},
	}, links{served, []listen.Status{{Name: "eth1", Trouble: listen.NoTrouble}, {Name: "eth2", Trouble: listen.Missing}}})
	has(t, h, "/", 200, "west", "[2001:db8::4]:6768", ">up<", ">7<", "&lt;script&gt;", "its name stands for no address; correct the name",
		`<span class="quiet">Kea</span>`, "it has said nothing<", "free some disk", "fe80::1, 2001:db8::1", "served", "eth2", "it does not exist")
	has(t, site(nil, links{listen.NewInterfaces(), nil}), "/", 200, "No interface is served.")
}

func TestDropsAndTraceAndWhatThereIsNot(t *testing.T) {
	h := site(nil, links{listen.NewInterfaces(), nil})
	has(t, h, "/drops", 200, "relay_forbidden", ">3<", drop.RelayForbidden.Meaning(), "None since the start.")
	has(t, h, "/trace", 200, "Interface-Id", `<a href="http://example.com:9568/">dhcp4d</a>`)
	has(t, h, "/trace?kind=hw_address&value=nonsense", 400, `role="alert"`)
	has(t, h, "/leases", 404, "There is no such page.")
}
