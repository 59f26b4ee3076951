package monitor_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/deploy/lab/monitor"
	"github.com/dhcp4o6/dhcp4o6/deploy/lab/netlab"
)

const root = "../../.."

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rules(t *testing.T) []monitor.Rule {
	t.Helper()
	rs, err := monitor.Rules(root)
	if err != nil || len(rs) == 0 {
		t.Fatalf("%d rules, %v", len(rs), err)
	}
	return rs
}

// promtool runs it or says why that cannot be.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		netlab.Skip(t, "promtool is not installed (Debian: apt-get install prometheus)")
	}
	cmd := exec.Command("promtool", args...)
	cmd.Dir = filepath.Join(root, "deploy/prometheus")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolTakesTheConfigurationAndTheRules(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yml")
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	promtool(t, "test", "rules", "tests/alerts.yml")
}

// Promtool proves what the cases say; this proves that there are cases.
func TestEveryAlertHasACaseForFiringAndOneForNotFiring(t *testing.T) {
	var cases struct {
		Tests []struct {
			Name   string
			Checks []struct {
				Samples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	if err := yaml.Unmarshal(read(t, "deploy/prometheus/tests/alerts.yml"), &cases); err != nil {
		t.Fatal(err)
	}
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, c := range cases.Tests {
		alert, what, _ := strings.Cut(c.Name, " ")
		for _, check := range c.Checks {
			firing := false
			for _, s := range check.Samples {
				firing = firing || strings.Contains(s.Labels, fmt.Sprintf("alertname=%q", alert))
			}
			switch {
			case strings.HasPrefix(what, "fires") && firing:
				fires[alert] = true
			case strings.HasPrefix(what, "does not fire") && !firing:
				quiet[alert] = true
			case strings.HasPrefix(what, "does not fire"):
				t.Errorf("the case %q fires", c.Name)
			}
		}
	}
	for _, r := range rules(t) {
		if r.Alert != "" && (!fires[r.Alert] || !quiet[r.Alert]) {
			t.Errorf("%s: a case where it fires: %v, where it does not: %v", r.Alert, fires[r.Alert], quiet[r.Alert])
		}
	}
}

func TestEveryAlertHasItsSectionInTheRunbook(t *testing.T) {
	var sections []string
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)\n+\S`).FindAllSubmatch(read(t, "docs/runbook.md"), -1) {
		sections = append(sections, string(m[1]))
	}
	var alerts []string
	for _, r := range rules(t) {
		if r.Alert == "" {
			continue
		}
		alerts = append(alerts, r.Alert)
		if want := "docs/runbook.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
			t.Errorf("%s: runbook %q, want %q", r.Alert, r.Annotations["runbook"], want)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: no summary or no description", r.Alert)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
	}
	slices.Sort(sections)
	slices.Sort(alerts)
	if !slices.Equal(sections, alerts) {
		t.Errorf("sections of the runbook %q,\nalerts %q", sections, alerts)
	}
}

func TestDashboardsAreAsGenerated(t *testing.T) {
	written, err := filepath.Glob(filepath.Join(root, "deploy/grafana/dashboards/*.json"))
	if err != nil || len(written) != len(monitor.Dashboards()) {
		t.Errorf("%d files, %d dashboards, %v", len(written), len(monitor.Dashboards()), err)
	}
	for _, d := range monitor.Dashboards() {
		want, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, "deploy/grafana/dashboards/"+d.Name+".json"); !bytes.Equal(got, want) {
			t.Errorf("%s.json differs from its generator; go generate ./deploy/lab/monitor", d.Name)
		}
	}
}

// TestDashboardsAreReadable reads the files as Grafana would.
func TestDashboardsAreReadable(t *testing.T) {
	uids := map[string]bool{}
	for _, d := range monitor.Dashboards() {
		var page struct {
			UID, Title string
			Panels     []struct {
				ID          int
				Type, Title string
				GridPos     struct{ X, Y, W, H int }
				FieldConfig struct{ Defaults struct{ Unit string } }
				Targets     []struct{ Expr, RefID string }
			}
		}
		if err := json.Unmarshal(read(t, "deploy/grafana/dashboards/"+d.Name+".json"), &page); err != nil {
			t.Fatal(err)
		}
		if page.UID == "" || page.Title == "" || uids[page.UID] {
			t.Errorf("%s: uid %q, title %q", d.Name, page.UID, page.Title)
		}
		uids[page.UID] = true
		ids, taken := map[int]bool{}, map[[2]int]string{}
		for _, p := range page.Panels {
			where := d.Name + "/" + p.Title
			if p.ID <= 0 || ids[p.ID] {
				t.Errorf("%s: id %d is not its own", where, p.ID)
			}
			ids[p.ID] = true
			g := p.GridPos
			if g.X < 0 || g.X+g.W > 24 || g.W <= 0 || g.H <= 0 {
				t.Errorf("%s: outside the page: %+v", where, g)
			}
			for x := g.X; x < g.X+g.W; x++ {
				for y := g.Y; y < g.Y+g.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("%s and %s overlap", where, other)
					}
					taken[[2]int{x, y}] = where
				}
			}
			if p.Type == "row" {
				continue
			}
			if p.Title == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
				t.Errorf("%s: no title, unit or query: %+v", where, p)
			}
			if p.Type != "stat" && g.W < 6 || p.Type == "stat" && g.W < 4 {
				t.Errorf("%s: too narrow to be read on a laptop", where)
			}
			// What the expression is says what the unit must be.
			for _, q := range p.Targets {
				for part, unit := range map[string]string{"_seconds": "s", "_bytes": "bytes"} {
					direct := regexp.MustCompile(`^(histogram_quantile\(.*|max\()?[a-z0-9_]+` + part + `(_bucket.*)?\)?$`)
					if direct.MatchString(q.Expr) && p.FieldConfig.Defaults.Unit != unit {
						t.Errorf("%s: unit %q of %s", where, p.FieldConfig.Defaults.Unit, q.Expr)
					}
				}
			}
		}
	}
}

// TestEveryExpressionIsPromQL has promtool read them all.
func TestEveryExpressionIsPromQL(t *testing.T) {
	all, err := monitor.Expressions(root)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Groups []struct {
			Name  string
			Rules []map[string]string
		}
	}
	doc.Groups = append(doc.Groups, struct {
		Name  string
		Rules []map[string]string
	}{Name: "all"})
	for i, e := range all {
		doc.Groups[0].Rules = append(doc.Groups[0].Rules, map[string]string{"record": fmt.Sprintf("e%d", i), "expr": e.Expr})
	}
	b, err := yaml.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "all.yml")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", name)
}

// TestEveryMetricExists holds rules and dashboards to what the daemons export
// and the rules record.
func TestEveryMetricExists(t *testing.T) {
	exists := map[string]bool{"up": true}
	for line := range strings.Lines(string(read(t, "deploy/lab/monitor/"+golden))) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		exists[name] = true
		if strings.HasPrefix(kind, "histogram") {
			exists[name+"_bucket"], exists[name+"_sum"], exists[name+"_count"] = true, true, true
		}
	}
	for _, r := range rules(t) {
		if r.Record != "" {
			exists[r.Record] = true
		}
	}
	all, err := monitor.Expressions(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if len(e.Metrics()) == 0 && !strings.Contains(e.Expr, "ALERTS") {
			t.Errorf("%s reads no metric: %s", e.Where, e.Expr)
		}
		for _, m := range e.Metrics() {
			if !exists[m] {
				t.Errorf("%s reads %s, which does not exist", e.Where, m)
			}
		}
	}
}
