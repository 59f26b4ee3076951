package packages

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/test/docs"
)

// Env switches the tests on: they need root, mmdebstrap, systemd-nspawn and an archive of Debian.
const Env = "DHCP4O6_PACKAGES"

func TestMain(m *testing.M) {
	if os.Getenv(Env) != "1" {
		fmt.Printf("the Debian packages are not tested here: %s=1 (make packages-test) does\n", Env)
		return
	}
	os.Exit(m.Run())
}

// system is a root with the packages of two versions in /packages.
type system struct {
	*Root
	t *testing.T
}

// run runs a script, which must succeed.
func (s system) run(script string) string {
	s.t.Helper()
	out, err := s.Run(s.t.Context(), script)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// is runs a script and compares what it prints.
func (s system) is(want, script string) {
	s.t.Helper()
	if got := s.run(script); got != want {
		s.t.Errorf("%s\nprints %q, want %q", script, got, want)
	}
}

// until runs a script until it prints a text.
func (s system) until(want, script string) {
	s.t.Helper()
	for s.run(script) != want {
		if s.t.Context().Err() != nil {
			return
		}
	}
}

// part runs a part of the test. If it fails, the test ends.
func (s system) part(name string, f func(s system)) {
	s.t.Helper()
	if !s.t.Run(name, func(t *testing.T) { f(system{s.Root, t}) }) {
		s.t.FailNow()
	}
}

const (
	daemons = "dhcp4d dhcp6d"
	lease   = `ip netns exec cpe dhcp4o6-client -i eth0 -once -json -release=false -state /root/lease`
)

// install returns a script that installs a version of all packages.
func install(version string) string {
	return "dpkg -i /packages/" + version + "/*.deb"
}

func TestPackages(t *testing.T) {
	dir := t.TempDir()
	root, err := New(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := root.Close(); err != nil {
			t.Error(err)
		}
	})
	s := system{root, t}
	for _, v := range []string{"1.0.0", "1.1.0"} {
		out := filepath.Join(root.Dir, "packages", v)
		if _, err := command(t.Context(), "make", "-C", "../..", "deb", "VERSION=v"+v, "REVISION=abc", "ARCHES="+runtime.GOARCH,
			"COMPRESSION=none", "DIST="+out, "OUT="+filepath.Join(dir, "out")); err != nil {
			t.Fatal(err)
		}
	}

	s.part("lintian finds nothing without a reason", func(s system) {
		debs, err := filepath.Glob(filepath.Join(s.Dir, "packages/1.1.0/*.deb"))
		if err != nil || len(debs) != 3 {
			s.t.Fatalf("%q, %v", debs, err)
		}
		out, err := command(s.t.Context(), append([]string{"lintian", "--allow-root", "--fail-on", "error,warning",
			"--suppress-tags", "uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball"}, debs...)...)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Log(out)
	})

	s.part("a chroot without systemd running: install, upgrade, remove, purge", func(s system) {
		s.run("mv /usr/bin/systemd-sysusers /usr/bin/aside; dpkg -i /packages/1.0.0/dhcp4d_*.deb; mv /usr/bin/aside /usr/bin/systemd-sysusers")
		s.run("dpkg -i /packages/1.0.0/dhcp6d_*.deb /packages/1.0.0/dhcp4o6-clients_*.deb")
		for d := range strings.FieldsSeq(daemons) {
			s.is("/var/lib/"+d+" /usr/sbin/nologin", "getent passwd "+d+" | cut -d: -f6,7 --output-delimiter=' '")
			s.is(d+" v1.0.0", d+" -version | cut -d' ' -f1,2")
			s.run("set -a; . /etc/dhcp4o6/" + d + ".env; " + d + " -check")
			s.run("test -s /usr/share/man/man8/" + d + ".8.gz -a -s /usr/share/bash-completion/completions/" + d)
			broken, err := docs.Broken(filepath.Join(s.Dir, "usr/share/doc", d))
			if err != nil || len(broken) > 0 {
				s.t.Errorf("documents with links to nothing: %q, %v", broken, err)
			}
			var bill struct{ Components []struct{ PURL string } }
			text := s.run("cat /usr/share/doc/" + d + "/" + d + ".cdx.json")
			if err := json.Unmarshal([]byte(text), &bill); err != nil || len(bill.Components) < 5 {
				s.t.Errorf("the list of modules has %d, %v", len(bill.Components), err)
			}
		}
		s.run("echo '# ours' >>/etc/dhcp4o6/dhcp4d.env; mkdir -p /var/lib/dhcp4d && touch /var/lib/dhcp4d/a")
		s.run("echo '# ours' >>/etc/dhcp4o6/dhcp4d-radius.env; mkdir -p /var/lib/dhcp4d-radius && touch /var/lib/dhcp4d-radius/cursor")
		s.run(install("1.1.0"))
		s.is("# ours", "tail -1 /etc/dhcp4o6/dhcp4d.env")
		s.is("dhcp4d v1.1.0", "dhcp4d -version | cut -d' ' -f1,2")
		s.run("logrotate -d /etc/logrotate.d/dhcp4d")
		s.is("# ours", "tail -1 /etc/dhcp4o6/dhcp4d-radius.env")
		s.run("dpkg -r dhcp4d dhcp6d; test -e /var/lib/dhcp4d-radius/cursor; test -e /etc/dhcp4o6/dhcp4d-radius.env")
		s.run("test -e /var/lib/dhcp4d/a; test -e /etc/dhcp4o6/dhcp6d.env; test ! -e /usr/sbin/dhcp4d")
		s.run("dpkg -P dhcp4d dhcp6d dhcp4o6-clients; test ! -e /var/lib/dhcp4d; test ! -e /etc/dhcp4o6")
		s.is("", "find /etc /usr /var/lib /var/log -name '*dhcp4*' -o -name '*dhcp6d*'")
		s.run("userdel dhcp4d; userdel dhcp6d")
	})

	s.part("each daemon goes alone, and leaves the other as it is", func(s system) {
		for d := range strings.FieldsSeq(daemons) {
			other := strings.TrimSpace(strings.Replace(daemons, d, "", 1))
			s.run(install("1.0.0") + "; for d in " + daemons + "; do mkdir -p /var/lib/$d; touch /var/lib/$d/state; done")
			s.run("dpkg -r " + d + "; test -e /var/lib/" + d + "/state; test -e /etc/dhcp4o6/" + d + ".env; test ! -e /usr/sbin/" + d)
			s.run("dpkg -P " + d + "; test ! -e /var/lib/" + d + "; test ! -e /etc/dhcp4o6/" + d + ".env")
			s.run("test -e /var/lib/" + other + "/state; test -e /etc/dhcp4o6/" + other + ".env; " + other + " -version; dpkg -V " + other)
			s.run("dpkg -P " + other + " dhcp4o6-clients; test ! -e /etc/dhcp4o6")
		}
		s.run("userdel dhcp4d; userdel dhcp6d")
	})

	if err := root.Boot(t.Context()); err != nil {
		t.Fatal(err)
	}

	s.part("who types first-subscriber.md has a subscriber", func(s system) {
		script, err := docs.Script("../../docs/first-subscriber.md")
		if err != nil {
			s.t.Fatal(err)
		}
		said := s.run("cd /packages/1.0.0\n" + script)
		for _, want := range []string{
			"obtained 192.0.2.10/24", "1       -     192.0.2.0/24  active", "192.0.2.10  1       bound", "state             bound",
			`dhcp4d_leases{state="bound",subnet="1"} 1`, "backend: ok",
		} {
			if !strings.Contains(said, want) {
				s.t.Errorf("%q is not in\n%s", want, said)
			}
		}
		// The next parts begin anew.
		s.run("dpkg -P dhcp4d dhcp6d dhcp4o6-clients; ip link del eth1; ip netns del cpe")
	})

	s.part("who types what install.md says of the archive has two daemons that serve", func(s system) {
		out := filepath.Join(s.Dir, "archive")
		if _, err := command(s.t.Context(), "make", "-C", "../..", "dist", "VERSION=v1.0.0", "REVISION=abc", "ARCHES="+runtime.GOARCH,
			"DIST="+out, "OUT="+filepath.Join(dir, "out")); err != nil {
			s.t.Fatal(err)
		}
		script, err := docs.ScriptOf("../../docs/install.md", "The archive")
		if err != nil {
			s.t.Fatal(err)
		}
		s.run("cd /archive\n" + strings.ReplaceAll(script, "-linux-amd64", "-linux-"+runtime.GOARCH))
		for d := range strings.FieldsSeq(daemons) {
			s.is(d+" v1.0.0", d+" -version | cut -d' ' -f1,2")
			s.run("set -a; . /etc/dhcp4o6/" + d + ".env; " + d + " -check")
			s.run("test -s /usr/local/share/man/man8/" + d + ".8; bash -c '. /etc/bash_completion.d/" + d + "; complete -p " + d + "'")
		}
		s.is("", "systemd-analyze verify dhcp4d.service dhcp4d-radius.service dhcp6d.service 2>&1 | grep -v 'man dhcp' || true") //nolint:misspell // a name
		s.run("logrotate -d /etc/logrotate.d/dhcp4d")
		s.run(`printf '%s\n' DHCP6D_INTERFACES=eth1 DHCP6D_4O6_SERVERS=multicast >/etc/dhcp4o6/dhcp6d.env
			ip netns add cpe; ip link add eth1 type veth peer name eth0 netns cpe
			ip link set eth1 up; ip -n cpe link set eth0 up
			systemctl enable --now ` + daemons)
		s.is("Serving\nServing", "systemctl show -P StatusText dhcp4d; systemctl show -P StatusText dhcp6d")
		s.run("ip netns exec cpe /archive/dhcp4o6-*/bin/dhcp4o6-client -i eth0 -once; dhcp4d leases list | grep bound")
		s.run("systemctl restart dhcp4d dhcp6d; dhcp4d leases list | grep bound") // after an upgrade
		// The next parts begin anew.
		s.run("systemctl disable --now " + daemons + "; ip link del eth1; ip netns del cpe; rm -r /archive /etc/dhcp4o6 /var/lib/dhcp4d /var/lib/dhcp6d")
		s.run("find /etc /usr /var/log -depth '(' -name '*dhcp4*' -o -name '*dhcp6d*' ')' -delete; userdel dhcp4d; userdel dhcp6d; systemctl daemon-reload")
	})

	s.part("an installation starts nothing, and its units have no mistake", func(s system) {
		s.run(install("1.0.0"))
		s.is("inactive\ninactive\ninactive", "systemctl is-active dhcp4d-radius "+daemons+" || true")
		s.is("disabled\ndisabled\ndisabled", "systemctl is-enabled dhcp4d-radius "+daemons+" || true")
		s.is("", "systemd-analyze verify dhcp4d.service dhcp4d-radius.service dhcp6d.service 2>&1 | grep -v 'man dhcp' || true") //nolint:misspell // a name
	})

	s.part("a daemon waits for its backend and its interface, says so, and then serves", func(s system) {
		s.run("printf '%s\n' DHCP6D_INTERFACES=eth1 DHCP6D_4O6_SERVERS=multicast >/etc/dhcp4o6/dhcp6d.env")
		s.run("printf '%s\n' DHCP4D_HOOKS=leaselog DHCP4D_LEASELOG_PATH=/var/log/dhcp4d/leases.json >>/etc/dhcp4o6/dhcp4d.env")
		s.run("systemctl enable " + daemons + "; systemctl start --no-block dhcp6d")
		s.until("2", "systemctl show -P StatusText dhcp6d | grep -oE 'interfaces: [^;]*eth1|backend: ' | wc -l")
		// An upgrade restarts a daemon that waits, too.
		s.run(`pid=$(systemctl show -P MainPID dhcp6d); dpkg -i /packages/1.0.0/dhcp6d_*.deb
			while p=$(systemctl show -P MainPID dhcp6d); test "$p" = 0 -o "$p" = $pid; do :; done`)
		s.run("systemctl start dhcp4d")
		s.is("Serving", "systemctl show -P StatusText dhcp4d")
		s.is("activating", "systemctl is-active dhcp6d || true")
		s.run(`ip netns add cpe
			ip link add eth1 type veth peer name eth0 netns cpe
			ip link set eth1 addrgenmode none; ip -n cpe link set eth0 addrgenmode none
			ip link set eth1 up; ip -n cpe link set eth0 up
			ip addr add fe80::1/64 dev eth1 nodad; ip -n cpe addr add fe80::2/64 dev eth0 nodad`)
		s.run("systemctl start dhcp6d")
		s.is("Serving", "systemctl show -P StatusText dhcp6d")
		s.is("dhcp4d dhcp4d 700\ndhcp4d dhcp4d 750", "stat -c '%U %G %a' /var/lib/dhcp4d /var/log/dhcp4d")
	})

	var address, binding string
	get := func(s system) string {
		s.t.Helper()
		lines := strings.Split(s.run(lease), "\n")
		var event struct{ Event, Address string }
		if err := json.Unmarshal([]byte(lines[len(lines)-1]), &event); err != nil || event.Address == "" {
			s.t.Fatalf("the client said %q: %v", lines, err)
		}
		return event.Address
	}
	// kept checks that a version serves and has the lease.
	kept := func(s system, version string) {
		s.t.Helper()
		for d := range strings.FieldsSeq(daemons) {
			s.until("active 0 "+d+" "+version, `pid=$(systemctl show -P MainPID `+d+`)
				echo "$(systemctl is-active `+d+` || true) $(systemctl list-jobs --no-legend | grep -c "`+d+`.service" || true) $(
					test "$pid" = 0 || /proc/$pid/exe -version | cut -d' ' -f1,2)"`)
		}
		if got := s.run("dhcp4d leases show " + address + " | grep '^client id'"); got != binding {
			s.t.Errorf("the lease is %q, was %q", got, binding)
		}
		if got := get(s); got != address {
			s.t.Errorf("the client gets %s, had %s", got, address)
		}
	}

	s.part("a client gets a lease", func(s system) {
		address = get(s)
		s.t.Log("address", address)
		s.t.Log(s.run("dhcp4d leases show " + address))
		binding = s.run("dhcp4d leases show " + address + " | grep '^client id'")
	})

	s.part("logrotate rotates the lease log, and the history is read across it", func(s system) {
		s.run("logrotate -f /etc/logrotate.d/dhcp4d; test -e /var/log/dhcp4d/leases.json-*")
		s.run("set -a; . /etc/dhcp4o6/dhcp4d.env; dhcp4d leases history " + address)
	})

	s.part("RADIUS does not start without its settings, and starts with them", func(s system) {
		s.is("1", "set -a; . /etc/dhcp4o6/dhcp4d-radius.env; if dhcp4d-radius -check >/dev/null 2>&1; then echo 0; else echo 1; fi")
		s.run("printf '%s\n' RADIUS_SERVERS=127.0.0.1:1812 RADIUS_SECRET=secret >>/etc/dhcp4o6/dhcp4d-radius.env")
		s.run("systemctl enable --now dhcp4d-radius")
		s.until("socket dhcp4d", "test -S /run/dhcp4d-radius/socket && stat -c 'socket %U' /run/dhcp4d-radius/socket || true")
	})
	// radius checks that a version of it runs.
	radius := func(s system, version string) {
		s.t.Helper()
		s.until("dhcp4d-radius "+version, `pid=$(systemctl show -P MainPID dhcp4d-radius)
			test "$pid" = 0 || /proc/$pid/exe -version | cut -d' ' -f1,2`)
	}

	s.part("an upgrade keeps leases and configuration, and serves with the new version", func(s system) {
		s.run(install("1.1.0"))
		kept(s, "v1.1.0")
		radius(s, "v1.1.0")
		s.is("RADIUS_SECRET=secret", "tail -1 /etc/dhcp4o6/dhcp4d-radius.env")
		s.is("DHCP6D_INTERFACES=eth1", "head -1 /etc/dhcp4o6/dhcp6d.env")
	})

	s.part("a downgrade keeps leases", func(s system) {
		s.run(install("1.0.0"))
		kept(s, "v1.0.0")
	})

	s.part("a daemon that dies again and again is started again and again", func(s system) {
		for range 7 { // systemd's own limit is 5 in 10 s
			s.run(`pid=$(systemctl show -P MainPID dhcp4d); kill -KILL $pid
				while p=$(systemctl show -P MainPID dhcp4d); test "$p" = 0 -o "$p" = $pid; do :; done`)
		}
		kept(s, "v1.0.0")
	})

	s.part("after a removal and an installation it goes on", func(s system) {
		s.run("dpkg -r dhcp4d dhcp6d")
		s.is("inactive\ninactive\ninactive", "systemctl is-active dhcp4d-radius "+daemons+" || true")
		s.run(install("1.1.0"))
		s.run("systemctl start dhcp4d-radius " + daemons)
		s.is("enabled\nenabled\nenabled", "systemctl is-enabled dhcp4d-radius "+daemons)
		radius(s, "v1.1.0")
		kept(s, "v1.1.0")
	})

	s.part("a purge stops, and leaves nothing but the users", func(s system) {
		// The state of dhcp6d is on a file system of its own.
		s.run("systemctl stop dhcp6d; rm -r /var/lib/dhcp6d/*; mount -t tmpfs none /var/lib/dhcp6d; touch /var/lib/dhcp6d/duid")
		s.run("dpkg -P dhcp4d dhcp6d dhcp4o6-clients")
		s.is("", "ls -A /var/lib/dhcp6d; umount /var/lib/dhcp6d; rmdir /var/lib/dhcp6d")
		s.is("0", "ls -l /proc/*/exe 2>/dev/null | grep -cE 'dhcp[46]d' || true")
		s.is("", "find /etc /usr /var/lib /var/log -name '*dhcp4*' -o -name '*dhcp6d*'")
	})
}
