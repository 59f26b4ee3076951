// Package radiustest runs a RADIUS server for tests.
package radiustest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/skip"
)

// Secret is what the server shares with its clients.
const Secret = "testing123"

// within bounds what must happen, on a machine that has other things to do.
const within = time.Minute

// Free returns a UDP port that is free now.
func Free(t *testing.T) int {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).Port
}

// Eventually waits for a condition.
func Eventually(t *testing.T, what string, condition func() bool) {
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

// Start runs Debian's FreeRADIUS with some users, and returns its directory and its two sockets.
// The file detail there has what comes in by accounting.
func Start(t *testing.T, users string) (dir, access, accounting string) {
	t.Helper()
	program, err := exec.LookPath("freeradius")
	if err != nil {
		if program, err = exec.LookPath("/usr/sbin/freeradius"); err != nil {
			skip.Test(t, "there is no FreeRADIUS: .ci/install freeradius freeradius radclient freeradius-utils")
		}
	}
	dir = t.TempDir()
	auth, acct := Free(t), Free(t)
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
	Eventually(t, "FreeRADIUS is ready", func() bool {
		log, err := os.ReadFile(filepath.Join(dir, "log"))
		return err == nil && strings.Contains(string(log), "Ready to process requests")
	})
	return dir, fmt.Sprintf("127.0.0.1:%d", auth), fmt.Sprintf("127.0.0.1:%d", acct)
}
