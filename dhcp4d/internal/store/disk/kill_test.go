package disk_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/storetest"
)

// TestD4_26_AKilledProcessLosesNoAcknowledgedRecord kills a child that commits, at a random moment,
// and compares what it said was committed with what is found. STORE_KILLS sets the number of rounds
// for a soak. (That the kernel keeps what a dead process wrote is why this cannot show a missing
// sync; the power cuts do.)
func TestD4_26_AKilledProcessLosesNoAcknowledgedRecord(t *testing.T) {
	if url := os.Getenv("STORE_TEST_VICTIM"); url != "" {
		victim(t, url)
		return
	}
	t.Parallel()
	eachKind(t, survivesKills)
}

func survivesKills(t *testing.T, kind string) {
	rounds := max(3, 25/stridden)
	if v := os.Getenv("STORE_KILLS"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil {
			t.Fatal(err)
		}
		rounds = n
	}
	url := kind + ":" + filepath.Join(memoryDir(t), "leases")
	w := storetest.NewWorkload(1)
	commits := 0
	for round := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestD4_26_AKilledProcessLosesNoAcknowledgedRecord$", "-test.v")
		cmd.Env = append(os.Environ(), "STORE_TEST_VICTIM="+url)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		first := true
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			f := strings.Fields(lines.Text())
			if len(f) < 2 || (f[0] != "try" && f[0] != "ack") {
				if strings.Contains(lines.Text(), "kill_test.go") {
					t.Error(lines.Text())
				}
				continue
			}
			v, err := strconv.Atoi(f[1])
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range f[2:] {
				n, err := strconv.Atoi(s)
				if err != nil {
					t.Fatal(err)
				}
				if f[0] == "try" {
					w.Attempted[n] = lease.Time(v)
				} else {
					w.Acked[n] = lease.Time(v)
				}
			}
			if f[0] == "ack" {
				commits++
				if first {
					first = false
					time.AfterFunc(rand.N(80*time.Millisecond), func() { _ = cmd.Process.Kill() })
				}
			}
		}
		_ = cmd.Wait()
		s := mustOpen(t, url, small(nil))
		lost, err := w.Check(s, w.Known())
		if err != nil || lost != 0 {
			t.Fatalf("round %d: %d records lost, %v", round, lost, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills, %d commits acknowledged", rounds, commits)
}

// victim commits until it is killed, and says so before and after.
func victim(t *testing.T, url string) {
	s := mustOpen(t, url, small(nil))
	w := storetest.NewWorkload(rand.Uint64())
	l, err := s.Load(func(b *lease.Binding) error {
		w.Version = max(w.Version, b.Changed)
		return nil
	})
	if err != nil {
		t.Fatal(err, l)
	}
	for {
		var line strings.Builder
		records := w.Next(func(n int) { fmt.Fprintf(&line, " %d", n) })
		fmt.Printf("try %d%s\n", w.Version, line.String())
		if _, err := s.Commit(records); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("ack %d%s\n", w.Version, line.String())
	}
}
