package radius

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/radius/radiustest"
	"github.com/dhcp4o6/dhcp4o6/shared/outside"
)

const users = `port-7 Cleartext-Password := "dhcp"
	Framed-IP-Address = 192.0.2.7,
	Framed-Pool = "gold",
	Filter-Id = "phones",
	Filter-Id += "slow",
	Session-Timeout = 600,
	Class = "contract 9"

port-8 Auth-Type := Reject

port-9 Cleartext-Password := "another"
`

func TestFreeRADIUS(t *testing.T) {
	dir, access, accounting := radiustest.Start(t, users)
	at := fmt.Sprintf("127.0.0.1:%d", radiustest.Free(t))
	ended := make(chan netip.Addr, 1)
	r := made(t, func(_ context.Context, a netip.Addr) error {
		ended <- a
		return nil
	}, "RADIUS_SOCKET="+filepath.Join(t.TempDir(), "socket"), "RADIUS_SERVERS="+access, "RADIUS_ACCOUNTING_SERVERS="+accounting, "RADIUS_PASSWORD=dhcp",
		"RADIUS_TIMEOUT=10s", "RADIUS_DISCONNECT_LISTEN="+at, "RADIUS_DISCONNECT_FROM=127.0.0.0/8")
	ctx, stop := context.WithCancel(t.Context())
	r.ctx = ctx
	done := make(chan error, 1)
	go func() { done <- r.Run() }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	radiustest.Eventually(t, "the program listens", func() bool { _, err := os.Stat(r.config.Socket); return err == nil })

	a := r.decide(asked())
	if a.Verdict != outside.Continue || a.Address != netip.MustParseAddr("192.0.2.7") || a.Pool != "gold" || a.LeaseTime != 600 || a.Keep != 300 ||
		strings.Join(a.Classes, " ") != "phones slow" {
		t.Errorf("port-7 gets %+v", a)
	}
	for _, port := range []string{"port-8", "port-9", "port-10"} { // rejected, with another password, unknown
		q := asked()
		q.InterfaceID = []byte(port)
		if a := r.decide(q); a.Verdict != outside.Drop || a.Reason != "rejected" || a.Keep != 30 {
			t.Errorf("%s gets %+v", port, a)
		}
	}

	for _, e := range []*outside.Event{event("allocated", 1_800_000_000), event("renewed", 1_800_000_300), event("released", 1_800_000_600)} {
		if err := r.told(e); err != nil {
			t.Fatal(err)
		}
	}
	var detail string
	radiustest.Eventually(t, "three records of accounting are written", func() bool {
		b, err := os.ReadFile(filepath.Join(dir, "detail"))
		detail = string(b)
		return err == nil && strings.Count(detail, "\tTimestamp = ") == 3
	})
	at1, at2, at3 := strings.Index(detail, "Acct-Status-Type = Start"), strings.Index(detail, "Acct-Status-Type = Interim-Update"), strings.Index(detail, "Acct-Status-Type = Stop")
	if at1 < 0 || at2 < at1 || at3 < at2 {
		t.Errorf("the records come in another order:\n%s", detail)
	}
	for line, n := range map[string]int{
		`User-Name = "port-7"`: 3, `Framed-IP-Address = 192.0.2.7`: 3, `Acct-Session-Id = "c0000207-6b49d200"`: 3, "Class = 0x636f6e74726163742039": 3,
		`Calling-Station-Id = "02-00-00-00-00-01"`: 3, "Acct-Session-Time = 300": 1, "Acct-Session-Time = 600": 1, "Acct-Terminate-Cause = User-Request": 1,
	} {
		if got := strings.Count(detail, line+"\n"); got != n {
			t.Errorf("%s is there %d times, want %d:\n%s", line, got, n, detail)
		}
	}

	if err := r.told(event("allocated", 1_800_000_000)); err != nil {
		t.Fatal(err)
	}
	for what, want := range map[string]string{
		`User-Name = "port-7", Acct-Session-Id = "c0000207-6b49d200"`: "Received Disconnect-ACK",
		`User-Name = "port-8"`: "Error-Cause = Session-Context-Not-Found",
	} {
		cmd := exec.Command("radclient", "-x", at, "disconnect", secret)
		cmd.Stdin = strings.NewReader(what + "\n")
		out, _ := cmd.CombinedOutput() // it fails for a NAK
		if !strings.Contains(string(out), want) {
			t.Errorf("a Disconnect-Request with %s: want %s\n%s", what, want, out)
		}
	}
	select {
	case a := <-ended:
		if a != netip.MustParseAddr("192.0.2.7") {
			t.Errorf("the lease of %v was ended", a)
		}
	default:
		t.Error("no lease was ended")
	}
}
