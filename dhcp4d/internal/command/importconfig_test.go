package command

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/config"
)

// TestImportConfig imports a configuration of Kea's into files, with which the program starts.
func TestImportConfig(t *testing.T) {
	const from = "../kea/testdata/edges.conf"
	dir := t.TempDir()
	out, err := run(t, nil, "import-config", "-dir", dir, from)
	if err != nil || !strings.Contains(out, "edges.conf:8:23: Dhcp4.valid-lifetime taken: as lease-time\n") ||
		!strings.Contains(out, " left\n") {
		t.Errorf("%v\n%s", err, out)
	}
	env, err := os.ReadFile(filepath.Join(dir, "dhcp4d.env"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(strings.Split(strings.TrimSpace(string(env)), "\n"))
	if err != nil || c.Subnets.ByID(1) == nil || c.IPCListen.Port() != 6768 || len(c.Hooks) != 2 {
		t.Errorf("%v: %+v", err, c.Hooks)
	}
	if _, err := run(t, nil, "import-config", "-dir", dir, from); err == nil || !strings.Contains(err.Error(), "exists") {
		t.Errorf("files were overwritten: %v", err)
	}
	out, err = run(t, nil, "import-config", from)
	document, _, _ := strings.Cut(out, from)
	if _, err2 := config.ParseSubnets([]byte(document), config.Defaults{LeaseTime: 3600, OfferHold: 60, DeclineTime: 60}); err != nil || err2 != nil {
		t.Errorf("%v, %v\n%s", err, err2, document)
	}
	broken := filepath.Join(dir, "broken.conf")
	if err := os.WriteFile(broken, []byte("{ \"Dhcp4\": {\n  \"subnet4\": [ ] ]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, nil, "import-config", broken); err == nil ||
		!strings.Contains(err.Error(), "broken.conf, line 2, column 18: ']' cannot stand here; put a comma") {
		t.Error(err)
	}
	if _, err := run(t, nil, "import-config"); err == nil || !strings.Contains(err.Error(), "want one file of Kea's") {
		t.Error(err)
	}
}
