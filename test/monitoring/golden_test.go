package monitoring_test

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/metric"
	"github.com/dhcp4o6/dhcp4o6/shared/silence"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// golden lists what the daemons export: name, type and labels of every series, except those of the
// Go runtime's collectors that no rule or panel uses.
const golden = "testdata/metrics.txt"

// document has the same in Markdown, with the meaning of each series, and all reasons. The text
// before its first section is not generated.
const document = "../../docs/metrics.md"

var update = flag.Bool("update", false, "write "+golden+" and "+document)

func TestMain(m *testing.M) { os.Exit(netnstest.Main(m)) }

// TestMetricsAreAsListed scrapes the running daemons. Changing a name breaks the rules and
// dashboards of every user, so it must be a decision.
func TestMetricsAreAsListed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dhcp6d", "dhcp4d"} {
		if _, err := servers.Find(name); err != nil {
			netnstest.Skip(t, err.Error())
		}
	}
	network, err := topology.New(netnstest.Lab(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(network.Close)
	config := topology.Config(t.TempDir())
	config.Env = append(config.Env, "DHCP4D_LEASELOG_PATH=stderr", "DHCP4D_OUTSIDE_SOCKET=/nonexistent", "DHCP4D_OUTSIDE_KEY=pkt4.mac", "DHCP4D_OUTSIDE_REASONS=a", "DHCP4D_OUTSIDE_EVENTS="+t.TempDir(), "DHCP6D_DHCPV6_SERVERS=2001:db8:c::2")
	for _, d := range []struct{ prefix, hooks, point string }{{"DHCP6D_", "rules", "pkt6_receive"}, {"DHCP4D_", "leaselog,rules,outside", "pkt4_receive"}} {
		config.Env = append(config.Env, d.prefix+"HOOKS="+d.hooks, d.prefix+"RULES_REASONS=a", d.prefix+"RULES_COUNTERS=b", d.prefix+"RULES_LINES="+d.point+": member('ALL') -> count b")
	}
	six, four, err := servers.Start(network.Server, servers.Ours, servers.Ours, config)
	if err != nil {
		t.Fatal(err)
	}
	var lines, rows []string
	for _, h := range []*servers.Half{six, four} {
		text, err := h.Exposition()
		if err != nil {
			t.Fatal(err)
		}
		listed := list(text)
		lines = append(lines, listed...)
		rows = append(rows, describe(listed, text)...)
		if err := h.Stop(5 * time.Second); err != nil {
			t.Error(err)
		}
	}
	slices.Sort(lines)
	got := strings.Join(slices.Compact(lines), "\n") + "\n"
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "\n## ")
	page := strings.TrimSpace(head) + "\n\n" + tables(rows)
	if *update {
		for name, content := range map[string]string{golden: got, document: page} {
			if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	} else if page != string(text) {
		t.Errorf("%s is not what the daemons export and shared/drop and shared/silence say; go test ./test/monitoring -run AsListed -update", document)
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the daemons' metrics are not those of %s; go test ./test/monitoring -run AsListed -update and look at the difference.\nNow:\n%s", golden, got)
	}
}

// describe turns what list returns into rows of a Markdown table.
func describe(lines []string, exposition string) (rows []string) {
	help := map[string]string{}
	for line := range strings.Lines(exposition) {
		if rest, is := strings.CutPrefix(strings.TrimSpace(line), "# HELP "); is {
			name, what, _ := strings.Cut(rest, " ")
			help[name] = what
		}
	}
	for _, line := range lines {
		f := append(strings.Fields(line), "")
		labels := ""
		if f[2] != "" {
			labels = "`" + strings.ReplaceAll(f[2], ",", "`, `") + "`"
		}
		rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s |\n", f[0], f[1], labels, strings.ReplaceAll(help[f[0]], "|", "\\|")))
	}
	return rows
}

// tables returns the sections of the document: rows of series, and the reasons.
func tables(rows []string) string {
	var b strings.Builder
	slices.Sort(rows)
	b.WriteString("## Series\n\n| series | type | labels | what it is |\n| --- | --- | --- | --- |\n")
	b.WriteString(strings.Join(slices.Compact(rows), ""))
	daemons := func(is func(drop.Daemon) bool) string {
		var names []string
		for _, d := range []drop.Daemon{drop.DHCP6D, drop.DHCP4D} {
			if is(d) {
				names = append(names, "`"+metric.Namespace(d)+"`")
			}
		}
		return strings.Join(names, ", ")
	}
	b.WriteString("\n## Reasons of drops\n\nThe label `reason` of `…_packets_dropped_total`.\n\n| reason | daemon | the datagram |\n| --- | --- | --- |\n")
	for r := drop.None + 1; int(r) < drop.Count; r++ {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Label(), daemons(func(d drop.Daemon) bool { return slices.Contains(drop.Of(d), r) }), r.Meaning())
	}
	b.WriteString("\n## Rules of silence\n\nThe label `reason` of `dhcp6d_packets_silent_total` and `dhcp4d_queries_silent_total`.\n\n| reason | daemon | the message |\n| --- | --- | --- |\n")
	for r := silence.None + 1; int(r) < silence.Count; r++ {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Label(), daemons(func(d drop.Daemon) bool { return slices.Contains(silence.Of(d), r) }), r.Meaning())
	}
	return b.String()
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
