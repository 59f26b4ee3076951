package compare

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

func TestMain(m *testing.M) { os.Exit(netnstest.Main(m)) }

// A small report is made as make bench-compare makes it. The test proves that measuring works, and
// does not judge the figures.
func TestMeasure(t *testing.T) {
	netnstest.Lab(t)
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	if _, err := exec.LookPath("cc"); err != nil {
		netnstest.Skip(t, "the bare pair takes a C compiler")
	}
	daemons, err := servers.Find("dhcp6d")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "../../clients/cmd/dhcp4o6-perf").CombinedOutput(); err != nil {
		t.Fatalf("building the load generator: %v\n%s", err, out)
	}
	t.Setenv(servers.BinEnv, bin)
	dir, err := os.MkdirTemp(".", "leases-") // the system's directory may be in memory, which is refused
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil { // all processes have ended, so nothing is left
			t.Error(err)
		}
	})
	small := Options{Bin: filepath.Dir(daemons), Dir: dir, Rounds: 2, Exchanges: 400, Windows: []int{8}, Rates: []int{200},
		OpenFor: 300 * time.Millisecond, Sources: 1, Subnets: 3}
	for _, tt := range []struct {
		name     string
		subjects []string
		change   func(*Options)
		held     int // leases that our dhcp4d have at the end, without the given ones
	}{
		{"all of ours, and both bare pairs", []string{Ours, OursKeys, OursPebble, Bare, BareOffload}, func(*Options) {}, 0},
		{"several dhcp4d, behind relays", []string{Ours, OursKeys, OursPebble, Bare}, func(o *Options) { o.Backends, o.Relays = 3, 2 }, 0},
		{"leases that are held, renewed at random", []string{Ours, OursPebble, Bare}, func(o *Options) { o.Held, o.Renew = 500, 1 }, 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := small
			o.Subjects = tt.subjects
			tt.change(&o)
			result, err := Measure(t.Context(), o, func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			result.Summarise()
			if want := 2 * len(tt.subjects); len(result.Medians) != want || len(result.Runs) != 2*want {
				t.Errorf("%d runs and %d medians, want %d and %d", len(result.Runs), len(result.Medians), 2*want, want)
			}
			given := 0.0
			for _, r := range result.Runs {
				if r.CPU <= 0 || r.CPU6 <= 0 || r.CPU4 <= 0 || r.Goodput <= 0 || r.P99 < r.P50 || r.Resident <= 0 {
					t.Errorf("%s, %v: %+v", r.Subject, r.Load, r)
				}
				if ours(r.Subject) {
					given += r.Written
					if r.Load.InFlight > 0 && o.Held == 0 && (r.Syncs <= 0 || r.Written < 1) {
						t.Errorf("%s, %v: %.3f syncs and %.3f leases written per exchange", r.Subject, r.Load, r.Syncs, r.Written)
					}
				}
			}
			if given == 0 || (tt.held > 0 && result.ReadBack != tt.held) || result.ReadBack == 0 {
				t.Errorf("%d leases were there after a kill, want %d", result.ReadBack, tt.held)
			}
			var table, plot strings.Builder
			if err := result.Table(&table); err != nil {
				t.Error(err)
			}
			if err := result.Plot(&plot); err != nil {
				t.Error(err)
			}
			for _, name := range tt.subjects {
				if !strings.Contains(table.String(), " "+name+" ") || !strings.Contains(plot.String(), ">"+name+"<") {
					t.Errorf("%s is not in the table or not in the plot", name)
				}
			}
		})
	}
}

func TestWhatCannotBeMeasuredIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"a pair that nobody knows", Options{Subjects: []string{Ours, "our"}}, `"our"`},
		{"another Kea without its directory", Options{Subjects: []string{KeaOther}}, "-kea"},
		{"leases held by several dhcp4d", Options{Subjects: []string{Ours}, Held: 1, Backends: 2}, "-backends"},
	} {
		if _, err := Measure(t.Context(), tt.o, func(string) {}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "tmpfs" {
			if _, err := fileSystem(f[1]); err == nil || !strings.Contains(err.Error(), "memory") {
				t.Errorf("%s, which is in memory: %v", f[1], err)
			}
			return
		}
	}
	netnstest.Skip(t, "no file system here is in memory")
}
