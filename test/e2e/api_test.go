package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// Whoever shows a wrong token, or none where one is needed, gets 401 at every door of both daemons:
// the API, the live trace, the page and its form. Each time is counted, and the first is logged.
func TestWrongTokensAreRefusedCountedAndLogged(t *testing.T) {
	t.Parallel()
	b := start(t, tokens)
	const wrong = "0123456789abcdeX"
	type door struct {
		name, method, path, body string
		header                   map[string]string
	}
	bearer := map[string]string{"Authorization": "Bearer " + wrong}
	for _, d := range []struct {
		name, at, port string
		half           *servers.Half
		doors          []door
	}{
		{"dhcp4d", "[::1]:9568", "9568", b.four, []door{
			{name: "leases", method: "GET", path: "/v1/leases", header: bearer},
			{name: "subnets", method: "GET", path: "/v1/subnets", header: bearer},
			{name: "the reference", method: "GET", path: "/v1/openapi.json", header: bearer},
			{name: "a release", method: "DELETE", path: "/v1/leases/192.0.2.10", header: bearer},
			{name: "a reservation", method: "POST", path: "/v1/leases", body: `{"address":"192.0.2.10"}`, header: bearer},
		}},
		{"dhcp6d", "[::1]:9548", "9548", b.six, nil},
	} {
		doors := append(d.doors,
			door{name: "no such path of the API", method: "GET", path: "/v1/nothing", header: bearer},
			door{name: "the trace", method: "GET", path: "/v1/trace?hw_address=0200.0000.0001", header: bearer},
			door{name: "the trace without a token", method: "GET", path: "/v1/trace?hw_address=0200.0000.0001"},
			door{name: "another scheme", method: "GET", path: "/v1/trace", header: map[string]string{"Authorization": "Basic " + traceToken}},
			door{name: "a cookie at the API", method: "GET", path: "/v1/trace", header: map[string]string{"Cookie": d.name + "_" + d.port + "=" + traceToken}},
			door{name: "the page", method: "GET", path: "/", header: bearer},
			door{name: "the live trace of the page", method: "GET", path: "/trace?kind=hw_address&value=0200.0000.0001", header: bearer},
			door{name: "the form", method: "POST", path: "/login", body: "token=" + wrong, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}},
			door{name: "an empty form", method: "POST", path: "/login", header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}},
			door{name: "a forged cookie", method: "GET", path: "/", header: map[string]string{"Cookie": d.name + "_" + d.port + "=4000000000.00"}},
		)
		for n, one := range doors {
			if code := b.knock(t, one.method, "http://"+d.at+one.path, one.body, one.header); code != http.StatusUnauthorized {
				t.Errorf("%s, %s: %d", d.name, one.name, code)
			}
			b.series(d.half, d.name+"_api_unauthorized_total", is(float64(n+1)))
		}
		// Who has shown nothing sees the form, and has tried nothing.
		if code := b.knock(t, "GET", "http://"+d.at+"/", "", nil); code != http.StatusUnauthorized {
			t.Errorf("%s, a stranger: %d", d.name, code)
		}
		// A command with a wrong token says so. It does not send the token, but the daemon notices
		// that it has another one, and counts that too.
		path, err := servers.Find(d.name)
		if err != nil {
			t.Fatal(err)
		}
		p, err := b.Server.Start([]string{strings.ToUpper(d.name) + "_API_TOKEN=" + wrong}, path, "trace", "-hw-address", "0200.0000.0001")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Kill)
		if status, err := p.Wait(t.Context()); status != 4 || err != nil || !strings.Contains(p.Output(), "the API refused our token") {
			t.Errorf("%s trace ends with %d, %v and says %s", d.name, status, err, p.Output())
		}
		b.series(d.half, d.name+"_api_unauthorized_total", is(float64(len(doors)+1)))
		shows(t, d.half.Process, "a request to the API was refused: it shows a wrong token or none", fmt.Sprintf(`"path":"%s`, strings.Split(doors[0].path, "?")[0]))
		if said := d.half.Output(); strings.Contains(said, wrong) || strings.Contains(said, traceToken) {
			t.Errorf("%s logs a token:\n%s", d.name, said)
		}
		// The right token is let in.
		for _, path := range []string{"/", "/drops"} {
			reads(t, b.open(t, d.at, path), "Drops and silences")
		}
		b.series(d.half, d.name+"_api_unauthorized_total", is(float64(len(doors)+1)))
	}

	// What changes something is logged and counted, whatever became of it.
	right := map[string]string{"Authorization": "Bearer " + traceToken, "Content-Type": "application/json"}
	const order = `{"address":"192.0.2.10","hw_address":"02:00:00:00:00:09","lease_time":600}`
	for n, one := range []struct {
		method, path, body string
		status             int
		series, logged     string
	}{
		{"POST", "/v1/leases", order, 200, `{change="reserve",result="done"}`, `"change":"reserve","address":"192.0.2.10","by":"api ::1","result":"done"`},
		{"POST", "/v1/leases", "{", 400, `{change="reserve",result="refused"}`, `"change":"reserve","address":"","by":"api ::1","result":"refused"`},
		{"DELETE", "/v1/leases/192.0.2.10", "", 200, `{change="release",result="done"}`, `"change":"release","address":"192.0.2.10","by":"api ::1","result":"done"`},
		{"DELETE", "/v1/leases/192.0.2.99", "", 404, `{change="release",result="refused"}`, `"change":"release","address":"192.0.2.99","by":"api ::1","result":"refused"`},
	} {
		if code := b.knock(t, one.method, "http://[::1]:9568"+one.path, one.body, right); code != one.status {
			t.Errorf("%s %s: %d", one.method, one.path, code)
		}
		b.series(b.four, "dhcp4d_api_changes_total"+one.series, is(1))
		b.series(b.four, "dhcp4d_api_changes_total", is(float64(n+1)))
		shows(t, b.four.Process, one.logged)
	}
}

// knock makes a request and returns the status.
func (b *bench) knock(t *testing.T, method, url, body string, header map[string]string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	answer, err := b.caller().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	return answer.StatusCode
}
