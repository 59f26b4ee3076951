package radius

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/skip"
)

// within bounds what must happen, on a machine that has other things to do.
const within = 30 * time.Second

// free returns a UDP port that is free now.
func free(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !condition(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in %v: %s", within, what)
		}
	}
}

const radiusd = `
prefix = /usr
name = radiusd
confdir = DIR
logdir = DIR
run_dir = DIR
db_dir = DIR
libdir = /usr/lib/freeradius
pidfile = DIR/pid
max_requests = 1024
log {
	destination = files
	file = DIR/log
}
security {
	allow_vulnerable_openssl = yes
}
client test {
	ipaddr = 127.0.0.1
	secret = testing123
	require_message_authenticator = yes
}
thread pool {
	start_servers = 1
	max_servers = 2
}
modules {
	files {
		filename = DIR/users
	}
	pap {
	}
	detail {
		filename = DIR/detail
		permissions = 0600
	}
}
server default {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = AUTH
	}
	listen {
		type = acct
		ipaddr = 127.0.0.1
		port = ACCT
	}
	authorize {
		files
		pap
	}
	authenticate {
		pap
	}
	accounting {
		detail
	}
	post-auth {
		update reply {
			Message-Authenticator := 0x00
		}
		Post-Auth-Type REJECT {
			update reply {
				Message-Authenticator := 0x00
			}
		}
	}
}
`

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

// freeRADIUS runs Debian's FreeRADIUS, and returns its directory and its two sockets.
func freeRADIUS(t *testing.T) (dir, access, accounting string) {
	t.Helper()
	program, err := exec.LookPath("freeradius")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/freeradius"); err != nil {
			skip.Test(t, "there is no FreeRADIUS: .ci/install freeradius freeradius radclient freeradius-utils")
		}
	}
	dir = t.TempDir()
	auth, acct := free(t), free(t)
	config := strings.NewReplacer("DIR", dir, "AUTH", fmt.Sprint(auth), "ACCT", fmt.Sprint(acct)).Replace(radiusd)
	for name, content := range map[string]string{"radiusd.conf": config, "users": users} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "-f", "-d", dir, "-n", "radiusd")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if log, err := os.ReadFile(filepath.Join(dir, "log")); err == nil && t.Failed() {
			t.Logf("FreeRADIUS says:\n%s", log)
		}
	})
	eventually(t, "FreeRADIUS is ready", func() bool {
		log, err := os.ReadFile(filepath.Join(dir, "log"))
		return err == nil && strings.Contains(string(log), "Ready to process requests")
	})
	return dir, fmt.Sprintf("127.0.0.1:%d", auth), fmt.Sprintf("127.0.0.1:%d", acct)
}

func TestFreeRADIUS(t *testing.T) {
	dir, access, accounting := freeRADIUS(t)
	at := fmt.Sprintf("127.0.0.1:%d", free(t))
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
	eventually(t, "the program listens", func() bool { _, err := os.Stat(r.config.Socket); return err == nil })

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
	eventually(t, "three records of accounting are written", func() bool {
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
