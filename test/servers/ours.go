package servers

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/test/netns"
)

// BinEnv names the directory of the binaries under test, if it is neither bin/ at the top of the
// repository nor the directory of the running program.
const BinEnv = "DHCP4O6_BIN"

const (
	metrics6 = "[::1]:9566"
	metrics4 = "[::1]:9567"
)

// Find returns the path of one of our binaries.
func Find(name string) (string, error) {
	var tried []string
	for _, dir := range binDirs() {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
		tried = append(tried, path)
	}
	return "", fmt.Errorf("%s is not built (run make build; looked for %s)", name, strings.Join(tried, ", "))
}

func binDirs() []string {
	if dir := os.Getenv(BinEnv); dir != "" {
		return []string{dir}
	}
	var dirs []string
	if exe, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(exe))
	}
	// Tests run in the directory of their package.
	if dir, err := os.Getwd(); err == nil {
		for ; dir != "/"; dir = filepath.Dir(dir) {
			if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
				if bin := filepath.Join(dir, "bin"); !slices.Contains(dirs, bin) {
					dirs = append(dirs, bin)
				}
				return dirs
			}
		}
	}
	return dirs
}

// program returns the path of one of our halves.
func program(c Config, name string) (string, error) {
	if c.Bin != "" {
		return filepath.Join(c.Bin, name), nil
	}
	return Find(name)
}

// startOurs starts one of our halves. It waits until the half is ready, or, if it is alone, until
// its sockets are served.
func startOurs(h *netns.Host, c Config, name string, through, env []string, alone bool) (*Half, error) {
	path, err := program(c, name)
	if err != nil {
		return nil, err
	}
	metrics := ""
	for _, v := range env { // the last one counts
		if at, found := strings.CutPrefix(v, strings.ToUpper(name)+"_METRICS_LISTEN="); found {
			metrics = at
		}
	}
	return start(h, Ours, c, env, metrics, append(slices.Clip(through), path), func(*netns.Process) error {
		_, err := get(h, metrics, "/readyz")
		if err != nil && alone && strings.Contains(err.Error(), "running: ok") {
			return nil // the other half is missing, and nothing else
		}
		return err
	})
}

// StartImported converts a configuration of Kea's with our program, and starts our v4 half with the
// result and with further variables. dir is for the converted files.
func StartImported(ctx context.Context, h *netns.Host, dir, configuration string, env ...string) (*Half, error) {
	path, err := program(Config{}, "dhcp4d")
	if err != nil {
		return nil, err
	}
	p, err := h.Start(nil, path, "import-config", "-dir", dir, configuration)
	if err != nil {
		return nil, err
	}
	status, err := p.Wait(ctx)
	if err != nil {
		p.Kill()
		return nil, err
	}
	if status != 0 {
		return nil, fmt.Errorf("the import of %s ended with status %d and said %s", configuration, status, p.Output())
	}
	made, err := os.ReadFile(filepath.Join(dir, "dhcp4d.env"))
	if err != nil {
		return nil, fmt.Errorf("reading what was imported: %w", err)
	}
	all := append(strings.Split(strings.TrimSpace(string(made)), "\n"), "DHCP4D_METRICS_LISTEN="+metrics4)
	last := map[string]string{} // of each variable
	for _, v := range append(all, env...) {
		name, _, _ := strings.Cut(v, "=")
		last[name] = v
	}
	return startOurs(h, Config{}.withDefaults(), "dhcp4d", nil, slices.Collect(maps.Values(last)), false)
}

func env6(c Config) []string {
	backend := hostPort(c.Port + 1)
	if c.V4 == Kea {
		backend += " kea"
	}
	env := []string{
		"DHCP6D_INTERFACES=" + strings.Join(c.Interfaces, ","),
		"DHCP6D_RELAYS=" + join(c.Relays),
		"DHCP6D_LDRA_INTERFACES=" + strings.Join(c.LDRA, ","),
		"DHCP6D_IPC_LISTEN=" + hostPort(c.Port),
		"DHCP6D_IPC_BACKENDS=" + backend,
		"DHCP6D_4O6_SERVERS=" + c.Option88,
		"DHCP6D_STATE_DIR=" + filepath.Join(c.Dir, "dhcp6d"),
		"DHCP6D_METRICS_LISTEN=" + metrics6,
		"DHCP6D_LOG_LEVEL=" + c.level("debug"),
	}
	return append(env, withPrefix(c.Env, "DHCP6D_")...)
}

func env4(c Config) []string {
	env := []string{
		"DHCP4D_IPC_LISTEN=" + hostPort(c.Port+1),
		"DHCP4D_IPC_PEERS=" + hostPort(c.Port),
		"DHCP4D_LEASE_TIME=" + c.LeaseTime.String(),
		"DHCP4D_STORE=journal:" + filepath.Join(c.Dir, "dhcp4d"),
		"DHCP4D_METRICS_LISTEN=" + metrics4,
		"DHCP4D_LOG_LEVEL=" + c.level("debug"),
	}
	return append(env, withPrefix(c.Env, "DHCP4D_")...)
}

// subnetsVariable returns the subnets document as a variable, or as a file in dir if it is too long
// for one (Linux takes 128 KiB).
func subnetsVariable(c Config) (string, error) {
	document := subnets4(c.Subnets)
	if len(document) < 100<<10 {
		return "DHCP4D_SUBNETS=" + document, nil
	}
	name := filepath.Join(c.Dir, "subnets.json")
	if err := os.WriteFile(name, []byte(document), 0o600); err != nil {
		return "", fmt.Errorf("writing the subnets document: %w", err)
	}
	return "DHCP4D_SUBNETS_FILE=" + name, nil
}

// level returns the log level of a half: warn if it is to be quiet, else chatty.
func (c Config) level(chatty string) string {
	if c.Quiet {
		return "warn"
	}
	return chatty
}

// withPrefix returns the variables of one half. The other one would report them as mistakes.
func withPrefix(env []string, prefix string) []string {
	var out []string
	for _, v := range env {
		if strings.HasPrefix(v, prefix) {
			out = append(out, v)
		}
	}
	return out
}

func join(prefixes []netip.Prefix) string {
	var s []string
	for _, p := range prefixes {
		s = append(s, p.String())
	}
	return strings.Join(s, ",")
}

// subnets4 returns the subnets document of dhcp4d, as JSON, which is also YAML.
func subnets4(subnets []Subnet) string {
	var list []any
	for _, s := range subnets {
		var match []any
		if s.Interface != "" {
			match = append(match, map[string]any{"interface": s.Interface})
		}
		for _, p := range s.Sources {
			match = append(match, map[string]any{"prefix": p.String()})
		}
		for _, p := range s.Links {
			match = append(match, map[string]any{"link-address": p.String()})
		}
		if s.InterfaceID != "" {
			match = append(match, map[string]any{"interface-id": s.InterfaceID})
		}
		list = append(list, map[string]any{
			"id": s.ID, "subnet": s.Prefix.String(), "pools": []string{s.First.String() + "-" + s.Last.String()},
			"server-id": s.Server().String(), "match": match,
			"options": map[string]any{
				"routers":             []string{s.Server().String()},
				"domain-name-servers": []string{"192.0.2.53"},
				"domain-name":         "example.org",
			},
		})
	}
	return text(list)
}

// text encodes a value that can always be encoded.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// Exposition scrapes the half and returns the text that Prometheus sees.
func (h *Half) Exposition() (string, error) {
	if h.metrics == "" {
		return "", fmt.Errorf("a half of Kea has no metrics")
	}
	return get(h.Host, h.metrics, "/metrics")
}

// Metrics scrapes the half and returns the values by series, with labels as they are written.
func (h *Half) Metrics() (map[string]float64, error) {
	body, err := h.Exposition()
	if err != nil {
		return nil, err
	}
	series := make(map[string]float64)
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var value float64
		at := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		if at < 0 {
			continue
		}
		if _, err := fmt.Sscan(line[at+1:], &value); err != nil {
			return nil, fmt.Errorf("metrics of %s: %q: %w", h.metrics, line, err)
		}
		series[line[:at]] = value
	}
	return series, nil
}

// Sum returns the sum of all series of a name, whatever their labels.
func Sum(series map[string]float64, name string) float64 {
	var sum float64
	for s, v := range series {
		if s == name || strings.HasPrefix(s, name+"{") {
			sum += v
		}
	}
	return sum
}

// get reads a page that is served inside the host.
func get(h *netns.Host, address, path string) (string, error) {
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(_ context.Context, network, a string) (net.Conn, error) { return h.Dial(network, a) },
	}}
	response, err := client.Get("http://" + address + path)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", path, response.Status, strings.TrimSpace(string(body)))
	}
	return string(body), nil
}
