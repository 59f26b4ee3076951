package monitor

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Expression is something that Prometheus is asked.
type Expression struct {
	Where string // "alert DhcpPanic", "rule x:y:z" or "panel overview/Ready", with A, B, … where a panel asks several
	Expr  string
}

// A Rule is an alert or a recording.
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

// grafana replaces what only Grafana understands by a value that it would put
// there.
var grafana = strings.NewReplacer("$__rate_interval", "1m", "$subnet", ".*")

// Expressions is all that the rules and the dashboards ask, Grafana's variables
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
					all = append(all, Expression{where, grafana.Replace(q.Expr)})
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

// Metrics is the names of the series that an expression reads, ALERTS left out.
func (e Expression) Metrics() []string {
	return metric.FindAllString(quoted.ReplaceAllString(e.Expr, `""`), -1)
}
