package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leases"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/network"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/operator"
	"github.com/dhcp4o6/dhcp4o6/shared/access"
	"github.com/dhcp4o6/dhcp4o6/shared/trace"
)

const now lease.Time = 1_800_000_000

// fake is leases in a slice, three of which are looked at in one step.
type fake struct {
	all     []lease.Binding
	stale   leases.ScanPosition // from here on the table is another one
	ordered []string
	err     error
	hung    chan struct{} // told of each scan, which then waits
	goOn    chan struct{}
}

func (f *fake) Now() lease.Time { return now }

func (f *fake) Get(a netip.Addr, into *lease.Batch) {
	for i := range f.all {
		if f.all[i].Addr == a {
			into.Add(&f.all[i])
		}
	}
}

func (f *fake) Scan(from leases.ScanPosition, match func(*lease.Binding) bool, into *lease.Batch) (leases.ScanPosition, error) {
	if f.hung != nil {
		f.hung <- struct{}{}
		<-f.goOn
	}
	if f.stale != 0 && from >= f.stale {
		return 0, leases.ErrStale
	}
	end := min(from+3, leases.ScanPosition(len(f.all)))
	for i := from; i < end; i++ {
		if match(&f.all[i]) {
			into.Add(&f.all[i])
		}
	}
	if end == leases.ScanPosition(len(f.all)) {
		return 0, nil
	}
	return end, nil
}

func (f *fake) OfClient(key []byte, into *lease.Batch) {
	for i := range f.all {
		if string(f.all[i].Client) == string(key) {
			into.Add(&f.all[i])
		}
	}
}

func (f *fake) Subnets() []leases.Usage {
	return []leases.Usage{{
		ID: 1, Name: "north", Prefix: netip.MustParsePrefix("192.0.2.0/24"), State: "drain", Size: 9, Free: 7, Bound: 2,
		Pools: []leases.PoolUsage{{Ranges: []network.Range{{First: netip.MustParseAddr("192.0.2.1"), Last: netip.MustParseAddr("192.0.2.9")}}, Size: 9, Free: 7}},
	}}
}

func (f *fake) Subnet(a netip.Addr) (string, bool) {
	return "north", netip.MustParsePrefix("192.0.2.0/24").Contains(a)
}

func (f *fake) SubnetNamed(name string) (uint32, bool) { return 1, name == "north" }

func (f *fake) Release(_ context.Context, id lease.ID, by string) (lease.Binding, error) {
	f.ordered = append(f.ordered, fmt.Sprint("release ", id.Addr, " by ", by))
	return lease.Binding{ID: id, State: lease.Released, Expires: now}, f.err
}

func (f *fake) Reserve(_ context.Context, r *leases.Assignment, by string) (lease.Binding, error) {
	f.ordered = append(f.ordered, fmt.Sprintf("reserve %v for %x of %d %x, %d s, by %s", r.Address, r.Client, r.HWType, r.HWAddr, r.Time, by))
	return lease.Binding{ID: lease.ID{Addr: r.Address}, State: lease.Bound, Expires: now.After(r.Time)}, f.err
}

// someLeases are ten of every kind.
func someLeases() []lease.Binding {
	all := make([]lease.Binding, 10)
	for i := range all {
		all[i] = lease.Binding{
			ID: lease.ID{Addr: netip.AddrFrom4([4]byte{192, 0, 2, byte(i)})}, Subnet: uint32(1 + i%2), State: lease.Bound, Client: []byte{lease.KeyIdentifier, 0xff, byte(i)},
			HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, byte(i)}, Source: netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 7: byte(i), 15: 1}), Expires: now + 100,
		}
	}
	all[3].State, all[4].State, all[5].State, all[6].Expires = lease.Offered, lease.Released, lease.Declined, now-1
	all[7].Client = lease.AppendKey(nil, nil, 1, all[7].HWAddr)
	all[8].Source = netip.Addr{}
	return all
}

const token = "s3cret-s3cret-s3cret"

// guarded makes a handler that wants the token.
func guarded(l interface {
	Leases
	Orders
}) http.Handler {
	log, reg := slog.New(slog.DiscardHandler), prometheus.NewRegistry()
	return access.NewGuard(token, access.NewRefused(reg, "dhcp4d", log), NewHandler(Options{Leases: l, Orders: l, Trace: new(trace.Hub), Registry: reg, Log: log}))
}

// call makes a request with the token, or with the headers given, as a program on this host does.
func call(h http.Handler, method, target, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.RemoteAddr = "[::1]:40000"
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestWhoMayComeIn(t *testing.T) {
	h := guarded(&fake{all: someLeases()})
	for _, path := range []string{"/v1/leases", "/v1/openapi.json", "/", "/v1/leases/192.0.2.1"} {
		for name, header := range map[string]string{
			"none": "", "wrong": "Bearer wrong", "a part": "Bearer s3cret", "longer": "Bearer s3cret-s3cret-s3cret2",
			"another scheme": "Basic " + token, "bare": "Bearer ", "no scheme": token, "no blank": "Bearer" + token,
		} {
			w := call(h, "GET", path, "", "Authorization", header)
			if w.Code != http.StatusUnauthorized || w.Body.Len() != 0 {
				t.Errorf("%s with token %s: %d %q, want 401 and nothing else", path, name, w.Code, w.Body)
			}
		}
	}
	if w := call(h, "GET", "/v1/leases", "", "Authorization", "bearer "+token); w.Code != http.StatusOK {
		t.Errorf("with the token: %d %s", w.Code, w.Body)
	}
}

// addresses are the last octets of a list's addresses.
func addresses(t *testing.T, ls []leasefile.Lease) (octets []int) {
	t.Helper()
	for i := range ls {
		octets = append(octets, int(ls[i].Address.As4()[3]))
	}
	return octets
}

func listOf(t *testing.T, h http.Handler, query string) (p page) {
	t.Helper()
	w := call(h, "GET", "/v1/leases?"+query, "")
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", query, w.Code, w.Body)
	}
	return p
}

func TestFilters(t *testing.T) {
	h := guarded(&fake{all: someLeases()})
	for query, want := range map[string][]int{
		"":                              {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
		"subnet=2":                      {1, 3, 5, 7, 9},
		"state=bound":                   {0, 1, 2, 7, 8, 9},
		"state=offered":                 {3},
		"state=released":                {4},
		"state=declined":                {5},
		"state=expired":                 {6},
		"address=192.0.2.4":             {4},
		"address=192.0.2.4&state=bound": nil,
		"address=192.0.2.77":            nil,
		"client_id=ff:03":               {3},
		"client_id=ff03&subnet=2":       {3},
		"client_id=ff:03&subnet=1":      nil,
		"hw_address=02:00:00:00:00:07":  {7},
		"source=2001:db8:0:5::1":        {5},
		"source=2001:db8:0:4::/63":      {4, 5},
		"source=2001:db8::/32":          {0, 1, 2, 3, 4, 5, 6, 7, 9},
		"state=bound&subnet=1":          {0, 2, 8},
		"subnet=":                       {0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
	} {
		if p := listOf(t, h, query); !slices.Equal(addresses(t, p.Leases), want) || p.Next != "" {
			t.Errorf("%q finds %v and goes on at %q, want %v", query, addresses(t, p.Leases), p.Next, want)
		}
	}
	for query, want := range map[string]string{
		"subnet=one": `subnet: "one"`, "state=free": `state: "free" is none of`, "address=::1": "is no IPv4 address", "client_id=zz": "is not hexadecimal",
		"source=2001": `source: "2001" is neither an address nor a prefix`,
		"limit=0":     "from 1 to 1000", "limit=1001": "from 1 to 1000", "cursor=x": `"x" is no cursor`, "cursor=0.x": "is no cursor",
		"format=xml": `format: "xml" is none of`, "sort=address": "there is no parameter sort",
	} {
		if w := call(h, "GET", "/v1/leases?"+query, ""); w.Code != http.StatusBadRequest || !strings.Contains(strings.ReplaceAll(w.Body.String(), `\"`, `"`), want) {
			t.Errorf("%q: %d %s, want %s", query, w.Code, w.Body, want)
		}
	}
}

func TestPagesHoldEveryLeaseOnce(t *testing.T) {
	h := guarded(&fake{all: someLeases()})
	for _, filter := range []string{"", "subnet=2", "state=bound"} {
		want := addresses(t, listOf(t, h, filter).Leases)
		for limit := 1; limit < 12; limit++ {
			var got []int
			for at, pages := "", 0; pages < 20; pages++ {
				p := listOf(t, h, fmt.Sprintf("%s&limit=%d&cursor=%s", filter, limit, at))
				if got = append(got, addresses(t, p.Leases)...); len(p.Leases) > limit {
					t.Errorf("limit %d: a page of %d", limit, len(p.Leases))
				}
				if at = p.Next; at == "" {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q by %d: %v, want %v", filter, limit, got, want)
			}
		}
	}
	t.Run("a cursor of before the leases were loaded again", func(t *testing.T) {
		h := guarded(&fake{all: someLeases(), stale: 3})
		p := listOf(t, h, "limit=3")
		if w := call(h, "GET", "/v1/leases?cursor="+p.Next, ""); w.Code != http.StatusGone || !strings.Contains(w.Body.String(), "start again") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

func TestStreams(t *testing.T) {
	h := guarded(&fake{all: someLeases()})
	for _, c := range []struct {
		target, accept, media string
		lines                 int
	}{
		{"/v1/leases?format=ndjson", "", "application/x-ndjson", 10},
		{"/v1/leases", "application/x-ndjson", "application/x-ndjson", 10},
		{"/v1/leases?format=csv", "application/json", "text/csv", 11},
		{"/v1/leases", "text/html, text/csv;q=0.9", "text/csv", 11},
		{"/v1/leases?limit=4", "text/csv", "text/csv", 5},
		{"/v1/leases?state=offered", "text/csv", "text/csv", 2},
		{"/v1/leases?subnet=9", "text/csv", "text/csv", 1},
		{"/v1/leases", "*/*", "application/json", 1},
	} {
		w := call(h, "GET", c.target, "", "Accept", c.accept)
		if n := strings.Count(w.Body.String(), "\n"); w.Code != 200 || n != c.lines || w.Header().Get("Content-Type") != c.media {
			t.Errorf("%s as %q: %d, %s, %d lines", c.target, c.accept, w.Code, w.Header().Get("Content-Type"), n)
		}
	}
	t.Run("one that cannot go on is broken off", func(t *testing.T) {
		s := httptest.NewServer(guarded(&fake{all: someLeases(), stale: 3}))
		defer s.Close()
		r, err := getAs(t, token, s.URL+"/v1/leases?format=ndjson")
		if err == nil {
			_, err = io.ReadAll(r.Body)
			_ = r.Body.Close()
		}
		if err == nil {
			t.Error("the client takes a part for the whole")
		}
	})
}

func TestOrders(t *testing.T) {
	const asJSON, hour = "application/json", `"lease_time":3600`
	for _, c := range []struct {
		name, method, path, media, body string
		err                             error
		status                          int
		want                            string // ordered, or a part of the error
	}{
		{"release", "DELETE", "/v1/leases/192.0.2.1", "", "", nil, 200, "release 192.0.2.1 by api ::1"},
		{"release of nothing", "DELETE", "/v1/leases/192.0.2.1", "", "", leases.ErrNotFound, 404, "nothing is known"},
		{"release of what is no lease", "DELETE", "/v1/leases/192.0.2.1", "", "", fmt.Errorf("%w: really", leases.ErrConflict), 409, "really"},
		{"release of IPv6", "DELETE", "/v1/leases/2001:db8::1", "", "", nil, 400, "is no IPv4 address"},
		{"reserve", "POST", "/v1/leases", asJSON, `{"address":"192.0.2.1","client_id":"ff:01",` + hour + `}`, nil, 200, "reserve 192.0.2.1 for 00ff01 of 1 , 3600 s, by api ::1"},
		{"by hardware address", "POST", "/v1/leases", asJSON + "; charset=utf-8", `{"address":"192.0.2.1","hw_type":6,"hw_address":"02:01",` + hour + `}`, nil, 200, "reserve 192.0.2.1 for 01060201 of 6 0201, 3600 s, by api ::1"},
		{"the store has failed", "POST", "/v1/leases", asJSON, `{"address":"192.0.2.1","client_id":"ff:01",` + hour + `}`, operator.ErrStore, 503, "store has failed"},
		{"too many wait", "POST", "/v1/leases", asJSON, `{"address":"192.0.2.1","client_id":"ff:01",` + hour + `}`, operator.ErrBusy, 503, "try again"},
		{"the disk is slow", "POST", "/v1/leases", asJSON, `{"address":"192.0.2.1","client_id":"ff:01",` + hour + `}`, context.DeadlineExceeded, 504, "not known"},
		{"a form", "POST", "/v1/leases", "application/x-www-form-urlencoded", `{"address":"192.0.2.1"}`, nil, 415, "application/json"},
		{"unknown field", "POST", "/v1/leases", asJSON, `{"addr":"192.0.2.1"}`, nil, 400, "unknown field"},
		{"two requests", "POST", "/v1/leases", asJSON, `{"address":"192.0.2.1","client_id":"ff:01",` + hour + `}{}`, nil, 400, "something follows"},
		{"nobody", "POST", "/v1/leases", asJSON, `{"address":"192.0.2.1",` + hour + `}`, nil, 400, "neither client identifier nor hardware address"},
		{"client of one octet", "POST", "/v1/leases", asJSON, `{"address":"192.0.2.1","client_id":"ff",` + hour + `}`, nil, 400, "two or more"},
		{"no time", "POST", "/v1/leases", asJSON, `{"address":"192.0.2.1","client_id":"ff:01"}`, nil, 400, "lease_time"},
		{"no address", "POST", "/v1/leases", asJSON, `{"client_id":"ff:01",` + hour + `}`, nil, 400, "no IPv4 address"},
		{"too large", "POST", "/v1/leases", asJSON, `{"client_id":"` + strings.Repeat("f", maxBody) + `"}`, nil, 400, "too large"},
		{"another method", "PUT", "/v1/leases", asJSON, "", nil, 405, "Not Allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := &fake{all: someLeases(), err: c.err}
			w := call(guarded(f), c.method, c.path, c.body, "Content-Type", c.media)
			got := w.Body.String()
			if c.status == 200 {
				got = strings.Join(f.ordered, "; ")
			}
			if w.Code != c.status || !strings.Contains(got, c.want) || (c.status == 400 && f.ordered != nil) {
				t.Errorf("%d %s, ordered %q; want %d %s", w.Code, w.Body, f.ordered, c.status, c.want)
			}
		})
	}
}

func TestShowAndSubnets(t *testing.T) {
	h := guarded(&fake{all: someLeases()})
	var l leasefile.Lease
	if w := call(h, "GET", "/v1/leases/192.0.2.6", ""); json.Unmarshal(w.Body.Bytes(), &l) != nil || l.State != leasefile.Expired || l.ClientID != "ff:06" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := call(h, "GET", "/v1/leases/192.0.2.99", ""); w.Code != http.StatusNotFound {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want := `{"subnets":[{"id":1,"name":"north","prefix":"192.0.2.0/24","network":"","state":"drain","pool_addresses":9,"free_addresses":7,"bound":2,"offered":0,"declined":0,"former":0,"pools":[{"ranges":["192.0.2.1-192.0.2.9"],"pool_addresses":9,"free_addresses":7}]}]}` + "\n"
	if w := call(h, "GET", "/v1/subnets", ""); w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := call(h, "GET", "/v1/openapi.json", ""); w.Body.String() != string(reference) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestNoMoreThanSoManyRequestsAtOnce(t *testing.T) {
	f := &fake{all: someLeases()[:1], hung: make(chan struct{}), goOn: make(chan struct{})}
	h := guarded(f)
	done := make(chan int, atOnce)
	for range atOnce {
		go func() { done <- call(h, "GET", "/v1/leases", "").Code }()
		<-f.hung
	}
	if w := call(h, "GET", "/v1/subnets", ""); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("one more: %d %s", w.Code, w.Body)
	}
	for range atOnce {
		f.goOn <- struct{}{}
		if code := <-done; code != http.StatusOK {
			t.Errorf("one of them: %d", code)
		}
	}
	if w := call(h, "GET", "/v1/subnets", ""); w.Code != http.StatusOK {
		t.Errorf("after them: %d %s", w.Code, w.Body)
	}
}

// getAs makes a request with a token over the network.
func getAs(t *testing.T, token, url string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	return http.DefaultClient.Do(r)
}
