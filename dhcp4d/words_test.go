package main

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leasefile"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/leaselog"
	"github.com/dhcp4o6/dhcp4o6/shared/dhcp4"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

// words is a set of words, in order.
func words(list ...string) []string { return slices.Compact(slices.Sorted(slices.Values(list))) }

// are reports an error if the words of a place are others.
func are(t *testing.T, place string, got []string, want ...string) {
	t.Helper()
	if got, want = words(got...), words(want...); !slices.Equal(got, want) {
		t.Errorf("%s has the words %q, want %q", place, got, want)
	}
}

// groups are what the first group of a pattern is, in all places.
func groups(pattern, text string) (all []string) {
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// fields splits a list as people write it.
func fields(list string) []string {
	return slices.DeleteFunc(strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(" ,`()", r) }), func(w string) bool { return w == "or" || w == "and" })
}

// every is a text about the states, for which a pattern is.
type every struct{ place, text, pattern string }

// A state has one word, wherever it is shown or asked for. All words come from leasefile.States and
// from lease.Event.
func TestOneWordForEachState(t *testing.T) {
	t.Parallel()
	var states, events []string
	for _, s := range leasefile.States() {
		states = append(states, string(s))
	}
	for e := lease.NoEvent + 1; e < lease.EventCount; e++ {
		events = append(events, e.String())
	}
	asked := append(slices.Clone(states), string(leasefile.Former))
	var counted []string // expired and released count together
	for _, s := range leasefile.States() {
		if s.Is(leasefile.Former) {
			s = leasefile.Former
		}
		counted = append(counted, string(s))
	}
	for s := lease.Offered; s <= lease.Declined; s++ {
		if !slices.Contains(states, s.String()) {
			t.Errorf("in a trace a lease is %s", s)
		}
	}

	// A dhcp4d with a lease in each state.
	api, log := freePort(t), filepath.Join(t.TempDir(), "leases.json")
	const token = "0123456789abcdef0123456789abcdef"
	socket := filepath.Join(t.TempDir(), "socket")
	on, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = on.Close() }()
	environ := []string{
		"DHCP4D_API_LISTEN=" + api, "DHCP4D_API_TOKEN=" + token, "DHCP4D_HOOKS=leaselog,outside", "DHCP4D_LEASELOG_PATH=" + log,
		"DHCP4D_OUTSIDE_SOCKET=" + socket, "DHCP4D_OUTSIDE_EVENTS=" + t.TempDir(),
	}
	s := newSite(t, environ...)
	dhcp4d := func(args ...string) string {
		t.Helper()
		var out, said output
		if err := run(t.Context(), args, environ, &out, &said); err != nil {
			t.Fatalf("dhcp4d %q: %v\n%s", args, err, said.String())
		}
		return out.String() + said.String()
	}
	serverID := dhcp4.AppendAddr(nil, dhcp4.OptServerIdentifier, netip.MustParseAddr("192.0.2.1"))
	s.lease(1)
	s.ask(dhcp4.Discover, 2, netip.Addr{})
	s.send(dhcp4.Release, 3, s.lease(3), serverID)
	s.send(dhcp4.Decline, 4, netip.Addr{}, dhcp4.AppendAddr(nil, dhcp4.OptRequestedAddress, s.lease(4)), serverID)
	s.lease(5) // the loop has read what came before
	dhcp4d("leases", "reserve", "-client-id", "ff:06", "-time", "1s", "192.0.2.20")
	var list string
	for until := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		list = dhcp4d("leases", "list", "-json")
		if len(words(groups(`"state":"(\w+)"`, list)...)) == len(states) && strings.Contains(read(t, log), `"expired"`) {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("there is no lease in each state:\n%s\n%s", list, read(t, log))
		}
	}
	page := func(path string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+api+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}

	// What shows a lease.
	are(t, "leases list -json", groups(`"state":"(\w+)"`, list), states...)
	are(t, "leases list", groups(`(?m)^192\.\S+ +\d+ +(\w+)`, dhcp4d("leases", "list")), states...)
	are(t, "the API", groups(`"state":"(\w+)"`, page("/v1/leases")), states...)
	are(t, "the page of leases", groups(`data-name="State">([^<]+)<`, page("/leases?subnet=1")), states...)
	table, err := csv.NewReader(strings.NewReader(dhcp4d("leases", "export", "-format", "csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var exported, shown []string
	column := slices.Index(table[0], "state")
	for _, row := range table[1:] {
		exported = append(exported, row[column])
		shown = append(shown, groups(`(?m)^state +(\w+)`, dhcp4d("leases", "show", row[slices.Index(table[0], "address")]))...)
	}
	are(t, "leases export -format csv", exported, states...)
	are(t, "leases show", shown, states...)

	// What asks for leases.
	for _, one := range []every{
		{"leases list -h", dhcp4d("leases", "list", "-h"), `in this state: ([a-z ,]+); former`},
		{"the completions for bash", dhcp4d("manual", "bash"), `(offered [a-z ]+) former`},
		{"the completions for zsh", dhcp4d("manual", "zsh"), `(offered [a-z ]+) former`},
		{"the completions for fish", dhcp4d("manual", "fish"), `(offered [a-z ]+) former`},
		{"the manual", dhcp4d("manual", "man"), `in this state: ([a-z ,]+); former`},
		{"the glossary", read(t, "../docs/glossary.md"), `(?m)^\| ([a-z, ]+) \| the states of a lease`},
	} {
		lists := groups(one.pattern, one.text)
		if len(lists) == 0 {
			t.Errorf("%s says nothing of states", one.place)
		}
		for _, l := range lists {
			are(t, one.place, fields(l), states...)
		}
	}
	for _, word := range asked {
		if text := page("/v1/leases?state=" + word); strings.Contains(text, `"error"`) {
			t.Errorf("the API does not know %s: %s", word, text)
		}
	}
	are(t, "what the API says of other words", fields(strings.Join(groups(`is none of \[([a-z ]+)\], and not (?:\w+)`, page("/v1/leases?state=free")), "")), states...)

	// What counts leases.
	answer, err := http.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	metrics, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	are(t, "dhcp4d_leases", groups(`(?m)^dhcp4d_leases\{state="(\w+)"`, string(metrics)), counted...)
	are(t, "dhcp4d_lease_events_total", groups(`(?m)^dhcp4d_lease_events_total\{event="(\w+)"`, string(metrics)), events...)
	header, _, _ := strings.Cut(dhcp4d("subnets"), "\n")
	are(t, "subnets", fields(strings.ToLower(strings.Join(groups(`ADDRESSES (.*) POOLS`, header), ""))), counted...)
	columns := groups(`data-name="(\w+)"`, page("/"))
	columns = columns[slices.Index(columns, "Addresses")+1 : slices.Index(columns, "Refusals")]
	are(t, "the page of subnets", fields(strings.ToLower(strings.Join(columns, " "))), counted...)
	var usage struct{ Subnets []map[string]any }
	if err := json.Unmarshal([]byte(page("/v1/subnets")), &usage); err != nil {
		t.Fatal(err)
	}
	var numbers []string
	for name, v := range usage.Subnets[0] {
		if _, is := v.(float64); is && name != "id" && !strings.HasSuffix(name, "_addresses") {
			numbers = append(numbers, name)
		}
	}
	are(t, "/v1/subnets", numbers, counted...)
	if !s.logged("leases loaded") {
		t.Error("the start says nothing of leases")
	}
	for line := range strings.Lines(s.log.String()) {
		if !strings.Contains(line, "leases loaded") {
			continue
		}
		for _, word := range groups(` (\w+)=\d+`, line) {
			if word != "not_renewed" && word != "orphaned" && !slices.Contains(counted, word) {
				t.Errorf("the start counts leases that are %q: %s", word, line)
			}
		}
	}

	// What tells of changes. The end of a lease has the word of its state.
	for _, event := range groups(`"event":"(\w+)"`, read(t, log)) {
		if !slices.Contains(events, event) {
			t.Errorf("the lease log says %s", event)
		}
	}
	for _, a := range groups(`"address":"([0-9.]+)"`, list) {
		if strings.Contains(list, a+`","subnet":1,"state":"offered"`) {
			continue // it has no history yet
		}
		state := groups(a+`","subnet":1,"state":"(\w+)"`, list)
		if ends := groups(`"end":"(\w+)"`, dhcp4d("leases", "history", "-json", a)); !slices.Equal(ends, state) {
			t.Errorf("%s is %q, and in its history %q", a, state, ends)
		}
	}
	for _, end := range []string{leaselog.Moved, leaselog.Replaced} {
		if slices.Contains(asked, end) {
			t.Errorf("%s is a state and something else", end)
		}
	}

	last := map[string]string{} // what a program outside hears last
	hears(t, on, nil, strings.Count(read(t, log), "\n"), func(e *outside.Event) {
		if !slices.Contains(events, e.Event) {
			t.Errorf("a program outside hears of %s", e.Event)
		}
		last[e.Address.String()] = e.State
	})
	for address, word := range last {
		if !strings.Contains(list, `"`+address+`","subnet":1,"state":"`+word+`"`) {
			t.Errorf("a program outside hears that %s is %s:\n%s", address, word, list)
		}
	}

	// What the documents and dashboards say.
	for place, one := range map[string]struct {
		row  string
		want []string
	}{
		"outside.md":     {`(?m)^\| 72 \| state .*?: (.*) \|$`, slices.DeleteFunc(slices.Clone(states), func(w string) bool { return w == string(leasefile.Offered) })},
		"outside.md#":    {`(?m)^\| 70 \| event .*? \| event \| (.*) \|$`, events},
		"expressions.md": {`(?m)^\| .lease.event == 'expired'. \| (.*) \|$`, events},
		"metrics.md":     {`(?m)^\| .dhcp4d_leases. .*by subnet and state: (.*)\. \|$`, append(slices.Clone(counted), "in", "quarantine", "expired", "released", "still", "known")},
	} {
		name, _, _ := strings.Cut(place, "#")
		are(t, place, fields(strings.Join(groups(one.row, read(t, "../docs/"+name)), "")), one.want...)
	}
	queries := 0
	for _, root := range []string{"../docs", "../deploy", "../README.md", "../test/monitoring", "../performance.md", "../security.md"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || strings.HasSuffix(path, ".png") {
				return err
			}
			text := strings.ReplaceAll(read(t, path), `\"`, `"`)
			for _, query := range groups(`dhcp4d_leases\{[^}]*state=~?"([^"]+)"`, text) {
				queries++
				for word := range strings.SplitSeq(query, "|") {
					if !slices.Contains(counted, word) {
						t.Errorf("%s asks for leases that are %s", path, word)
					}
				}
			}
			for _, word := range groups(`dhcp4d leases (?:list|export)[^\n]* -state (\w+)`, text) {
				queries++
				if !slices.Contains(asked, word) {
					t.Errorf("%s lists leases that are %s", path, word)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if queries < 10 {
		t.Errorf("only %d places ask for leases in a state", queries)
	}
}

// read reads a file.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
