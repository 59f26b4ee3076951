package monitoring

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Expression is an expression that Prometheus evaluates.
type Expression struct {
	Where string // "alert DhcpPanic", "rule x:y:z" or "panel overview/Ready"; A, B, … for the queries of a panel
	Expr  string
}

// A Rule is an alert or a recording rule.
type Rule struct {
	Alert       string
	Record      string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

// Rules reads the rule files of the repository.
func Rules(root string) ([]Rule, error) {
	files, err := filepath.Glob(filepath.Join(root, "deploy/prometheus/rules/*.yml"))
	if err != nil {
		return nil, err
	}
	var rules []Rule
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		var doc struct {
			Groups []struct{ Rules []Rule }
		}
		if err := yaml.Unmarshal(b, &doc); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, g := range doc.Groups {
			rules = append(rules, g.Rules...)
		}
	}
	return rules, nil
}

// grafana replaces variables that only Grafana understands by a possible value.
var grafana = strings.NewReplacer("$__rate_interval", "1m", "$subnet", ".*", "$cluster", ".*", "$instance", ".*")

// Expressions returns all expressions of the rules and the dashboards, with Grafana's variables
// replaced.
func Expressions(root string) ([]Expression, error) {
	rules, err := Rules(root)
	if err != nil {
		return nil, err
	}
	var all []Expression
	for _, r := range rules {
		where := "alert " + r.Alert
		if r.Record != "" {
			where = "rule " + r.Record
		}
		all = append(all, Expression{where, r.Expr})
	}
	for _, d := range Dashboards() {
		for _, row := range d.Rows {
			for _, p := range row.Panels {
				for i, q := range p.Queries {
					where := "panel " + d.Name + "/" + p.Title
					if len(p.Queries) > 1 {
						where += " " + string(rune('A'+i))
					}
					all = append(all, Expression{where, grafana.Replace(scoped(q.Expr))})
				}
			}
		}
	}
	return all, nil
}

var (
	quoted = regexp.MustCompile(`"[^"]*"`)
	metric = regexp.MustCompile(`\b(?:dhcp[46]d_[a-z0-9_]+|process_[a-z_]+|go_[a-z_]+|up|[a-z0-9_]+:[a-z0-9_]+:[a-z0-9_]+)\b`)
)

// Metrics returns the names of the series that an expression reads, except ALERTS.
func (e Expression) Metrics() []string {
	return metric.FindAllString(quoted.ReplaceAllString(e.Expr, `""`), -1)
}

// everywhere are the variables of all pages: sites, by the label cluster of the targets, and
// instances.
func everywhere() []Variable {
	return []Variable{
		{Name: "cluster", Label: "Cluster", Query: `label_values(up{job=~"dhcp[46]d"}, cluster)`},
		{Name: "instance", Label: "Instance", Query: `label_values(up{job=~"dhcp[46]d", cluster=~"$cluster"}, instance)`},
	}
}

// scoped returns an expression of what is chosen by the variables of all pages. A series of a whole
// cluster, whose name begins with dhcp4o6, has no instance.
func scoped(expr string) string {
	hidden := quoted.ReplaceAllStringFunc(expr,
		func(s string) string { return `"` + strings.Repeat(" ", len(s)-2) + `"` })
	var b strings.Builder
	done := 0
	for _, at := range metric.FindAllStringIndex(hidden, -1) {
		matchers := `cluster=~"$cluster", instance=~"$instance"`
		if strings.HasPrefix(expr[at[0]:], "dhcp4o6:") {
			matchers = `cluster=~"$cluster"`
		}
		b.WriteString(expr[done:at[1]])
		done = at[1]
		if rest := expr[done:]; strings.HasPrefix(rest, "{") {
			b.WriteString("{" + matchers + ", ")
			done++
		} else {
			b.WriteString("{" + matchers + "}")
		}
	}
	return b.String() + expr[done:]
}
