package command

import (
	"bytes"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/clock/clocktest"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
)

// A store whose label is missing, or whose newest lease is overwritten, is refused, explained,
// repaired, and opened.
func TestStoreRepair(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "leases")
	environ := []string{
		"DHCP4D_STORE=journal:" + dir,
		"DHCP4D_SUBNETS=[{id: 1, subnet: 192.0.2.0/24, pools: [192.0.2.10-192.0.2.20], match: [{interface: eth0}]}]",
	}
	now := func() lease.Time { return 1_700_000_000 }
	o := engine.Options{Log: slog.New(slog.DiscardHandler), Now: now}
	s, err := engine.Open("journal:"+dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"192.0.2.10", "192.0.2.11"} {
		b := lease.Binding{ID: lease.ID{Addr: netip.MustParseAddr(a)}, Subnet: 1, State: lease.Bound, Client: []byte{1, 0xff, 1}, Start: now(), Changed: now(), Expires: now() + 3600}
		if _, err := s.Commit([]lease.Binding{b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	repair := func(args ...string) string {
		t.Helper()
		var out bytes.Buffer
		c := &call{t.Context(), clocktest.NewMachine(time.Unix(1_700_000_100, 0)), environ, &out, io.Discard}
		if err := stores(c, append([]string{"repair"}, args...)); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	if got := repair(); got != "the store is sound: 2 leases\n" {
		t.Errorf("said %q", got)
	}
	if err := os.Remove(filepath.Join(dir, "dhcp4d-store")); err != nil {
		t.Fatal(err)
	}
	for _, say := range []string{"dhcp4d-store: it is missing\n2 leases can be read; 0 groups", "repaired: ", "the store is sound: 2 leases"} {
		args := []string{"-accept-loss"}
		if say != "repaired: " {
			args = nil
		}
		if got := repair(args...); !strings.Contains(got, say) {
			t.Errorf("store repair %q said %q, not %q", args, got, say)
		}
	}
	name := filepath.Join(dir, "segment-0000000001")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	clear(content[4096:])
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, say := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"segment-0000000001 at offset 4096", "1 leases can be read; 1 groups of changes cannot, the first of them written after 2023-11-14T22:13:20Z", "nothing was changed"}},
		{[]string{"-accept-loss"}, []string{"segment-0000000001 at offset 4096", "no client gets an address that is new to it"}},
		{nil, []string{"the store is sound: 1 leases"}},
	} {
		got := repair(say.args...)
		for _, want := range say.want {
			if !strings.Contains(got, want) {
				t.Errorf("store repair %q said %q, not %q", say.args, got, want)
			}
		}
	}
}
