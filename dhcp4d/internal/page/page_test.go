package page

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/refusals"
	"github.com/dhcp4o6/dhcp4o6/shared/attachment"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/octets"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

const now lease.Time = 1_800_000_000

// hostile is an Interface-Id that is markup.
const hostile = `"><script>alert('x')</script><img src=x onerror=alert(1)>`

// fake is so many leases, of which none is in memory. The last one is at a hostile place. The one
// before it is behind a relay that names its port by a Remote-Id, and has a DUID.
type fake struct {
	n       int
	subnets []leases.Usage
	stale   bool
	bare    bool // no lease has a hardware address
}

func (f *fake) at(i int) lease.Binding {
	b := lease.Binding{
		ID: lease.ID{Addr: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})}, Subnet: 1, State: lease.Bound, Client: []byte{lease.KeyIdentifier, 0xff, byte(i >> 16), byte(i >> 8), byte(i)},
		HWType: 1, HWAddr: []byte{2, 0, 0x5e, byte(i >> 16), byte(i >> 8), byte(i)}, Source: netip.MustParseAddr("2001:db8::9"), Expires: now + 100,
	}
	if f.bare {
		b.HWAddr = nil
	}
	if i == f.n-2 {
		duid, _ := octets.ParseHex("000100012b3c4d5e0a0b0c0d0e0f")
		b.Source, b.Client = netip.MustParseAddr("2001:db8:5::77"), append([]byte{lease.KeyIdentifier, 0xff, 0, 0, 0, 7}, duid...)
		remote, _ := octets.ParseRemoteID("3561:line 7")
		b.Point = (&attachment.Parts{Kind: attachment.RemoteID, Address: netip.MustParseAddr("2001:db8:6::1"), Name: remote}).Append(nil)
	}
	if i == f.n-3 {
		b.Point = (&attachment.Parts{Kind: attachment.InterfaceID, Address: netip.MustParseAddr("2001:db8:5::1"), Name: []byte("port 7")}).Append(nil)
		b.RemoteID, _ = octets.ParseRemoteID("3561:line 8")
	}
	if i == f.n-1 {
		b.Point = (&attachment.Parts{Kind: attachment.InterfaceID, Address: netip.MustParseAddr("2001:db8:7::1"), Name: []byte(hostile)}).Append(nil)
	}
	return b
}
func (f *fake) Now() lease.Time { return now }
func (f *fake) Get(a netip.Addr, into *lease.Batch) {
	if o := a.As4(); o[0] == 10 {
		if i := int(o[1])<<16 | int(o[2])<<8 | int(o[3]); i < f.n {
			b := f.at(i)
			into.Add(&b)
		}
	}
}

func (f *fake) Scan(from leases.ScanPosition, match func(*lease.Binding) bool, into *lease.Batch) (leases.ScanPosition, error) {
	if f.stale && from > 0 {
		return 0, leases.ErrStale
	}
	end := min(int(from)+256, f.n)
	for i := int(from); i < end; i++ {
		if b := f.at(i); match(&b) {
			into.Add(&b)
		}
	}
	if end == f.n {
		return 0, nil
	}
	return leases.ScanPosition(end), nil
}
func (f *fake) Subnets() []leases.Usage                { return f.subnets }
func (f *fake) Subnet(netip.Addr) (string, bool)       { return "north", true }
func (f *fake) SubnetNamed(name string) (uint32, bool) { return 1, name == "north" }

// site makes the pages of a dhcp4d.
func site(f *fake, log string) (http.Handler, *refusals.Recent, *trace.Hub) {
	reg := prometheus.NewRegistry()
	drops := metric.NewDrops(reg, drop.DHCP4D, "ipc").Tally("ipc")
	drops.Add(drop.NoAddress, 3)
	drops.Flush()
	recent, hub := new(refusals.Recent), new(trace.Hub)
	return New(Options{
		Leases: f, Refusals: recent, Trace: hub, Metrics: reg, Version: "v1", LeaseLog: func() string { return log },
	}), recent, hub
}

func get(h http.Handler, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	return w
}

// has reports an error for all that a page does not have.
func has(t *testing.T, w *httptest.ResponseRecorder, code int, parts ...string) {
	t.Helper()
	if w.Code != code {
		t.Errorf("%d, want %d", w.Code, code)
	}
	for _, p := range parts {
		if !strings.Contains(w.Body.String(), p) {
			t.Errorf("%q is not in\n%s", p, w.Body)
		}
	}
	for _, tag := range []string{"a", "div", "dl", "main", "nav", "p", "span", "table", "td", "tr"} {
		body := w.Body.String()
		opened := strings.Count(body, "<"+tag+">") + strings.Count(body, "<"+tag+" ")
		if closed := strings.Count(body, "</"+tag+">"); opened != closed && strings.Contains(body, "</html>") {
			t.Errorf("%[1]d of <%[2]s>, %[3]d of </%[2]s>:\n%[4]s", opened, tag, closed, body)
		}
	}
	for _, markup := range []string{"<script", "<img", "onerror=alert(1)>"} {
		if strings.Contains(w.Body.String(), markup) {
			t.Errorf("%q is in\n%s", markup, w.Body)
		}
	}
}

func TestSubnetsByUseWithTheirRefusals(t *testing.T) {
	f := &fake{}
	for i := range 120 {
		size := uint32(100)
		f.subnets = append(f.subnets, leases.Usage{
			ID: uint32(i + 1), Name: fmt.Sprintf("net %d", i+1), Prefix: netip.MustParsePrefix("192.0.2.0/24"), State: "active", Size: size, Free: size - uint32(i%100),
			Pools: []leases.PoolUsage{{Ranges: []network.Range{{First: netip.MustParseAddr("192.0.2.10"), Last: netip.MustParseAddr("192.0.2.109")}}, Size: size, Free: size - uint32(i%100)}},
		})
	}
	f.subnets[0].Name, f.subnets[0].Free = hostile, 0
	h, recent, _ := site(f, "")
	now := time.Now().Unix()
	for range 7 {
		r := refusals.Refusal{Time: now, Subnet: 1, Link: netip.MustParseAddr("2001:db8:7::1"), Source: netip.MustParseAddr("fe80::1"), Why: drop.NoAddress}
		r.SetHWAddr([]byte{2, 0, 0x5e, 0, 0, 1})
		recent.Add(&r)
	}
	recent.Add(&refusals.Refusal{Time: now, Why: drop.NoSubnet})
	recent.Add(&refusals.Refusal{Time: now - 3600, Subnet: 2, Nak: lease.NotAvailable})
	w := get(h, "/")
	has(t, w, 200, "120 subnets, the fullest first; 1 to 50 here", "100 %", "192.0.2.10–192.0.2.109", "&lt;script&gt;", `data-name="Refusals">7<`,
		"02:00:5e:00:00:01", "every address that the client may have is taken", "behind 2001:db8:7::1", "1 queries of the last 15 minutes got no subnet", "NAK", "address not available", "/?from=50")
	body := w.Body.String()
	if full, next := strings.Index(body, "/leases?subnet=1\""), strings.Index(body, "/leases?subnet=100\""); full < 0 || next < full {
		t.Errorf("subnet 1 is full and at %d, subnet 100 is at %d", full, next)
	}
	has(t, get(h, "/?from=100"), 200, "101 to 120 here", "/?from=50")
	has(t, get(h, "/?from=-5"), 200, "1 to 50 here")
	has(t, get(h, "/?from=99999999999999999999"), 200)
	has(t, get(h, "/nowhere"), 404, "There is no such page")
	has(t, get(h, "/drops"), 200, "no_address", ">3<", "every address that the client may have is taken")
	none, _, _ := site(&fake{}, "")
	has(t, get(none, "/"), 200, "0 subnets", "No client was refused")
}

// Leases are looked through by everything that a lease can be found by, and never listed.
func TestSearch(t *testing.T) {
	f := &fake{n: 20_000}
	h, _, _ := site(f, "")
	find := func(q string) *httptest.ResponseRecorder {
		w := get(h, "/leases?"+url.Values{"q": {q}}.Encode())
		for next := 0; strings.Contains(w.Body.String(), "Nothing was found yet"); next++ { // the machine is slow
			w = get(h, on(t, w))
		}
		return w
	}
	const last, line, port = "10.0.78.31", "10.0.78.30", "10.0.78.29" // number 19,999 and those before it
	for _, c := range []struct{ name, q, want string }{
		{"address", "10.0.78.31", last},
		{"prefix", "10.0.78.31/32", last},
		{"colons", "02:00:5e:00:4e:1f", last},
		{"colons, upper case", "02:00:5E:00:4E:1F", last},
		{"colons, without leading zeros", "2:0:5e:0:4e:1f", last},
		{"dashes", " 02-00-5E-00-4E-1F ", last},
		{"dashes, without leading zeros", "2-0-5E-0-4E-1F", last},
		{"blanks", "02 00 5e 00 4e 1f", last},
		{"dots of four", "0200.5e00.4e1f", last},
		{"dots of four, upper case", "0200.5E00.4E1F", last},
		{"two halves", "02005e-004e1f", last},
		{"digits", "02005e004e1f", last},
		{"digits, upper case", "02005E004E1F", last},
		{"digits after 0x", "0x02005e004e1f", last},
		{"hardware type and address", "01:02:00:5e:00:4e:1f", last},
		{"hardware type and address, dashes", "1-2-0-5E-0-4E-1F", last},
		{"hardware type and address, digits", "0102005e004e1f", last},
		{"client identifier", "ff:00:4e:1f", last},
		{"client identifier, digits", "FF004E1F", last},
		{"client identifier with a DUID", "ff:00:00:00:07:00:01:00:01:2b:3c:4d:5e:0a:0b:0c:0d:0e:0f", line},
		{"DUID", "00:01:00:01:2b:3c:4d:5e:0a:0b:0c:0d:0e:0f", line},
		{"DUID, upper case and digits", "000100012B3C4D5E0A0B0C0D0E0F", line},
		{"beginning of a DUID", "00:01:00:01:2b:3c", line},
		{"beginning of a client identifier", "ff000000070001", line},
		{"Interface-Id", hostile, last},
		{"Interface-Id with a blank", "port 7", port},
		{"Interface-Id in quotes, as the history has it", `"port 7"`, port},
		{"Interface-Id in hex", "0x706f72742037", port},
		{"Interface-Id in hex, as the log has it", "706f72742037", port},
		{"Remote-Id", "3561:line 7", line},
		{"Remote-Id, partly in hex", "3561:0x6c696e652037", line},
		{"Remote-Id, all of the option", "0x00000de96c696e652037", line},
		{"Remote-Id, as the log has it", "00000de96c696e652037", line},
		{"Remote-Id beside an Interface-Id", "3561:line 8", port},
		{"Remote-Id beside an Interface-Id, all of the option", "0x00000de96c696e652038", port},
		{"Remote-Id beside an Interface-Id, as the log has it", "00:00:0d:e9:6c:69:6e:65:20:38", port},
		{"identifier of a Remote-Id", "line 7", line},
		{"identifier of a Remote-Id beside an Interface-Id", "line 8", port},
		{"link-address", "2001:db8:7::1", last},
		{"link-address in full and upper case", "2001:0DB8:0007:0:0:0:0:1", last},
		{"link", "2001:db8:7::/48", last},
		{"link-address of a Remote-Id", "2001:db8:6::1", line},
		{"IPv6 source", "2001:db8:5::77", line},
		{"prefix of an IPv6 source", "2001:db8:5::70/124", line},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := find(c.q)
			has(t, w, 200, "/leases/"+c.want+`"`)
			if n := strings.Count(w.Body.String(), `<a href="/leases/10.`); n != 1 {
				t.Errorf("%d leases are found, want one", n)
			}
		})
	}
	t.Run("the Remote-Id is shown, once", func(t *testing.T) {
		has(t, find("line 8"), 200, "interface-id &#34;port 7&#34; at 2001:db8:5::1, Remote-Id 3561:line 8</td>")
		has(t, get(h, "/leases/"+port), 200, "<dt>Remote-Id</dt><dd>3561:line 8</dd>")
		has(t, get(h, "/leases/"+line), 200, "<dt>Remote-Id</dt><dd>3561:line 7</dd>")
		if body := find("line 7").Body.String(); strings.Contains(body, ", Remote-Id 3561:line 7</td>") {
			t.Error("the point and the Remote-Id are the same, and both are shown")
		}
		if body := get(h, "/leases/"+last).Body.String(); strings.Contains(body, "<dt>Remote-Id") {
			t.Error("a Remote-Id is shown where there is none")
		}
	})
	for name, q := range map[string]string{
		"first octets of a hardware address": "02:00:5e", "in dots of four": "0200.5e", "with its type": "01:02:00:5e",
	} {
		t.Run(name, func(t *testing.T) {
			has(t, get(h, "/leases?"+url.Values{"q": {q}}.Encode()), 200, "/leases/10.0.0.0", "/leases/10.0.0.49", "Search on")
		})
	}
	for name, q := range map[string]string{
		"two octets are no beginning": "02:00", "the end of a hardware address": "00:4e:1f", "another type": "06:02:00:5e:00:4e:1f", "another Remote-Id": "3562:line 7",
	} {
		t.Run(name, func(t *testing.T) { has(t, find(q), 200, "No lease was found") })
	}
	t.Run("a page at a time", func(t *testing.T) {
		seen, pages := map[string]bool{}, 0
		for w := get(h, "/leases?subnet=1"); pages < 20; w = get(h, on(t, w)) {
			body := w.Body.String()
			rows := strings.Split(body, `<a href="/leases/10.`)[1:]
			if len(rows) != perPage {
				t.Fatalf("%d leases on a page", len(rows))
			}
			for _, r := range rows {
				address, _, _ := strings.Cut(r, `"`)
				if seen[address] {
					t.Fatalf("%s comes twice", address)
				}
				seen[address] = true
			}
			pages++
		}
	})
	has(t, find("10.99.0.0"), 200, "No lease was found")
	has(t, find(strings.Repeat("x", 300)), 400, "This is no address and no identifier")
	has(t, get(h, "/leases"), 200, `role="search"`)
	has(t, get(h, "/leases?q=north"), 200, "subnet north", "/leases/10.0.0.0")
	has(t, get(h, "/leases?q=north&cursor=nonsense"), 400, "Search again")
	f.stale = true
	has(t, get(h, "/leases?q=north&cursor=9.0"), 410, "loaded again")
}

// on is the link to what follows.
func on(t *testing.T, w *httptest.ResponseRecorder) string {
	t.Helper()
	_, rest, ok := strings.Cut(w.Body.String(), `<p><a href="`)
	if !ok {
		t.Fatalf("there is no link to more: %s", w.Body)
	}
	link, _, _ := strings.Cut(rest, `"`)
	return html.UnescapeString(link)
}

func TestALeaseWithItsHistory(t *testing.T) {
	log := filepath.Join(t.TempDir(), "leases.log")
	line := func(at, event, client, id string) string {
		return fmt.Sprintf(`{"time":%q,"event":%q,"address":"10.0.0.0","start":%q,"expires":"2026-11-29T12:00:00Z","client_id":%q,"hw_type":1,"hw_address":"","ipv6_source":"2001:db8::1","interface":"eth0","relays":[{"link_address":"2001:db8:7::1","peer_address":"fe80::1","interface_id":"%x"}]}`+"\n", at, event, at, client, id)
	}
	text := line("2026-11-29T08:00:00Z", "allocated", "ff:01", hostile) + line("2026-11-29T09:00:00Z", "released", "ff:01", hostile) + line("2026-11-29T10:00:00Z", "allocated", "ff:02", "port-7")
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	h, _, _ := site(&fake{n: 1}, log)
	w := get(h, "/leases/10.0.0.0")
	has(t, w, 200, "2026-11-29 08:00:00 UTC", "2026-11-29 09:00:00 UTC", "released", "ff:01", "ff:02", "&lt;script&gt;", "bound", "02:00:5e:00:00:00", "relay link-address 2001:db8:7::1")
	has(t, get(h, "/leases/10.0.9.9"), 200, "Nothing is known of the address now", "Nobody had the address since 2026-11-29 08:00:00 UTC")
	has(t, get(h, "/leases/router"), 400, "This is no IPv4 address")
	none, _, _ := site(&fake{n: 1}, "")
	has(t, get(none, "/leases/10.0.0.0"), 200, "There is no history: the lease log is off")
	missing, _, _ := site(&fake{n: 1}, log+".none")
	has(t, get(missing, "/leases/10.0.0.0"), 200, "The history may be incomplete")
}

// Pages that are open in a hundred browsers are all served.
func TestAHundredPagesAtOnce(t *testing.T) {
	h, _, _ := site(&fake{n: 100_000}, "")
	s := httptest.NewServer(h)
	defer s.Close()
	var all sync.WaitGroup
	for i := range 100 {
		all.Go(func() {
			path := []string{"/", "/leases?q=10.0.0.1", "/drops", "/leases?subnet=1"}[i%4]
			r, err := http.Get(s.URL + path)
			if err != nil {
				t.Error(err)
				return
			}
			defer r.Body.Close()
			if _, err := io.Copy(io.Discard, r.Body); err != nil || r.StatusCode != http.StatusOK {
				t.Errorf("%s: %s, %v", path, r.Status, err)
			}
		})
	}
	all.Wait()
}

// The live trace is a page that goes on, and ends with its reader.
func TestLiveTrace(t *testing.T) {
	h, _, hub := site(&fake{}, "")
	s := httptest.NewServer(h)
	defer s.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/trace?kind=hw_address&value=0200.5e00.0001", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	traits := trace.Traits{HWAddr: []byte{2, 0, 0x5e, 0, 0, 1}}
	hub.On().Of(&traits, time.Now()).Send(&trace.Record{Time: time.Now(), Exchange: "exchange 7", Steps: []string{"Interface-Id " + hostile}, Lost: 3})
	var text strings.Builder
	for part := make([]byte, 4096); !strings.Contains(text.String(), "</ol>"); {
		n, err := answer.Body.Read(part)
		if err != nil {
			t.Fatalf("%v after %s", err, &text)
		}
		text.Write(part[:n])
	}
	has(t, &httptest.ResponseRecorder{Code: answer.StatusCode, Body: bytes.NewBufferString(text.String())}, 200, "exchange 7", "&lt;script&gt;", "3 records were lost")
	stop()
	ends(t, hub)
	has(t, get(h, "/trace"), 200, "hardware address")
	has(t, get(h, "/trace?kind=hw_address&value=nonsense"), 400, `role="alert"`)
	has(t, get(h, "/trace?kind=nonsense&value=x"), 400, `role="alert"`)
}

// ends waits until no watch is open.
func ends(t *testing.T, hub *trace.Hub) {
	t.Helper()
	for hub.On() != nil {
		if t.Context().Err() != nil {
			t.Fatal("a watch lives on")
		}
		time.Sleep(time.Millisecond)
	}
}

// A hundred live traces run at once. No packet waits for those that nobody reads.
func TestAHundredLiveTraces(t *testing.T) {
	h, _, hub := site(&fake{}, "")
	s := httptest.NewServer(h)
	defer s.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var pages []io.ReadCloser
	for i := range 100 {
		target := fmt.Sprintf("%s/trace?kind=hw_address&value=0200.5e00.%04x", s.URL, i%2)
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("page %d: %s", i, answer.Status)
		}
		pages = append(pages, answer.Body)
	}
	at := time.Now()
	for i := range 5000 { // far more than the sockets of those who do not read take
		at = at.Add(time.Second / 10)
		name := fmt.Sprintf("<p>exchange %d</p>", i)
		for client := range byte(2) {
			traits := trace.Traits{HWAddr: []byte{2, 0, 0x5e, 0, 0, client}}
			hub.On().Of(&traits, at).Send(&trace.Record{Time: at, Exchange: name, Steps: []string{strings.Repeat("x", 2000)}})
		}
	}
	for i, page := range pages[:4] {
		var text strings.Builder
		for part := make([]byte, 64<<10); !strings.Contains(text.String(), "</ol>"); {
			n, err := page.Read(part)
			if err != nil {
				t.Fatalf("page %d: %v", i, err)
			}
			text.Write(part[:n])
		}
		if !strings.Contains(text.String(), "exchange 0") {
			t.Errorf("page %d lacks the first record:\n%.300s", i, text.String())
		}
	}
	stop()
	ends(t, hub)
}

func TestALeaseWithoutHardwareAddressShowsNoType(t *testing.T) {
	h, _, _ := site(&fake{n: 4, bare: true}, "")
	has(t, get(h, "/leases/10.0.0.0"), 200, `<dt>Hardware address</dt><dd class="mono">–</dd>`)
}
