package monitoring

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"
)

// prometheusRule is the name of the rules as an object of the Prometheus operator, in deploy.
const prometheusRule = "kubernetes/prometheusrule.yml"

// Files returns what is generated below deploy, by name. Root is the directory of the repository.
func Files(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, d := range Dashboards() {
		b, err := d.JSON()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Name, err)
		}
		files["grafana/dashboards/"+d.Name+".json"] = b
	}
	rule, err := operatorRule(root)
	files[prometheusRule] = rule
	return files, err
}

// operatorRule returns the rule files of the repository as one PrometheusRule.
func operatorRule(root string) ([]byte, error) {
	groups := &yaml.Node{Kind: yaml.SequenceNode}
	for _, name := range []string{"recording", "alerts"} {
		b, err := os.ReadFile(filepath.Join(root, "deploy/prometheus/rules", name+".yml"))
		if err != nil {
			return nil, err
		}
		var doc struct{ Groups yaml.Node }
		if err := yaml.Unmarshal(b, &doc); err != nil {
			return nil, fmt.Errorf("%s.yml: %w", name, err)
		}
		groups.Content = append(groups.Content, doc.Groups.Content...)
	}
	var out bytes.Buffer
	out.WriteString("# The rules of deploy/prometheus/rules for the Prometheus operator. Generated; go generate " +
		"./test/monitoring\n")
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	err := e.Encode(struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   struct {
			Name   string
			Labels map[string]string
		}
		Spec struct{ Groups *yaml.Node }
	}{
		APIVersion: "monitoring.coreos.com/v1", Kind: "PrometheusRule",
		Metadata: struct {
			Name   string
			Labels map[string]string
		}{"dhcp4o6", map[string]string{"app.kubernetes.io/name": "dhcp4o6"}},
		Spec: struct{ Groups *yaml.Node }{groups},
	})
	return out.Bytes(), err
}
