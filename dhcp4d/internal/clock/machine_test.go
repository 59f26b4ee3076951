package clock

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/shared/skip"
)

// The boot clock follows the raw clock when the monotonic clock is slewed, and never goes back.
func TestTheBootClockIsNotSlewed(t *testing.T) {
	for _, c := range []struct {
		name  string
		slew  float64 // how much faster the monotonic clock is
		every time.Duration
	}{
		{"chrony makes it fast", 0.083, 100 * time.Millisecond},
		{"and nobody reads it for long", 0.083, time.Hour},
		{"chrony makes it slow", -0.083, 100 * time.Millisecond},
		{"it runs alike", 0, 300 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			last, told := new(look), time.Duration(0)
			for raw := time.Duration(0); raw < 1000*c.every; raw += c.every {
				mono := raw + time.Duration(c.slew*float64(raw))
				if last.due(mono) {
					next := &look{mono: mono, boot: raw}
					next.after(last)
					last = next
				}
				now := last.at(mono)
				if now < told {
					t.Fatalf("after %v it goes back from %v to %v", raw, told, now)
				}
				if off := now - raw; off.Abs() > 100*time.Millisecond {
					t.Fatalf("after %v it is off by %v", raw, off)
				}
				told = now
			}
		})
	}
}

func TestOffsetsOfATimeNamespace(t *testing.T) {
	for text, want := range map[string]offsets{
		"monotonic           0         0\nboottime            0         0\n": {},
		"monotonic        7200         5\nboottime         -100 500000000\n": {boottime: -100*time.Second + 500*time.Millisecond, monotonic: 2*time.Hour + 5},
		"realtime 1 1\nboottime 3 0\nmonotonic x 0\n":                        {boottime: 3 * time.Second},
		"": {},
	} {
		name := filepath.Join(t.TempDir(), "offsets")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := readOffsets(name); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
	if got := readOffsets(filepath.Join(t.TempDir(), "none")); got != (offsets{}) {
		t.Errorf("without the file: %+v", got)
	}
}

// A dhcp4d that is started in another time namespace finds the same boot clock, whatever is added
// to the clocks there. A lease would end early otherwise.
func TestTheBootClockOfAnotherTimeNamespace(t *testing.T) {
	const variable = "CLOCK_TEST_NAMESPACE"
	if os.Getenv(variable) != "" { // in the namespace
		m, err := NewMachine()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("boot clock", int64(m.Read().Boot))
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		skip.Test(t, "no unshare")
	}
	m, err := NewMachine()
	if err != nil {
		t.Fatal(err)
	}
	const slack = 10 * time.Second // of a clock that is slewed; less than what is added
	for _, add := range [][]string{
		{"--boottime", "7200"}, {"--monotonic", "7200"}, {"--monotonic", "7200", "--boottime", "7200"},
		{"--monotonic", "100000", "--boottime", "-100"}, {"--boottime", "100000", "--monotonic", "-100"},
	} {
		t.Run(strings.Join(add, " "), func(t *testing.T) {
			cmd := exec.Command(unshare, append(append([]string{"--time"}, add...), os.Args[0], "-test.run=^"+t.Name()[:strings.IndexByte(t.Name(), '/')]+"$")...)
			cmd.Env = append(os.Environ(), variable+"=yes")
			if os.Getuid() != 0 {
				cmd.Args = append([]string{unshare, "--user", "--map-root-user"}, cmd.Args[1:]...)
			}
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			in, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			before := m.Read().Boot
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var there int64
			found := false
			lines := bufio.NewScanner(out)
			for !found && lines.Scan() {
				_, err := fmt.Sscanf(lines.Text(), "boot clock %d", &there)
				found = err == nil
			}
			after := m.Read().Boot
			_ = in.Close()
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait()
			if !found {
				skip.Test(t, "no time namespaces")
			}
			if d := time.Duration(there); d < before-slack || d > after+slack {
				t.Errorf("there the boot clock says %v, here between %v and %v", d, before, after)
			}
		})
	}
}
