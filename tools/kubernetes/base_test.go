// Package kubernetes checks deploy/kubernetes/base as kubectl apply -k and the cluster would. It is a
// module of its own, because the types of Kubernetes bring along more than all daemons.
package kubernetes

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// cluster is what the base makes.
type cluster struct {
	daemonSets   []apps.DaemonSet
	statefulSets []apps.StatefulSet
	services     []core.Service
	configMaps   map[string]core.ConfigMap
	budgets      []policy.PodDisruptionBudget
	secrets      []core.Secret
}

// base is the directory of the base.
const base = "../../deploy/kubernetes/base"

// build renders the base, or an overlay, and reads every object by the types of its kind. A field
// that a type does not have is a mistake.
func build(t *testing.T, dir string) cluster {
	t.Helper()
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatal(err)
	}
	c := cluster{configMaps: map[string]core.ConfigMap{}}
	for _, r := range made.Resources() {
		text := []byte(r.MustYaml())
		read := func(into any) {
			if err := yaml.UnmarshalStrict(text, into); err != nil {
				t.Errorf("%s %s: %v", r.GetKind(), r.GetName(), err)
			}
		}
		switch kind := r.GetApiVersion() + " " + r.GetKind(); kind {
		case "apps/v1 DaemonSet":
			c.daemonSets = append(c.daemonSets, apps.DaemonSet{})
			read(&c.daemonSets[len(c.daemonSets)-1])
		case "apps/v1 StatefulSet":
			c.statefulSets = append(c.statefulSets, apps.StatefulSet{})
			read(&c.statefulSets[len(c.statefulSets)-1])
		case "v1 Service":
			c.services = append(c.services, core.Service{})
			read(&c.services[len(c.services)-1])
		case "v1 ConfigMap":
			var m core.ConfigMap
			read(&m)
			c.configMaps[m.Name] = m
		case "v1 Secret":
			var one core.Secret
			read(&one)
			c.secrets = append(c.secrets, one)
		case "v1 Namespace":
			read(new(core.Namespace))
		case "policy/v1 PodDisruptionBudget":
			c.budgets = append(c.budgets, policy.PodDisruptionBudget{})
			read(&c.budgets[len(c.budgets)-1])
		default:
			t.Errorf("an object of kind %s, which is not checked", kind)
		}
		if r.GetKind() != "Namespace" && r.GetNamespace() != "dhcp4o6" {
			t.Errorf("%s %s is in namespace %q", r.GetKind(), r.GetName(), r.GetNamespace())
		}
	}
	return c
}

// pods returns the templates of all pods, by the name of what makes them.
func (c cluster) pods() map[string]core.PodTemplateSpec {
	pods := map[string]core.PodTemplateSpec{}
	for _, s := range c.daemonSets {
		pods[s.Name] = s.Spec.Template
	}
	for _, s := range c.statefulSets {
		pods[s.Name] = s.Spec.Template
	}
	return pods
}

// covers says whether a selector takes pods of those labels.
func covers(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

func TestObjectsFitTogether(t *testing.T) {
	c := build(t, base)
	pods := c.pods()
	if len(c.daemonSets) != 1 || len(c.statefulSets) != 2 || len(pods) != 3 {
		t.Fatalf("%d daemon sets, %d stateful sets", len(c.daemonSets), len(c.statefulSets))
	}
	for _, s := range c.daemonSets {
		if !covers(s.Spec.Selector.MatchLabels, s.Spec.Template.Labels) || !s.Spec.Template.Spec.HostNetwork {
			t.Errorf("daemon set %s does not select its pods, or they are not on the host's network", s.Name)
		}
	}
	for _, s := range c.statefulSets {
		if !covers(s.Spec.Selector.MatchLabels, s.Spec.Template.Labels) || *s.Spec.Replicas != 1 || len(s.Spec.VolumeClaimTemplates) != 1 {
			t.Errorf("stateful set %s does not select its pods, or is not one pod with one volume", s.Name)
		}
	}
	for _, s := range c.services {
		n := 0
		for _, p := range pods {
			if covers(s.Spec.Selector, p.Labels) {
				n++
			}
		}
		if n != 1 || !s.Spec.PublishNotReadyAddresses || s.Spec.ClusterIP != core.ClusterIPNone {
			t.Errorf("service %s has the pods of %d sets, or publishes only those that are ready", s.Name, n)
		}
	}
	if len(c.budgets) != 1 || c.budgets[0].Spec.MaxUnavailable.IntValue() != 1 {
		t.Fatalf("budgets: %+v", c.budgets)
	}
	for name, p := range pods {
		if got := covers(c.budgets[0].Spec.Selector.MatchLabels, p.Labels); got != strings.HasPrefix(name, "dhcp4d") {
			t.Errorf("the budget covers %s: %v", name, got)
		}
	}
}

func TestPodsAreProbedAndConfined(t *testing.T) {
	for name, p := range build(t, base).pods() {
		k := p.Spec.Containers[0]
		ports := map[string]bool{}
		for _, port := range k.Ports {
			ports[port.Name] = true
		}
		if probe := k.ReadinessProbe; probe == nil || probe.HTTPGet == nil || !ports[probe.HTTPGet.Port.StrVal] {
			t.Errorf("%s: readiness probe %+v", name, probe)
		}
		if k.LivenessProbe != nil || k.StartupProbe != nil {
			t.Errorf("%s: whoever floods the port of the metrics has it restarted", name)
		}
		if s := k.SecurityContext; s == nil || !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || fmt.Sprint(s.Capabilities.Drop) != "[ALL]" {
			t.Errorf("%s: security context %+v", name, s)
		}
		volumes := map[string]bool{"leases": true} // the claim
		for _, v := range p.Spec.Volumes {
			volumes[v.Name] = true
		}
		for _, m := range k.VolumeMounts {
			if !volumes[m.Name] {
				t.Errorf("%s mounts %s, which it does not have", name, m.Name)
			}
		}
	}
}

// The daemons themselves accept the environments of their pods.
func TestDaemonsTakeTheirEnvironment(t *testing.T) {
	c := build(t, base)
	for name, p := range c.pods() {
		dir := t.TempDir()
		keys := filepath.Join(dir, "ipc-keys")
		if err := os.WriteFile(keys, []byte("1:"+strings.Repeat("A", 42)+"8=\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		files := map[string]string{"/run/secrets/dhcp4o6/ipc-keys": keys}
		for _, v := range p.Spec.Volumes {
			if v.ConfigMap == nil {
				continue
			}
			for file, text := range c.configMaps[v.ConfigMap.Name].Data {
				files["/etc/dhcp4o6/"+file] = filepath.Join(dir, file)
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		k := p.Spec.Containers[0]
		check := exec.Command("go", "run", "./"+k.Name, "-check")
		check.Dir = "../.."
		check.Env = append(os.Environ(), "GOWORK=")
		for _, e := range k.Env {
			value := strings.ReplaceAll(e.Value, "$(HOST_IP)", "192.0.2.9")
			if file, ok := files[value]; ok {
				value = file
			}
			check.Env = append(check.Env, e.Name+"="+value)
		}
		var said bytes.Buffer
		check.Stderr = &said
		if err := check.Run(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, said.String())
		}
		for line := range strings.Lines(said.String()) { // of this host: no interface eth1, no directory
			if !strings.Contains(line, "warning: ") || (!strings.Contains(line, " now") && !strings.Contains(line, "directory")) {
				t.Errorf("%s: %s", name, line)
			}
		}
	}
}

// The overlay that docs/install.md shows, as it is typed there, beside the base.
func TestTheOverlayOfTheDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "```yaml\n# kustomization.yaml\n")
	overlay, _, closed := strings.Cut(rest, "```")
	if !ok || !closed {
		t.Fatal("docs/install.md shows no kustomization.yaml")
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "base"), os.DirFS(base)); err != nil {
		t.Fatal(err)
	}
	const subnets = "- {id: 1, subnet: 198.51.100.0/24, pools: [198.51.100.10-198.51.100.127], match: [{interface: bond0.100}]}\n"
	for name, content := range map[string]string{
		"kustomization.yaml": overlay, "subnets-a.yml": subnets, "subnets-b.yml": subnets,
		"ipc-keys": "1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
	} {
		name = filepath.Join(dir, "ours", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := build(t, filepath.Join(dir, "ours"))
	if len(c.secrets) != 1 || len(c.secrets[0].Data["ipc-keys"]) == 0 {
		t.Fatalf("the secrets are %v", c.secrets)
	}
	maps := 0
	for _, m := range c.configMaps {
		if m.Data["subnets.yml"] == subnets {
			maps++
		}
	}
	if maps != 2 {
		t.Errorf("%d of the documents of subnets are ours", maps)
	}
	for name, pod := range c.pods() {
		one := pod.Spec.Containers[0]
		if !strings.HasPrefix(one.Image, "registry.example/") || !strings.HasSuffix(one.Image, ":v1.0.0") {
			t.Errorf("%s runs %s", name, one.Image)
		}
		keys := false
		for _, v := range pod.Spec.Volumes {
			keys = keys || (v.Secret != nil && v.Secret.SecretName == c.secrets[0].Name)
		}
		if !keys {
			t.Errorf("%s does not have the keys", name)
		}
		seen := map[string]string{}
		for _, e := range one.Env {
			if _, twice := seen[e.Name]; twice {
				t.Errorf("%s sets %s twice", name, e.Name)
			}
			seen[e.Name] = e.Value
		}
		if name == "dhcp6d" && (seen["DHCP6D_INTERFACES"] != "bond0.100" || !strings.Contains(seen["DHCP6D_IPC_RANGES"], "198.51.100.128-198.51.100.255") || len(seen) < 8) {
			t.Errorf("%s has %v", name, seen)
		}
	}
}
