package compare

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/load"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

func TestARunIsReckonedPerExchange(t *testing.T) {
	before := account{six: usage{cpu: 1, switches: 10}, four: usage{cpu: 2}, commits: 5, allocs: 1000, scrape: 300}
	after := account{six: usage{cpu: 1.5, user: 0.1, system: 0.4, switches: 30, resident: 2e6}, four: usage{cpu: 2.25, resident: 3e6},
		commits: 105, writes: 4000, allocs: 1350}
	got := newRun(Ours, Load{InFlight: 8}, load.Report{Started: 1010, Completed: 1000, Lost: 10, Rate: 77}, before, after)
	want := Run{Subject: Ours, Load: Load{InFlight: 8}, CPU: 750, CPU6: 500, CPU4: 250, User: 100, System: 400, Rate: 77,
		Lost: 10.0 / 1010, Switches: 0.02, Syncs: 0.1, Written: 4, Allocs: 0.05, Resident: 5}
	for name, v := range map[string][2]float64{
		"CPU": {got.CPU, want.CPU}, "CPU6": {got.CPU6, want.CPU6}, "CPU4": {got.CPU4, want.CPU4}, "user": {got.User, want.User},
		"system": {got.System, want.System}, "rate": {got.Rate, want.Rate}, "lost": {got.Lost, want.Lost}, "switches": {got.Switches, want.Switches},
		"syncs": {got.Syncs, want.Syncs}, "written": {got.Written, want.Written}, "allocations": {got.Allocs, want.Allocs}, "resident": {got.Resident, want.Resident},
	} {
		if math.Abs(v[0]-v[1]) > 1e-9 {
			t.Errorf("%s is %v, want %v", name, v[0], v[1])
		}
	}
	before.drops, after.drops = map[string]float64{"a": 7, "b": 7}, map[string]float64{"a": 507, "b": 7}
	if got := newRun(Ours, Load{}, load.Report{Started: 1000, Completed: 1000}, before, after).Drops; !maps.Equal(got, map[string]float64{"a": 0.5}) {
		t.Errorf("drops per exchange %v, want half of a and none of b", got)
	}
	after.allocs = 1200 // less than the scrape before the run took
	if got := newRun(Ours, Load{}, load.Report{Started: 1, Completed: 1}, before, after); got.Allocs != 0 {
		t.Errorf("%v allocations, want none", got.Allocs)
	}
}

func TestADirectoryThatCannotBeRemovedIsAWarning(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "parent")
	if err := os.Mkdir(parent, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		work func(dir string) error
		says int
	}{
		{"one with files", func(dir string) error { return os.WriteFile(filepath.Join(dir, "lease"), nil, 0o600) }, 0},
		// A file takes the place of the parent. Then not even root can remove what was in it.
		{"one that cannot be removed", func(string) error {
			return errors.Join(os.Rename(parent, parent+"-before"), os.WriteFile(parent, nil, 0o600))
		}, 1},
	} {
		var said []string
		var made string
		err := inDirectory(parent, func(s string) { said = append(said, s) }, func(dir string) error {
			made = dir
			return tt.work(dir)
		})
		if err != nil {
			t.Errorf("%s: the error is %v", tt.name, err)
		}
		if len(said) != tt.says || (tt.says > 0 && !strings.Contains(said[0], made)) {
			t.Errorf("%s: it said %q", tt.name, said)
		}
		if _, err := os.Stat(made); err == nil {
			t.Errorf("%s: %s is still there", tt.name, made)
		}
	}
}

func TestSummary(t *testing.T) {
	l := Load{InFlight: 64}
	// In the second round the machine was three times as slow.
	cpu := map[string][]float64{Ours: {10, 30, 12}, Bare: {20, 60, 20}, Kea: {100, 300, 140}}
	r := Result{Options: Options{Subjects: []string{Ours, Kea, Bare}, Windows: []int{64, 1}}}
	for name, all := range cpu {
		for round, v := range all {
			r.Runs = append(r.Runs, Run{Subject: name, Load: l, Round: round, CPU: v, Goodput: 1000 / v, P99: v})
		}
	}
	// One round has no run of the bare pair.
	r.Runs = append(r.Runs, Run{Subject: Ours, Load: l, Round: 3, CPU: 14, Goodput: 1})
	r.Summarise()
	for _, tt := range []struct {
		subject                    string
		runs                       int
		cpu, ratio, pace, ofMedian float64
		lowest, highest            float64
	}{
		{Ours, 4, 13, 0.5, 2, 0.65, 0.5, 0.6},
		{Kea, 3, 140, 5, 0.2, 7, 5, 7},
		{Bare, 3, 20, 1, 1, 1, 1, 1},
	} {
		i := slices.IndexFunc(r.Medians, func(m Median) bool { return m.Subject == tt.subject && m.Load == l })
		if i < 0 {
			t.Fatalf("no median of %s", tt.subject)
		}
		m := r.Medians[i]
		for name, v := range map[string][2]float64{"cpu": {m.CPU, tt.cpu}, "ratio": {m.Ratio, tt.ratio}, "pace": {m.Pace, tt.pace},
			"ratio of medians": {m.RatioOfMedians, tt.ofMedian}, "lowest": {m.Lowest, tt.lowest}, "highest": {m.Highest, tt.highest}} {
			if math.Abs(v[0]-v[1]) > 1e-9 {
				t.Errorf("%s: %s is %v, want %v", tt.subject, name, v[0], v[1])
			}
		}
		if m.Runs != tt.runs {
			t.Errorf("%s: %d runs, want %d", tt.subject, m.Runs, tt.runs)
		}
	}
	if n := len(r.Medians); n != 6 {
		t.Errorf("%d medians, want one of each pair and load", n)
	}
	var table, plot strings.Builder
	if err := r.Table(&table); err != nil {
		t.Fatal(err)
	}
	if err := r.Plot(&plot); err != nil {
		t.Fatal(err)
	}
	for text, wants := range map[string][]string{
		table.String(): {"64 in flight", "1 in flight", "kernel's offloads", "allocs"},
		plot.String():  {"</svg>", ">0.50<", "99th percentile"},
	} {
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	}
}

func TestArguments(t *testing.T) {
	for _, tt := range []struct {
		name    string
		subject string
		options Options
		load    Load
		want    string // it must be in the arguments; of a repeated flag the last counts
		not     string
	}{
		{"a window", Ours, Options{Exchanges: 20000, Sources: 1}, Load{InFlight: 64}, "-n 20000 -in-flight 64 -seed 1", "-held"},
		{"a single client in flight", Ours, Options{Exchanges: 20000}, Load{InFlight: 1}, "-n 2000 -in-flight 1", ""},
		{"Kea makes a quarter", Kea, Options{Exchanges: 20000}, Load{InFlight: 64}, "-n 5000", ""},
		{"a Kea that drops unicast", KeaOther, Options{Exchanges: 20000}, Load{InFlight: 64}, "-server ff02::1:2", ""},
		{"a rate", Ours, Options{OpenFor: time.Second}, Load{Rate: 3000}, "-rate 3000 -t 1s", "-in-flight"},
		{"a multiple of the peak", Ours, Options{OpenFor: time.Second}, Load{Times: 3}, "-rate 12000 -t 1s", "-in-flight"},
		{"renewals", Ours, Options{Exchanges: 1000, Renew: 0.5}, Load{InFlight: 64}, "-renew 0.5", "-shuffle"},
		{"leases held", Ours, Options{Exchanges: 1000, Held: 5000, Renew: 1}, Load{InFlight: 64}, "-seed 257 -clients 5000 -shuffle -held 10.0.1.0", ""},
		{"leases held, as the bare pair makes addresses", Bare, Options{Exchanges: 1000, Held: 5000}, Load{InFlight: 64}, "-bare -seed 257 -clients 5000 -shuffle -held 10.0.0.0", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &subject{name: tt.subject, peak: 4000}
			got := strings.Join(s.arguments(tt.options, tt.load), " ")
			if !strings.Contains(got, tt.want) || (tt.not != "" && strings.Contains(got, tt.not)) {
				t.Errorf("%s\nwant %q and not %q", got, tt.want, tt.not)
			}
			if again := strings.Join(s.arguments(tt.options, tt.load), " "); again == got {
				t.Error("the next run makes the same choices")
			}
		})
	}
}

func TestLeasesHeld(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	write := func(fill func(*strings.Builder)) []string {
		var b strings.Builder
		fill(&b)
		return strings.Split(strings.TrimSpace(b.String()), "\n")
	}
	o := Options{Held: 300, Sources: 2, Subnets: 7}
	own := write(func(b *strings.Builder) { ourLeases(b, o, now) })
	kea := write(func(b *strings.Builder) { keaLeases(b, o, now) })
	if len(own) != 301 || len(kea) != 301 {
		t.Fatalf("%d and %d lines", len(own), len(kea))
	}
	for _, tt := range []struct{ got, want string }{
		{own[1], "10.0.1.0,7,bound,ff:00:00:00:00:00:03:00:01:02:01:00:00:00:00,1,02:01:00:00:00:00,2001:db8:a::100,direct,2001:db8:a::100,access,,2023-11-14T22:13:20Z,2023-11-14T22:13:20Z,2023-11-15T22:13:20Z"},
		{own[2], "10.0.1.1,7,bound,ff:00:00:00:01:00:03:00:01:02:01:00:00:00:01,1,02:01:00:00:00:01,2001:db8:a::101,direct,2001:db8:a::101,access,,2023-11-14T22:13:20Z,2023-11-14T22:13:20Z,2023-11-15T22:13:20Z"},
		{kea[300], "10.0.2.43,02:01:00:00:01:2b,ff:00:00:01:2b:00:03:00:01:02:01:00:00:01:2b,86400,1700086400,7,0,0,,0,"},
	} {
		if tt.got != tt.want {
			t.Errorf("got  %s\nwant %s", tt.got, tt.want)
		}
	}
	if !strings.Contains(own[3], ",2001:db8:a::100,direct,") {
		t.Errorf("the third client has the first address again, got %s", own[3])
	}
}

// Every address for clients belongs to one dhcp4d, and dhcp6d knows to which one.
func TestBackends(t *testing.T) {
	s := &subject{name: Ours, dir: "/leases", store: "pebble", config: servers.Config{Subnets: subnets(1), Env: []string{"DHCP4D_STORE=pebble:/leases/pebble"}}}
	if got := s.backend(0, 1); !reflect.DeepEqual(got, s.config) {
		t.Errorf("a single one: %+v", got)
	}
	var ranges []string
	next := heldFirst
	for i := range 3 {
		c := s.backend(i, 3)
		pool := c.Subnets[0]
		if pool.First != next {
			t.Errorf("%d begins at %v, want %v", i, pool.First, next)
		}
		next = pool.Last.Next()
		ranges = append(ranges, fmt.Sprintf("dhcp4d-%d:%v-%v", i, pool.First, pool.Last))
		if want := fmt.Sprintf("DHCP4D_STORE=pebble:/leases/%d/pebble", i); c.Env[len(c.Env)-1] != want || c.Port != uint16(6767+i) {
			t.Errorf("%d: port %d, %v", i, c.Port, c.Env)
		}
	}
	if next != poolLast.Next() {
		t.Errorf("the last ends before %v, want %v", next, poolLast)
	}
	want := []string{"DHCP6D_IPC_BACKENDS=dhcp4d-0@[::1]:6768,dhcp4d-1@[::1]:6769,dhcp4d-2@[::1]:6770", "DHCP6D_IPC_RANGES=" + strings.Join(ranges, ",")}
	if got := behind(3, false); !slices.Equal(got, want) {
		t.Errorf("dhcp6d is told %q, want %q", got, want)
	}
}

func TestWhatCannotBeMeasured(t *testing.T) {
	for name, o := range map[string]Options{
		"more runs than there are clients for": {Subjects: []string{Ours}, Rounds: 256, Windows: []int{64}},
		"something unknown":                    {Subjects: []string{"theirs"}, Rounds: 1, Windows: []int{64}},
		"other builds that are not there":      {Subjects: []string{Before}, Rounds: 1, Windows: []int{64}},
		"a database that is not there":         {Subjects: []string{OursPostgres}, Rounds: 1, Windows: []int{64}},
	} {
		if err := o.withOthers().check(); err == nil {
			t.Errorf("%s: it is measured", name)
		}
	}
	o := Options{Subjects: []string{Ours, Before}, Before: "bin", Rounds: 255, Windows: []int{64}}.withOthers()
	if err := o.check(); err != nil || len(o.Subjects) != 2 {
		t.Errorf("other builds that are named: %v (error %v)", o.Subjects, err)
	}
}
