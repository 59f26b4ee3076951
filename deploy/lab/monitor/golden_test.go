package monitor_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/pair"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/site"
)

// golden lists what the daemons export: name, type and labels of every series,
// but those of the Go runtime's collectors that nobody reads.
const golden = "testdata/metrics.txt"

var update = flag.Bool("update", false, "write "+golden)

func TestMain(m *testing.M) { os.Exit(netlab.Main(m.Run)) }

// TestMetricsAreAsListed asks the running daemons. A name that changes breaks
// the rules and dashboards of everybody who uses it, so it is a decision.
func TestMetricsAreAsListed(t *testing.T) {
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := pair.Find(name); err != nil {
			netlab.Skip(t, err.Error())
		}
	}
	network, err := site.New(netlab.Test(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(network.Close)
	config := site.Config(t.TempDir())
	config.Env = append(config.Env, "DHCP4D_HOOKS=leaselog", "DHCP4D_LEASELOG_PATH=stderr")
	six, four, err := pair.Start(network.Server, pair.Ours, pair.Ours, config)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, h := range []*pair.Half{six, four} {
		text, err := h.Exposition()
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, list(text)...)
		if err := h.Stop(5 * time.Second); err != nil {
			t.Error(err)
		}
	}
	slices.Sort(lines)
	got := strings.Join(slices.Compact(lines), "\n") + "\n"
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the daemons' metrics are not those of %s; go test ./deploy/lab/monitor -run AsListed -update and look at the difference.\nNow:\n%s", golden, got)
	}
}

var label = regexp.MustCompile(`([a-z]+)="`)

// list turns an exposition into lines of name, type and labels.
func list(exposition string) (lines []string) {
	kinds, labels := map[string]string{}, map[string][]string{}
	for line := range strings.Lines(exposition) {
		if fields := strings.Fields(line); strings.HasPrefix(line, "# TYPE ") {
			kinds[fields[2]] = fields[3]
			continue
		}
		name, rest, _ := strings.Cut(line, "{")
		name = strings.Fields(name)[0]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, is := strings.CutSuffix(name, suffix); is && kinds[base] == "histogram" {
				name = base
			}
		}
		for _, m := range label.FindAllStringSubmatch(rest, -1) {
			if m[1] != "le" && !slices.Contains(labels[name], m[1]) {
				labels[name] = append(labels[name], m[1])
			}
		}
	}
	for name, kind := range kinds {
		if strings.HasPrefix(name, "go_") {
			continue
		}
		slices.Sort(labels[name])
		lines = append(lines, strings.TrimSpace(name+" "+kind+" "+strings.Join(labels[name], ",")))
	}
	return lines
}
