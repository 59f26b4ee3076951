package monitoring_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/monitoring"
	"github.com/dhcp4o6/dhcp4o6/test/netns"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
	"github.com/dhcp4o6/dhcp4o6/test/topology"
)

// twoSites is the configuration of a Prometheus with two sites, which differ in the label cluster,
// and with other jobs. The dhcp4d of the site west is dead.
const twoSites = `
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: ["%s"]
scrape_configs:
  - job_name: dhcp6d
    static_configs:
      - {targets: ["[::1]:9566"], labels: {cluster: east}}
      - {targets: ["[::1]:9566"], labels: {cluster: west}}
  - job_name: dhcp4d
    static_configs:
      - {targets: ["[::1]:9567"], labels: {cluster: east}}
      - {targets: ["[::1]:9"], labels: {cluster: west}}
  - job_name: prometheus
    static_configs: [{targets: ["[::1]:9090"]}]
  - job_name: other
    static_configs: [{targets: ["[::1]:10"]}]
`

// The rules and the panels work in a Prometheus of others, with classic buckets and with native
// histograms, which replace them.
func TestThePackInAPrometheusOfTwoSites(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("prometheus"); err != nil {
		netnstest.Skip(t, "prometheus is not installed (Debian: apt-get install prometheus)")
	}
	for name, flags := range map[string][]string{"classic buckets": nil, "native histograms": {"--enable-feature=native-histograms"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			network, err := topology.New(netnstest.Lab(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(network.Close)
			config := topology.Config(t.TempDir())
			config.Env = append(config.Env, "DHCP6D_HOOKS=packetlog", "DHCP4D_HOOKS=leaselog", "DHCP4D_LEASELOG_PATH=stderr")
			for _, daemon := range []string{"dhcp6d", "dhcp4d"} {
				if _, err := servers.Find(daemon); err != nil {
					netnstest.Skip(t, err.Error())
				}
			}
			if _, _, err := servers.Start(network.Server, servers.Ours, servers.Ours, config); err != nil {
				t.Fatal(err)
			}
			p := startPrometheus(t, network.Server, flags)
			wanted := append(histograms(t), monitoring.Expression{Where: "the share that is answered", Expr: `dhcp4o6:answered:ratio_rate5m{cluster="east"}`})
			for n, deadline := 1, time.Now().Add(90*time.Second); len(wanted) > 0; n++ {
				if time.Now().After(deadline) {
					t.Fatalf("no data of:\n%v", wanted)
				}
				c, socket, err := network.Client(topology.Multicast, n, client.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := c.Obtain(t.Context()); err != nil {
					t.Error(err)
				}
				socket.Close()
				wanted = slices.DeleteFunc(wanted, func(e monitoring.Expression) bool { return len(p.ask(t, e.Expr)) > 0 })
				if len(wanted) > 0 {
					time.Sleep(250 * time.Millisecond) // Prometheus scrapes and evaluates once a second
				}
			}
			classic := len(p.ask(t, `dhcp6d_ipc_round_trip_seconds_bucket`)) > 0
			if classic != (flags == nil) {
				t.Errorf("there are classic buckets: %v", classic)
			}
			for expr, want := range map[string][]string{
				`sum by (cluster) (dhcp6d_ready)`:                               {`{"cluster":"east"}`, `{"cluster":"west"}`},
				`dhcp4o6:answered:ratio_rate5m{cluster="east"}`:                 {`{"__name__":"dhcp4o6:answered:ratio_rate5m","cluster":"east"}`},
				`count by (cluster) (ALERTS{alertname="Dhcp4o6Down"})`:          {`{"cluster":"west"}`},
				`count by (job) (ALERTS{alertname=~"Dhcp.*",job!~"dhcp[46]d"})`: nil,
			} {
				if got := p.ask(t, expr); !slices.Equal(got, want) {
					t.Errorf("%s is of %q, want %q", expr, got, want)
				}
			}
		})
	}
}

// histograms returns the expressions of panels and rules that read a histogram.
func histograms(t *testing.T) (found []monitoring.Expression) {
	t.Helper()
	all, err := monitoring.Expressions(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if strings.Contains(e.Expr, "_bucket") {
			found = append(found, e)
		}
	}
	if len(found) < 10 {
		t.Fatalf("only %d expressions read a histogram", len(found))
	}
	return found
}

// prometheus is a Prometheus inside a host.
type prometheus struct {
	process *netns.Process
	client  http.Client
}

func startPrometheus(t *testing.T, h *netns.Host, flags []string) *prometheus {
	t.Helper()
	rules, err := filepath.Abs(filepath.Join(root, "deploy/prometheus/rules/*.yml"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, twoSites, rules), 0o600); err != nil {
		t.Fatal(err)
	}
	process, err := h.Start(nil, append([]string{"prometheus", "--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=[::1]:9090"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(process.Kill)
	p := &prometheus{process, http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(_ context.Context, network, a string) (net.Conn, error) { return h.Dial(network, a) },
	}}}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := process.WaitFor(ctx, func() error { _, err := p.get("/-/ready", nil); return err }); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *prometheus) get(path string, query url.Values) ([]byte, error) {
	answer, err := p.client.Get("http://[::1]:9090" + path + "?" + query.Encode())
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, body)
	}
	return body, err
}

// ask returns the labels of the series that an expression has, sorted.
func (p *prometheus) ask(t *testing.T, expr string) (labels []string) {
	t.Helper()
	body, err := p.get("/api/v1/query", url.Values{"query": {expr}})
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	var answer struct {
		Data struct {
			Result []struct{ Metric json.RawMessage }
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		t.Fatal(err)
	}
	for _, r := range answer.Data.Result {
		labels = append(labels, string(r.Metric))
	}
	slices.Sort(labels)
	return labels
}
