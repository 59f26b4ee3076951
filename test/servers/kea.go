package servers

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dhcp4o6/dhcp4o6/test/netns"
)

// KeaLeases is the name of the lease file of Kea's v4 half, in Config.Dir.
const KeaLeases = "kea-leases4.csv"

// KeaMissing returns an error that says what to do if Kea's two servers are not installed.
func KeaMissing() error {
	for _, name := range []string{"kea-dhcp4", "kea-dhcp6"} {
		if _, err := findKea("", name); err != nil {
			return err
		}
	}
	return nil
}

// findKea finds one of Kea's servers in a directory, or where it is installed.
func findKea(dir, name string) (string, error) {
	if dir != "" {
		return exec.LookPath(filepath.Join(dir, name))
	}
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	// Users other than root often lack sbin.
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s is not installed (Debian: apt-get install kea-dhcp4-server kea-dhcp6-server, or make "+
		"interop INSTALL=1)", name)
}

// KeaVersion returns the version of Kea's v4 half, in a directory or the installed one.
func KeaVersion(ctx context.Context, dir string) (string, error) {
	path, err := findKea(dir, "kea-dhcp4")
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, path, "-v").Output()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", path, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// StartKeaDHCPv6 starts Kea's DHCPv6 server without a v4 half, with the caller's configuration and
// further arguments. dir is for its files.
func StartKeaDHCPv6(h *netns.Host, dir, config string, args ...string) (*Half, error) {
	return startKea(h, "kea-dhcp6", Config{Dir: dir}.withDefaults(), config, args...)
}

// StartKeaDHCPv4 starts Kea's DHCPv4 server with the caller's configuration. dir is for its files.
func StartKeaDHCPv4(h *netns.Host, dir, config string) (*Half, error) {
	return startKea(h, "kea-dhcp4", Config{Dir: dir}.withDefaults(), config)
}

// startKea starts one of Kea's servers. The server says when it is ready; its sockets are open
// before.
func startKea(h *netns.Host, name string, c Config, config string, args ...string) (*Half, error) {
	path, err := findKea(c.KeaBin, name)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(c.Dir, name+".json")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("writing Kea's configuration: %w", err)
	}
	env := []string{"KEA_DHCP_DATA_DIR=" + c.Dir, "KEA_PIDFILE_DIR=" + c.Dir, "KEA_LOCKFILE_DIR=" + c.Dir,
		"KEA_LOGGER_DESTINATION=stderr"}
	started := "DHCP" + strings.TrimPrefix(name, "kea-dhcp") + "_STARTED"
	return start(h, Kea, c, env, "", append([]string{path, "-c", file}, args...), func(p *netns.Process) error {
		if !strings.Contains(p.Output(), started) {
			return fmt.Errorf("a Kea has not logged %s", started)
		}
		return nil
	})
}

func kea6(c Config) map[string]any {
	var subnets []any
	for i, name := range c.Interfaces {
		subnets = append(subnets, map[string]any{
			"id": i + 1, "subnet": fmt.Sprintf("2001:db8:ffff:%x::/64", i), "interface": name})
	}
	return map[string]any{"Dhcp6": map[string]any{
		"interfaces-config": map[string]any{"interfaces": slices.Concat(c.Interfaces, c.Unicast)},
		"dhcp4o6-port":      c.Port,
		"lease-database":    map[string]any{"type": "memfile", "persist": false},
		"server-id":         map[string]any{"type": "EN", "enterprise-id": 2495, "identifier": "4f36", "persist": false},
		"subnet6":           subnets,
		"loggers":           keaLog("kea-dhcp6", c),
	}}
}

func kea4(c Config) map[string]any {
	var subnets []any
	for _, s := range c.Subnets {
		subnet := map[string]any{
			"id": s.ID, "subnet": s.Prefix.Masked().String(),
			"pools": []any{map[string]any{"pool": s.First.String() + " - " + s.Last.String()}},
			"option-data": []any{
				map[string]any{"name": "routers", "data": s.Server().String()},
				map[string]any{"name": "domain-name-servers", "data": "192.0.2.53"},
				map[string]any{"name": "domain-name", "data": "example.org"},
			},
		}
		if s.Interface != "" {
			subnet["4o6-interface"] = s.Interface
		}
		if s.InterfaceID != "" {
			subnet["4o6-interface-id"] = s.InterfaceID
		}
		if len(s.Sources) > 0 {
			subnet["4o6-subnet"] = s.Sources[0].String()
		}
		subnets = append(subnets, subnet)
	}
	life := int64(c.LeaseTime.Seconds())
	database := c.KeaDatabase
	if database == nil {
		database = map[string]any{"type": "memfile", "persist": true, "lfc-interval": 0,
			"name": filepath.Join(c.Dir, KeaLeases)}
	}
	return map[string]any{"Dhcp4": map[string]any{
		// Queries come through the IPC only. But Kea takes the server identifier from the open
		// sockets of the interface that the IPC names.
		"interfaces-config": map[string]any{"interfaces": c.Interfaces, "dhcp-socket-type": "udp"},
		"dhcp4o6-port":      c.Port,
		"lease-database":    database,
		"valid-lifetime":    life, "renew-timer": life / 2, "rebind-timer": life * 7 / 8,
		"calculate-tee-times": false,
		"authoritative":       true,
		"subnet4":             subnets,
		"loggers":             keaLog("kea-dhcp4", c),
	}}
}

// keaLog always has the few messages of the server itself, such as that it has started.
func keaLog(name string, c Config) []any {
	logger := func(name, severity string) any {
		return map[string]any{"name": name, "severity": strings.ToUpper(severity),
			"output_options": []any{map[string]any{"output": "stderr", "flush": true}}}
	}
	return []any{logger(name, c.level("info")), logger(name+strings.Replace(name, "kea-", ".", 1), "info")}
}
