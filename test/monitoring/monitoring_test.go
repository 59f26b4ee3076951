package monitoring_test

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

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/test/monitoring"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
)

const root = "../.."

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rules(t *testing.T) []monitoring.Rule {
	t.Helper()
	rs, err := monitoring.Rules(root)
	if err != nil || len(rs) == 0 {
		t.Fatalf("%d rules, %v", len(rs), err)
	}
	return rs
}

// promtool runs promtool, or skips the test with the reason.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	if _, err := exec.LookPath("promtool"); err != nil {
		netnstest.Skip(t, "promtool is not installed (Debian: apt-get install prometheus)")
	}
	cmd := exec.Command("promtool", args...)
	cmd.Dir = filepath.Join(root, "deploy/prometheus")
	cmd.Env = append(os.Environ(), "GOGC=400") // its heap is small, and it makes a new one for each case
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolTakesTheConfigurationAndTheRules(t *testing.T) {
	promtool(t, "check", "config", "prometheus.yml")
}

func TestAlertsFireWhenTheyShould(t *testing.T) {
	t.Parallel()
	promtool(t, "test", "rules", "tests/alerts.yml")
}

// promtool checks the cases. This checks that each alert has cases.
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
		want := "https://github.com/dhcp4o6/dhcp4o6/blob/main/docs/runbook.md#" + strings.ToLower(r.Alert)
		if r.Annotations["runbook_url"] != want {
			t.Errorf("%s: runbook_url %q, want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: no summary or no description", r.Alert)
		}
		if !strings.HasPrefix(r.Alert, "Dhcp") {
			t.Errorf("%s: the page counts only alerts that begin with Dhcp", r.Alert)
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

func TestDashboardsAndTheOperatorsRuleAreAsGenerated(t *testing.T) {
	files, err := monitoring.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	written, err := filepath.Glob(filepath.Join(root, "deploy/grafana/dashboards/*.json"))
	if err != nil || len(written) != len(monitoring.Dashboards()) {
		t.Errorf("%d files, %d dashboards, %v", len(written), len(monitoring.Dashboards()), err)
	}
	for name, want := range files {
		if got := read(t, "deploy/"+name); !bytes.Equal(got, want) {
			t.Errorf("%s differs from its generator; go generate ./test/monitoring", name)
		}
	}
}

// The Prometheus operator gets the rules that are tested, all of them.
func TestTheOperatorsRuleHasAllRules(t *testing.T) {
	var object struct {
		APIVersion, Kind string
		Spec             struct {
			Groups []struct{ Rules []monitoring.Rule }
		}
	}
	if err := yaml.Unmarshal(read(t, "deploy/kubernetes/prometheusrule.yml"), &object); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range object.Spec.Groups {
		n += len(g.Rules)
	}
	if want := len(rules(t)); object.Kind != "PrometheusRule" || n != want {
		t.Errorf("%s with %d rules, want %d", object.Kind, n, want)
	}
	var groups struct{ Spec map[string]any }
	if err := yaml.Unmarshal(read(t, "deploy/kubernetes/prometheusrule.yml"), &groups); err != nil {
		t.Fatal(err)
	}
	b, err := yaml.Marshal(groups.Spec)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "rules.yml")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", name)
}

// Grafana's own types, from its foundation SDK, take the dashboards, strictly.
func TestDashboardsAreGrafanas(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, d := range monitoring.Dashboards() {
		b, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		var page dashboard.Dashboard                                             //nolint:staticcheck // the format of the files; the newer one is that of Grafana's API
		if err := page.UnmarshalJSONStrict(b); err != nil && err.Error() != "" { // it returns an empty list of errors
			t.Errorf("%s: %v", d.Name, err)
		}
		if err := page.Validate(); err != nil && err.Error() != "" {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
}

// TestDashboardsAreReadable reads the files as Grafana does.
func TestDashboardsAreReadable(t *testing.T) {
	uids, sections := map[string]bool{}, map[string]bool{}
	for _, r := range rules(t) {
		sections[strings.ToLower(r.Alert)] = r.Alert != ""
	}
	for _, d := range monitoring.Dashboards() {
		var page struct {
			UID, Title string
			Panels     []struct {
				ID                       int
				Type, Title, Description string
				Datasource               struct{ UID string }
				Links                    []struct{ URL string }
				GridPos                  struct{ X, Y, W, H int }
				FieldConfig              struct{ Defaults struct{ Unit string } }
				Targets                  []struct{ Expr, RefID string }
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
			if p.Description == "" {
				t.Errorf("%s: no description", where)
			}
			if p.Datasource.UID != "${datasource}" {
				t.Errorf("%s: the data source is %q", where, p.Datasource.UID)
			}
			for _, l := range p.Links {
				if _, section, _ := strings.Cut(l.URL, "#"); !sections[section] {
					t.Errorf("%s: the runbook has no section %s", where, section)
				}
			}
			for _, q := range p.Targets {
				if !strings.Contains(q.Expr, `cluster=~"$cluster"`) {
					t.Errorf("%s: not of the chosen cluster: %s", where, q.Expr)
				}
			}
			if p.Title == "" || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
				t.Errorf("%s: no title, unit or query: %+v", where, p)
			}
			if (p.Type != "stat" && g.W < 6) || (p.Type == "stat" && g.W < 4) {
				t.Errorf("%s: too narrow to be read on a laptop", where)
			}
			// The unit must fit the expression.
			for _, q := range p.Targets {
				for part, unit := range map[string]string{"_seconds": "s", "_bytes": "bytes"} {
					direct := regexp.MustCompile(`^(histogram_quantile\(.*|max\()?[a-z0-9_]+` + part + `(_bucket.*)?\)?$`)
					if direct.MatchString(regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(q.Expr, "")) && p.FieldConfig.Defaults.Unit != unit {
						t.Errorf("%s: unit %q of %s", where, p.FieldConfig.Defaults.Unit, q.Expr)
					}
				}
			}
		}
	}
}

// TestEveryExpressionIsPromQL lets promtool parse all expressions.
func TestEveryExpressionIsPromQL(t *testing.T) {
	all, err := monitoring.Expressions(root)
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

// TestEveryMetricExists compares the series in rules and dashboards with those that the daemons
// export and the rules record.
func TestEveryMetricExists(t *testing.T) {
	exists := map[string]bool{"up": true}
	for line := range strings.Lines(string(read(t, "test/monitoring/"+golden))) {
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
	all, err := monitoring.Expressions(root)
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

// The sample for Alertmanager names alerts that there are, and labels that they have.
func TestTheInhibitionSampleNamesAlerts(t *testing.T) {
	var sample struct {
		Rules []struct {
			Source []string `yaml:"source_matchers"`
			Target []string `yaml:"target_matchers"`
			Equal  []string
		} `yaml:"inhibit_rules"`
	}
	if err := yaml.Unmarshal(read(t, "deploy/alertmanager/alertmanager.yml"), &sample); err != nil {
		t.Fatal(err)
	}
	matcher := regexp.MustCompile(`^alertname (=~|=|!=) "?([^"]+)"?$`)
	for _, r := range sample.Rules {
		if !slices.Equal(r.Equal, []string{"cluster", "job", "instance"}) {
			t.Errorf("equal %q: another site's or daemon's alert is muted", r.Equal)
		}
		for _, m := range slices.Concat(r.Source, r.Target) {
			parts := matcher.FindStringSubmatch(m)
			if parts == nil {
				t.Errorf("%q is no matcher of alertname", m)
				continue
			}
			named := regexp.MustCompile("^(?:" + parts[2] + ")$")
			if !slices.ContainsFunc(rules(t), func(r monitoring.Rule) bool { return r.Alert != "" && named.MatchString(r.Alert) }) {
				t.Errorf("%q names no alert", m)
			}
		}
	}
	if len(sample.Rules) == 0 {
		t.Error("nothing is muted")
	}
}
