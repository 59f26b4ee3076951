package durable

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
	"github.com/dhcp4o6/dhcp4o6/test/servers"
)

// documents are the values that the daemons read from files, by variable. The list of reservations
// is named in the subnets document.
var documents = map[string]string{
	"DHCP4D_SUBNETS": "- id: 1\n  subnet: 10.0.0.0/16\n  pools: [10.0.0.10-10.0.1.250]\n" +
		"  match:\n    - link-address: 2001:db8:7::/64\n" +
		"  reservations-file: RESERVATIONS\n",
	"DHCP4D_RESERVATIONS": "hw-address,address\n02:00:00:00:00:99,10.0.2.1\n",
	"DHCP4D_HOOKS":        "rules\n",
	"DHCP4D_RULES_LINES":  "pkt4_receive: option[60].hex == 'banned' -> drop banned\n",
	"DHCP4D_IPC_KEYS":     ipcKey + "\n",
	"DHCP6D_LINKS":        "links:\n- link: 2001:db8:7::/64\n  aftr-name: aftr.example.net\n",
	"DHCP6D_HOOKS":        "acl,rules\n",
	"DHCP6D_ACL_DENY":     "prefix=2001:db8:ffff::/64\n",
	"DHCP6D_RULES_LINES":  "pkt6_receive: option[16].exists -> drop banned\n",
	"DHCP6D_RELAYS":       "2001:db8:c::2/128\n",
	"DHCP6D_IPC_KEYS":     ipcKey + "\n",
}

// TestDocumentsBrokenWhileServing breaks every document in every way, and has its daemon reload.
// The daemon keeps what it has, names the file or the variable, and serves on. It takes the
// document as soon as that is whole.
func TestDocumentsBrokenWhileServing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	dir := t.TempDir()
	path := func(variable string) string { return filepath.Join(dir, variable) }
	b.config.Env = append(b.config.Env, "DHCP4D_RULES_REASONS=banned", "DHCP6D_RULES_REASONS=banned")
	for variable, content := range documents {
		content = strings.ReplaceAll(content, "RESERVATIONS", path("DHCP4D_RESERVATIONS"))
		if err := os.WriteFile(path(variable), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if variable != "DHCP4D_RESERVATIONS" {
			b.config.Env = append(b.config.Env, variable+"=", variable+"_FILE="+path(variable))
		}
	}
	b.start()
	w := b.crowd(ackcheck.Config{Clients: 40, Window: 4})
	stop := b.load(w)
	reloads := func(what string, half *servers.Half, daemon string, successful float64) {
		before, err := half.Metrics()
		if err != nil {
			t.Fatal(err)
		}
		half.Signal(syscall.SIGHUP)
		b.await("a reload after "+what, func() bool {
			m, err := half.Metrics()
			name := strings.ToLower(daemon) + "_config_last_reload_"
			if successful == 0 {
				return err == nil && m[name+"successful"] == 0
			}
			return err == nil && m[name+"successful"] == 1 &&
				m[name+"timestamp_seconds"] > before[name+"timestamp_seconds"]
		})
	}
	tried := 0
	for variable := range documents {
		daemon, _, _ := strings.Cut(variable, "_")
		half := b.four
		if daemon == "DHCP6D" {
			half = b.six
		}
		for _, how := range breaks {
			if slices.Contains([]string{"flipped", "longer"}, how.name) {
				continue // it may be a document still
			}
			good, err := os.ReadFile(path(variable))
			if err != nil {
				t.Fatal(err)
			}
			if err := how.do(path(variable)); err != nil {
				t.Fatal(err)
			}
			said := len(half.Output())
			what := variable + " is " + how.name
			reloads(what, half, daemon, 0)
			b.await("a word that "+what, func() bool {
				word := half.Output()[said:]
				return strings.Contains(word, path(variable)) || strings.Contains(word, variable)
			})
			at := w.Acks.Load()
			b.await("ACKs after "+what, func() bool { return w.Acks.Load() > at+5 })
			if err := errors.Join(os.RemoveAll(path(variable)), os.WriteFile(path(variable), good, 0o600)); err != nil {
				t.Fatal(err)
			}
			reloads(variable+" is whole again", half, daemon, 1)
			tried++
		}
	}
	stop()
	t.Logf("%d documents were broken", tried)
}
