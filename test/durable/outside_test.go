package durable

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/skip"
	"github.com/dhcp4o6/dhcp4o6/test/ackcheck"
)

// decides is a program that refuses every fifth line, by the Interface-Id. Other lines get an
// address of the pool even or odd, by their number. One question in fifty gets no verdict.
const decides = `
import random, sys
import dhcp4o6_hook as hook

def decide(query):
    line = int(query.interface_id[4:])
    if line % 5 == 0:
        return hook.Drop("unpaid", keep=random.choice([0, 1]))
    if random.random() < 0.02:
        return None
    return hook.Continue(pool="odd" if line % 2 else "even", keep=random.choice([0, 0, 1]))

hook.serve(sys.argv[1], decide=decide, name="decides")
`

// mad is a program that greets dhcp4d, floods it with verdicts that nobody has asked for, and
// closes the connection within a record. Each verdict allows what decides refuses.
const mad = `
import os, socket, struct, sys

def record(kind, number, fields):
    body = b"".join(struct.pack("!HH", code, len(value)) + value for code, value in fields)
    return struct.pack("!IBBHQ", 12 + len(body), 1, kind, 0, number) + body

path = sys.argv[1]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path + ".mad")
listener.listen()
os.rename(path + ".mad", path)
while True:
    connection, _ = listener.accept()
    flood = b"".join(record(3, 1 << 40 | n, [(50, b"\x01"), (52, struct.pack("!I", 60))]) for n in range(1000))
    try:
        connection.sendall(record(1, 0, [(3, b"mad")]))
        for _ in range(3):
            connection.sendall(flood)
        connection.sendall(flood[:17])
        connection.close()
    except OSError:
        pass
`

// outsider starts and ends the program outside, as an operator does.
type outsider struct {
	t           *testing.T
	interpreter string
	dir, socket string
	running     *run
}

// run is a process of a program.
type run struct {
	*exec.Cmd
	ended chan struct{}
}

func newOutsider(t *testing.T) *outsider {
	t.Helper()
	// python3 may be a script that chooses an interpreter, and starts slowly.
	interpreter, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	if err != nil {
		skip.Test(t, "there is no python3")
	}
	dir, err := os.MkdirTemp("", "outside") // t.TempDir may be too long: the path of a socket has at most 107 octets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	library, err := os.ReadFile("../../shared/outside/python/dhcp4o6_hook.py")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"dhcp4o6_hook.py": string(library), "decides.py": decides, "mad.py": mad} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o := &outsider{t: t, interpreter: strings.TrimSpace(string(interpreter)), dir: dir, socket: filepath.Join(dir, "socket")}
	t.Cleanup(func() { o.end(o.running) })
	return o
}

// start starts a program and waits until it listens. The one before still runs.
func (o *outsider) start(program string) {
	o.t.Helper()
	_ = os.Remove(o.socket)
	r := &run{exec.Command(o.interpreter, filepath.Join(o.dir, program), o.socket), make(chan struct{})}
	r.Stderr = os.Stderr
	if err := r.Start(); err != nil {
		o.t.Fatal(err)
	}
	o.running = r
	go func() {
		_ = r.Wait() // an error: it is killed
		close(r.ended)
	}()
	for {
		c, err := net.Dial("unix", o.socket)
		if err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-r.ended:
			o.t.Fatalf("%s has ended before it listens: %v", program, err)
		case <-time.After(time.Millisecond):
		}
	}
}

func (o *outsider) signal(s syscall.Signal) {
	o.t.Helper()
	if err := o.running.Process.Signal(s); err != nil {
		o.t.Fatal(err)
	}
}

// end kills a program.
func (*outsider) end(r *run) {
	if r != nil {
		_ = r.Process.Kill() // it may have ended
		<-r.ended
	}
}

// TestTheProgramOutsideFailsUnderLoad kills, stops and replaces the program outside under load, and
// kills dhcp4d, too. For a while another program floods dhcp4d. No acknowledged lease is lost, none
// is given to two clients, and none against a verdict. DHCP4O6_OUTSIDE_TROUBLES is the number of
// rounds.
func TestTheProgramOutsideFailsUnderLoad(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"drop", "stale"} {
		t.Run("policy "+policy, func(t *testing.T) {
			t.Parallel()
			failsUnderLoad(t, policy)
		})
	}
	t.Run("without a program and with the policy open there are leases against verdicts, and the test sees them", func(t *testing.T) {
		t.Parallel()
		b, _ := asksOutside(t, "open")
		b.start()
		w := b.crowd(ackcheck.Config{Clients: 300, Seed: rand.Uint64()})
		stop := b.load(w)
		b.await("many ACKs", func() bool { return w.Acks.Load() > 200 })
		stop()
		wrong := 0
		for address, hardware := range w.Holders() {
			if againstVerdict(address, hardware) != "" {
				wrong++
			}
		}
		if wrong == 0 {
			t.Error("no lease is against a verdict, want some")
		}
	})
}

// trouble is what happens to the program under load.
var trouble = []struct {
	name string
	do   func(o *outsider)
}{
	{"killed", func(o *outsider) {
		o.end(o.running)
		time.Sleep(rand.N(100 * time.Millisecond))
		o.start("decides.py")
	}},
	{"hung", func(o *outsider) {
		o.signal(syscall.SIGSTOP)
		time.Sleep(rand.N(600 * time.Millisecond))
		o.signal(syscall.SIGCONT)
	}},
	{"killed while it hung", func(o *outsider) {
		o.signal(syscall.SIGSTOP)
		time.Sleep(rand.N(300 * time.Millisecond))
		o.end(o.running)
		o.start("decides.py")
	}},
	{"replaced", func(o *outsider) {
		before := o.running
		o.start("decides.py")
		time.Sleep(rand.N(50 * time.Millisecond))
		o.end(before)
	}},
	{"replaced for a while by one that floods dhcp4d", func(o *outsider) {
		o.end(o.running)
		o.start("mad.py")
		time.Sleep(rand.N(500 * time.Millisecond))
		o.end(o.running)
		o.start("decides.py")
	}},
}

// asksOutside makes a bench whose dhcp4d asks a program. The program is not started.
func asksOutside(t *testing.T, policy string) (*bench, *outsider) {
	t.Helper()
	b, o := newBench(t), newOutsider(t)
	b.config.Env = append(b.config.Env, "DHCP4D_STORE=journal:"+b.config.Dir+"/journal",
		"DHCP4D_HOOKS=outside", "DHCP4D_OUTSIDE_SOCKET="+o.socket, "DHCP4D_OUTSIDE_KEY=relay6[-1].option[18].hex",
		"DHCP4D_OUTSIDE_REASONS=unpaid", "DHCP4D_OUTSIDE_TIMEOUT=200ms", "DHCP4D_OUTSIDE_POLICY="+policy,
		`DHCP4D_SUBNETS=subnets: [{id: 1, subnet: 10.0.0.0/16, match: [{link-address: "2001:db8:7::/64"}],
		  pools: [{name: even, range: 10.0.0.10-10.0.0.199}, {name: odd, range: 10.0.0.200-10.0.1.150}]}]`)
	return b, o
}

func failsUnderLoad(t *testing.T, policy string) {
	b, o := asksOutside(t, policy)
	o.start("decides.py")
	b.start()
	w := b.crowd(ackcheck.Config{Clients: 300, Seed: rand.Uint64()})
	checked := 0
	for round := range rounds(t, "DHCP4O6_OUTSIDE_TROUBLES", 2*len(trouble)) {
		what := &trouble[round%len(trouble)]
		stop := b.load(w)
		before := w.Acks.Load()
		b.await("the first ACK of a round", func() bool { return w.Acks.Load() > before })
		time.Sleep(rand.N(200 * time.Millisecond))
		what.do(o)
		at := w.Acks.Load()
		if round%3 == 2 {
			b.four.Kill()
			b.start4()
		}
		b.await("an ACK after the program was "+what.name, func() bool { return w.Acks.Load() > at })
		stop()
		n, lost, err := w.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if checked += n; len(lost) > 0 {
			t.Errorf("the program was %s: %d of %d leases are lost: %v", what.name, len(lost), n, lost)
		}
		b.faultless(w)
		for address, hardware := range w.Holders() {
			if wrong := againstVerdict(address, hardware); wrong != "" {
				t.Errorf("the program was %s: %s", what.name, wrong)
			}
		}
	}
	t.Logf("%d ACKs, %d leases verified after trouble, none lost, none given twice or against a verdict", w.Acks.Load(), checked)
}

// againstVerdict says which verdict a lease breaks, and returns "" if it breaks none. The last two
// octets of the hardware address are the number of the client's line.
func againstVerdict(address netip.Addr, hardware string) string {
	mac, err := net.ParseMAC(hardware)
	if err != nil {
		return fmt.Sprintf("%v is held by %q", address, hardware)
	}
	line, octets := int(mac[4])<<8|int(mac[5]), address.As4()
	odd := octets[2] > 0 || octets[3] >= 200 // where the pools meet
	switch {
	case line%5 == 0:
		return fmt.Sprintf("line %d is refused by its verdict, and has %v", line, address)
	case odd != (line%2 == 1):
		return fmt.Sprintf("line %d has %v, which is in the other pool", line, address)
	}
	return ""
}
