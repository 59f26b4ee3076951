package compose

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/clients/client"
	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
)

// TestImagesForARM64 makes the images for ARM64 and runs both daemons in containers. It mounts an
// emulator into them, so the kernel does not have to know the architecture. A client on this
// machine gets a lease from them.
func TestImagesForARM64(t *testing.T) {
	if err := Engine(); err != nil {
		netnstest.Skip(t, err.Error())
	}
	emulator, err := exec.LookPath("qemu-aarch64-static")
	if err != nil {
		netnstest.Skip(t, "qemu-aarch64-static is not installed (Debian: apt-get install qemu-user-static)")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	docker := func(args ...string) string {
		t.Helper()
		return must(t)(Docker(t.Context(), args...))
	}
	later := func(args ...string) {
		t.Cleanup(func() {
			if _, err := Docker(context.Background(), args...); err != nil {
				t.Error(err)
			}
		})
	}
	const version, name, prefix = "lab-test", "dhcp4o6-labtest-arm64", "2001:db8:e"
	dist := t.TempDir()
	must(t)(run(t.Context(), root, []string{"ARCHES=arm64", "DIST=" + dist}, "deploy/images", version, "none"))
	for _, daemon := range []string{"dhcp6d", "dhcp4d"} {
		image := "dhcp4o6/" + daemon + ":" + version + "-arm64"
		docker("load", "-qi", filepath.Join(dist, daemon+"-"+version+"-linux-arm64.image.tar.gz"))
		later("rmi", image)
		got := docker("image", "inspect", "-f", "{{.Os}} {{.Architecture}} {{.Config.User}} {{.Config.Entrypoint}} {{.Config.Healthcheck.Test}} {{.Config.Volumes}}", image)
		want := fmt.Sprintf("linux arm64 65532:65532 [/%[1]s] [CMD /%[1]s -health] map[/var/lib/%[1]s:{}]", daemon)
		if got != want {
			t.Errorf("the image of %s says %s, want %s", daemon, got, want)
		}
	}
	bridge := "br-" + docker("network", "create", "--ipv6", "--subnet", prefix+"::/64", name)[:12]
	later("network", "rm", name)
	keys := filepath.Join(root, "deploy/docker/ipc-keys.lab")
	start := func(daemon, address string, env ...string) {
		t.Helper()
		args := []string{"run", "-d", "--network", name, "--ip6", address, "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
			"--sysctl", "net.ipv4.ip_unprivileged_port_start=0", "-v", emulator + ":/emulator:ro", "-v", keys + ":/keys:ro", "--entrypoint", "/emulator"}
		for _, e := range env {
			args = append(args, "-e", e)
		}
		id := docker(append(args, "dhcp4o6/"+daemon+":"+version+"-arm64", "/"+daemon)...)
		later("rm", "-fv", id)
		t.Cleanup(func() {
			if t.Failed() {
				out, err := exec.Command("docker", "logs", id).CombinedOutput()
				t.Logf("%s said (%v):\n%s", daemon, err, tail(string(out), 20))
			}
		})
		eventually(t, 2*time.Minute, daemon+" is well", func(ctx context.Context) (bool, string) {
			out, err := Docker(ctx, "exec", id, "/emulator", "/"+daemon, "-health")
			return err == nil, fmt.Sprint(out, err)
		})
	}
	start("dhcp4d", prefix+"::4", "DHCP4D_NAME=four", "DHCP4D_SERVER_ID=100.67.0.2", "DHCP4D_IPC_LISTEN=[::]:6768",
		"DHCP4D_IPC_PEERS=["+prefix+"::6]:6767", "DHCP4D_IPC_KEYS_FILE=/keys",
		"DHCP4D_SUBNETS=[{id: 1, subnet: 100.67.0.0/24, pools: [100.67.0.16-100.67.0.99], match: [{prefix: 'fe80::/10'}]}]")
	start("dhcp6d", prefix+"::6", "DHCP6D_INTERFACES=eth0", "DHCP6D_IPC_LISTEN=["+prefix+"::6]:6767",
		"DHCP6D_IPC_BACKENDS=four@["+prefix+"::4]:6768", "DHCP6D_IPC_KEYS_FILE=/keys", "DHCP6D_4O6_SERVERS=multicast")

	socket, err := client.Listen(bridge, netip.AddrPort{})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	c, err := client.New(socket, client.Options{HardwareAddr: net.HardwareAddr{2, 0, 0x5e, 0x10, 0, 0x40},
		Retransmit: client.Retransmit{First: time.Second, Max: 4 * time.Second, Tries: 10}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Information(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := c.Obtain(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(l.Address.String(), "100.67.0.") {
		t.Errorf("the lease is %v", l.Address)
	}
	if err := c.Release(l); err != nil {
		t.Error(err)
	}
}
