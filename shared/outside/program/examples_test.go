package program_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/outside"
	"github.com/dhcp4o6/dhcp4o6/shared/skip"
)

const pythonDir = "../python"

// pythons copies the Python file and its examples into a directory, as a user does.
func pythons(t testing.TB) (dir string) {
	t.Helper()
	if _, err := exec.LookPath("python3"); err != nil {
		skip.Test(t, "there is no python3")
	}
	dir = t.TempDir()
	files, err := filepath.Glob(pythonDir + "/*.py")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(f)), content, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// gos builds the examples in Go.
func gos(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	out, err := exec.Command("go", "build", "-o", dir, "./examples/...").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// process runs a program until the test ends, or stop is called.
func process(t testing.TB, program string, args ...string) (stop func()) {
	t.Helper()
	cmd := exec.Command(program, args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait() // Go's examples end by the signal
			if t.Failed() {
				t.Logf("%s said:\n%s", program, said.String())
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// bothLanguages runs a test with the example in each language.
func bothLanguages(t *testing.T, name string, test func(t *testing.T, program string)) {
	t.Run("Python", func(t *testing.T) { test(t, filepath.Join(pythons(t), name+".py")) })
	t.Run("Go", func(t *testing.T) { test(t, filepath.Join(gos(t), name)) })
}

// write replaces a file, and gives it a time that it did not have before.
func writeFile(t *testing.T, path, content string, age time.Duration) {
	t.Helper()
	then := time.Now().Add(-age)
	if err := errors.Join(os.WriteFile(path, []byte(content), 0o600), os.Chtimes(path, then, then)); err != nil {
		t.Fatal(err)
	}
}

func TestTheExampleAllow(t *testing.T) {
	bothLanguages(t, "allow", func(t *testing.T, program string) {
		dir := t.TempDir()
		socket, file := filepath.Join(dir, "socket"), filepath.Join(dir, "allowed.csv")
		writeFile(t, file, "port-7,Miller\nport-9\n", time.Hour)
		process(t, program, socket, file)
		d, hello := dial(t, socket, "")
		if hello.Name != "allow" {
			t.Errorf("%+v", hello)
		}
		for port, want := range map[string]outside.Verdict{"port-7": outside.Continue, "port-8": outside.Drop, "port-9": outside.Continue, "": outside.Drop} {
			a := d.ask(outside.Query{InterfaceID: []byte(port)})
			if a.Verdict != want || a.Keep != 10 || (want == outside.Drop) != (a.Reason == "unknown") {
				t.Errorf("%q: %+v", port, a)
			}
		}
		writeFile(t, file, "port-8,Miller\n", time.Minute)
		for port, want := range map[string]outside.Verdict{"port-7": outside.Drop, "port-8": outside.Continue} {
			if a := d.ask(outside.Query{InterfaceID: []byte(port)}); a.Verdict != want {
				t.Errorf("after a change of the file, %q: %+v", port, a)
			}
		}
		// Without the file nothing is answered, and the program lives.
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		d.write((&outside.Query{Number: 99, InterfaceID: []byte("port-8")}).Append(nil))
		writeFile(t, file, "port-8,Miller\n", time.Second)
		d.write((&outside.Query{Number: 100, InterfaceID: []byte("port-8")}).Append(nil))
		r := d.next()
		if r.Number == 99 { // the file was back before it was asked
			r = d.next()
		}
		if r.Number != 100 || r.Answer().Verdict != outside.Continue {
			t.Errorf("when the file is back: %+v", r.Answer())
		}
	})
}

func TestTheExampleTable(t *testing.T) {
	dir := pythons(t)
	socket, file := filepath.Join(dir, "socket"), filepath.Join(dir, "addresses.csv")
	writeFile(t, file, "port-7, 192.0.2.7\nport-8,192.0.2.8\n", time.Hour)
	process(t, filepath.Join(dir, "table.py"), socket, file)
	d, _ := dial(t, socket, "")
	for port, want := range map[string]string{"port-7": "192.0.2.7", "port-8": "192.0.2.8"} {
		if a := d.ask(outside.Query{InterfaceID: []byte(port)}); a.Verdict != outside.Continue || a.Address != netip.MustParseAddr(want) {
			t.Errorf("%s: %+v", port, a)
		}
	}
	if a := d.ask(outside.Query{InterfaceID: []byte("port-9")}); a.Verdict != outside.Drop || a.Reason != "unknown" {
		t.Errorf("a port that is not in the table: %+v", a)
	}
}

func TestTheExampleIPAM(t *testing.T) {
	bothLanguages(t, "ipam", func(t *testing.T, program string) {
		ipam := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch q := r.URL.Query(); {
			case q.Get("mac") == "02:00:00:00:00:ff":
				w.WriteHeader(http.StatusInternalServerError)
			case q.Get("interface-id") == hex.EncodeToString([]byte("port-7")) && q.Get("mac") == "02:00:00:00:00:01":
				_ = json.NewEncoder(w).Encode(map[string]string{"address": "192.0.2.7"})
			default:
				w.WriteHeader(http.StatusNotFound)
			}
		}))
		defer ipam.Close()
		socket := filepath.Join(t.TempDir(), "socket")
		process(t, program, socket, ipam.URL+"/lookup")
		d, _ := dial(t, socket, "")
		mac := func(last byte) []byte { return []byte{2, 0, 0, 0, 0, last} }
		if a := d.ask(outside.Query{InterfaceID: []byte("port-7"), HWType: 1, HWAddr: mac(1)}); a.Verdict != outside.Continue || a.Address != netip.MustParseAddr("192.0.2.7") || a.Keep != 300 {
			t.Errorf("a known client: %+v", a)
		}
		d.write((&outside.Query{Number: 99, HWType: 1, HWAddr: mac(0xff)}).Append(nil)) // gets no answer
		if a := d.ask(outside.Query{InterfaceID: []byte("port-8"), HWType: 1, HWAddr: mac(2)}); a.Verdict != outside.Drop || a.Reason != "unknown" {
			t.Errorf("an unknown client: %+v", a)
		}
	})
}

func TestTheExampleAccounting(t *testing.T) {
	bothLanguages(t, "accounting", func(t *testing.T, program string) {
		dir := t.TempDir()
		socket, file := filepath.Join(dir, "socket"), filepath.Join(dir, "accounting")
		event := func(n int, kind string) []byte {
			return (&outside.Event{
				Cursor: fmt.Append(nil, n), Event: kind, Time: 1_800_000_000_500, Address: netip.MustParseAddr("192.0.2.7"),
				HWType: 1, HWAddr: []byte{2, 0, 0, 0, 0, 1}, Start: 1_800_000_000, Expires: 1_800_003_600,
			}).Append(nil)
		}
		stop := process(t, program, socket, file)
		d, hello := dial(t, socket, "north")
		if hello.Events != outside.AllEvents || hello.Cursor != nil {
			t.Errorf("at first its hello is %+v", hello)
		}
		d.write(append(event(1, "allocated"), event(2, "renewed")...))
		d.doneTo(2)
		stop()
		process(t, program, socket, file)
		var again outside.Hello
		for deadline := time.Now().Add(within); string(again.Cursor) != "2"; {
			if time.Now().After(deadline) {
				t.Fatalf("after a restart its hello is %+v", again)
			}
			d, again = dial(t, socket, "north")
		}
		d.write(event(3, "released"))
		d.doneTo(3)
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var got []string
		for s := bufio.NewScanner(f); s.Scan(); {
			var line struct {
				Time                float64
				Event, Address, Mac string
				Expires             uint64
			}
			if err := json.Unmarshal(s.Bytes(), &line); err != nil || line.Time != 1_800_000_000.5 || line.Address != "192.0.2.7" || line.Mac != "02:00:00:00:00:01" || line.Expires != 1_800_003_600 {
				t.Errorf("%s: %v", s.Text(), err)
			}
			got = append(got, line.Event)
		}
		if strings.Join(got, " ") != "allocated renewed released" {
			t.Errorf("the file has %q", got)
		}
	})
}

// TestThePythonFileHasTheSameRecords: it reads and writes the golden octets.
func TestThePythonFileHasTheSameRecords(t *testing.T) {
	const script = `
import sys
import dhcp4o6_hook as hook

golden, name = {}, None
for line in open(sys.argv[1]):
    line = line.strip()
    if not line or line.startswith("#"):
        name = None
    elif name is None:
        name, golden[line] = line, b""
    else:
        golden[name] += bytes.fromhex(line)

def same(what, got, want):
    if got != want:
        sys.exit("%s is %r, want %r" % (what, got, want))

def fields(name):
    return list(hook._fields(golden[name][16:]))

number = 0x0102030405060708
q = hook.Query(number, fields("query of dhcp4d"))
same("query", (q.point, q.key, q.message_type, q.hardware, q.mac, q.client_id, q.subnet, q.interface, q.peer, str(q.source),
    str(q.link_address), q.interface_id, q.remote_id, q.attachment, q.message),
    ("subnet4_select", b"port-7", 1, bytes.fromhex("01020000000001"), "02:00:00:00:00:01", bytes.fromhex("ff00000001"), 1, "eth0", "one", "fe80::1",
    "2001:db8::1", b"port-7", bytes.fromhex("0000000961"), b"\x01\x02", bytes.fromhex("0101060000000007")))
same("relays", [(str(r.link_address), str(r.peer_address), r.option(18), r.option(37)) for r in q.relays],
    [("2001:db8::1", "fe80::2", b"port-7", None), ("::", "fe80::1", None, None)])
e = hook.Event(fields("event by a client"))
same("event", (e.event, e.time, str(e.address), e.state, e.mac, e.again, e.cursor, e.start, e.expires, e.by, len(e.relays)),
    ("allocated", 1800000000123, "192.0.2.17", "bound", "02:00:00:00:00:01", True, bytes.fromhex("0000000000000008"), 1800000000, 1800000600, None, 2))
e = hook.Event(fields("event by an operator"))
same("event", (e.event, e.by, e.expires, e.again, e.mac), ("released", "operator", None, False, ""))
same("allow", hook.Continue(keep=3600, classes=["phones", "gold"], address="192.0.2.17", pool="phones", lease_time=600,
    options=[(12, b"phone-1"), (66, None)]).record(number), golden["answer that lets the query pass"])
same("deny", hook.Drop("unpaid", keep=60).record(9), golden["answer that drops it"])
same("done", hook._record(hook.DONE, 0, [(7, bytes.fromhex("0000000000000008"))]), golden["done"])
m = hook.Query(1, [(23, bytes(240) + bytes.fromhex("0c0161" "00" "3d02ff01" "0c0162" "ff" "370101"))])
same("options", (m.option(12), m.option(61), m.option(55)), (b"ab", b"\xff\x01", None))
for cut in range(240, 260):
    hook.Query(1, [(23, (bytes(240) + bytes.fromhex("0c0361626364050102"))[:cut])]).option(9)
`
	golden, err := filepath.Abs("../testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("python3", "-c", script, golden)
	cmd.Dir = pythons(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAPythonProgramThatFails(t *testing.T) {
	dir := pythons(t)
	socket := filepath.Join(dir, "socket")
	program := filepath.Join(dir, "failing.py")
	const text = `#!/usr/bin/env python3
import sys
import dhcp4o6_hook as hook
failures = 2
def decide(query):
    if query.key == b"raise":
        raise KeyError("x")
    if query.key == b"none":
        return None
    if query.key == b"long":
        return hook.Continue(options=[(43, bytes(5000))])
    return hook.Continue(pool="a")
def told(event):
    global failures
    if event.time == 2 and failures:
        failures -= 1
        raise OSError("not now")
    with open(sys.argv[2], "a") as file:
        file.write("%d\n" % event.time)
hook.serve(sys.argv[1], decide=decide, told=told, cursor=sys.argv[2] + ".cursor", workers=int(sys.argv[3]))
`
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, workers := range []string{"0", "4"} {
		t.Run(workers+" workers", func(t *testing.T) {
			told := filepath.Join(t.TempDir(), "told")
			stop := process(t, program, socket, told, workers)
			d, _ := dial(t, socket, "")
			for i, key := range []string{"raise", "none", "long"} {
				d.write((&outside.Query{Number: 1000 + uint64(i), Key: []byte(key)}).Append(nil))
			}
			if a := d.ask(outside.Query{Key: []byte("x")}); a.Verdict != outside.Continue || a.Pool != "a" {
				t.Errorf("after failures: %+v", a)
			}
			var many []byte
			for i := range uint64(300) {
				many = (&outside.Query{Number: 5000 + i, Message: make([]byte, 300)}).Append(many)
			}
			d.write(many[:1001])
			d.write(many[1001:])
			for range 300 {
				if r := d.next(); r.Kind != outside.KindAnswer || r.Number < 5000 {
					t.Fatalf("%v %d", r.Kind, r.Number)
				}
			}
			// A connection that sends nonsense costs itself only.
			bad, err := net.Dial("unix", socket)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(bad.SetDeadline(time.Now().Add(within)), write(bad, []byte("GET / HTTP/1.0\r\n\r\n"))); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, bad); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection with nonsense stays")
			}
			d.tell(1, 300)
			d.doneTo(300)
			want := ""
			for i := range 300 {
				want += fmt.Sprintln(i + 1)
			}
			if got, err := os.ReadFile(told); err != nil || string(got) != want {
				t.Errorf("told: %v\n%s", err, got)
			}
			stop()
		})
	}
}

// TestMistakesInPythonAreExplained: a wrong call says what to write in its place.
func TestMistakesInPythonAreExplained(t *testing.T) {
	const script = `
import dhcp4o6_hook as hook
for call, want in (
    ('hook.Continue(keep=0.5)', "keep is 0.5: give whole seconds from 0 to 4294967295"),
    ('hook.Continue(lease_time=-1)', "lease_time is -1: give whole seconds"),
    ('hook.Drop("unpaid", keep="60")', "keep is '60': give whole seconds"),
    ('hook.Continue(keep=float("nan"))', "keep is nan: give whole seconds"),
    ('hook.Continue(classes="phones")', "classes is the text 'phones': give a list, such as ['phones']"),
    ('hook.Continue(options=[(12, "phone")])', "option 12 has the value 'phone': give octets, such as b'text', or None"),
    ('hook.Continue(options=[(300, b"x")])', "option 300: give a code from 1 to 254"),
    ('hook.Continue(address="192.0.2.777")', "not permitted in '192.0.2.777'"),
    ('hook.serve("/nonexistent/socket", print)', "making the socket /nonexistent/socket: [Errno 2] No such file or directory"),
):
    try:
        eval(call)
    except Exception as error:
        if want not in str(error):
            raise SystemExit("%s: %s\nwant %s" % (call, error, want))
    else:
        raise SystemExit(call + " is taken")
assert hook.Continue(keep=60.0, lease_time=None).fields == hook.Continue(keep=60).fields
`
	cmd := exec.Command("python3", "-c", script)
	cmd.Dir = pythons(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// Who connects and says nothing does not keep its connection.
func TestWhoSaysNoHelloIsNoDaemon(t *testing.T) {
	bothLanguages(t, "allow", func(t *testing.T, program string) {
		t.Parallel()
		dir := t.TempDir()
		socket, file := filepath.Join(dir, "socket"), filepath.Join(dir, "allowed.csv")
		writeFile(t, file, "port-7,Miller\n", time.Hour)
		process(t, program, socket, file)
		d, _ := dial(t, socket, "")
		silent, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		if err := silent.SetDeadline(time.Now().Add(within)); err != nil {
			t.Fatal(err)
		}
		if n, err := silent.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%d octets, %v", n, err)
		}
		if a := d.ask(outside.Query{InterfaceID: []byte("port-7")}); a.Verdict != outside.Continue {
			t.Errorf("a daemon that has said hello, and nothing since, gets %+v", a)
		}
	})
}

// A daemon that does not read its answers keeps a program's workers from others for a while only.
func TestADaemonThatDoesNotReadHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	dir := pythons(t)
	program := filepath.Join(dir, "workers.py")
	const text = `#!/usr/bin/env python3
import sys
import dhcp4o6_hook as hook
hook.SEND_WITHIN = 1
hook.serve(sys.argv[1], decide=lambda query: hook.Continue(keep=1), workers=1)
`
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	process(t, program, socket)
	deaf, _ := dial(t, socket, "")
	go func() {
		for i := range uint64(1 << 20) {
			if write(deaf.conn, (&outside.Query{Number: 1 + i, Key: []byte("x")}).Append(nil)) != nil {
				return
			}
		}
	}()
	time.Sleep(time.Second)
	d, _ := dial(t, socket, "")
	for number := uint64(1); ; number++ { // those that come while too many wait get no answer
		d.write((&outside.Query{Number: number, Key: []byte("y")}).Append(nil))
		if err := d.conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, err := d.conn.Read(make([]byte, 4096)); err == nil && n > 0 {
			break
		}
		if number == 25 {
			t.Fatal("no answer while another daemon does not read")
		}
	}
}

// TestAPythonProgramThatHangsEnds: SIGTERM ends a program whose decide never returns, and more
// questions than it has workers get no answer.
func TestAPythonProgramThatHangsEnds(t *testing.T) {
	dir := pythons(t)
	program := filepath.Join(dir, "hangs.py")
	const text = `#!/usr/bin/env python3
import sys, threading
import dhcp4o6_hook as hook
def decide(query):
    if query.key == b"wrong":
        return True
    threading.Event().wait()
hook.serve(sys.argv[1], decide=decide, workers=int(sys.argv[2]))
`
	if err := os.WriteFile(program, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, workers := range []string{"0", "2"} {
		t.Run(workers+" workers", func(t *testing.T) {
			socket := filepath.Join(t.TempDir(), "socket")
			cmd := exec.Command(program, socket, workers)
			var said bytes.Buffer
			cmd.Stderr = &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- cmd.Wait() }()
			d, _ := dial(t, socket, "")
			d.write((&outside.Query{Number: 1, Key: []byte("wrong")}).Append(nil))
			for i := range uint64(5) {
				d.write((&outside.Query{Number: 2 + i, Key: []byte("x")}).Append(nil))
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("%v\n%s", err, said.String())
				}
			case <-time.After(within):
				_ = cmd.Process.Kill()
				t.Error("it does not end")
			}
		})
	}
}

// TestThePageHasTheExamples: docs/write-a-hook.md shows the programs as they are.
func TestThePageHasTheExamples(t *testing.T) {
	page, err := os.ReadFile("../../../docs/write-a-hook.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pythonDir + "/allow.py", pythonDir + "/table.py", pythonDir + "/ipam.py", pythonDir + "/accounting.py", "examples/allow/main.go"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(text, []byte("\n")); n >= 50 {
			t.Errorf("%s has %d lines, and an example has fewer than 50", path, n)
		}
		var block strings.Builder
		for line := range strings.Lines(string(text)) {
			if strings.TrimSpace(line) != "" {
				block.WriteString("    ")
			}
			block.WriteString(line)
		}
		if !strings.Contains(string(page), "\n\n"+block.String()) {
			t.Errorf("the page does not show %s as it is", path)
		}
	}
}
