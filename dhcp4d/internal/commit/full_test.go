package commit

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/lease"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store"
	"github.com/dhcp4o6/dhcp4o6/dhcp4d/internal/store/engine"
	"github.com/dhcp4o6/dhcp4o6/shared/skip"
)

const smallFS = 24 << 20

// TestD4_26_AFullDisk fills a real file system under load and empties it
// again, several times, in one process: a tmpfs in a mount namespace of its
// own, or, to try another kind, the directory that COMMIT_SMALL_FS names.
func TestD4_26_AFullDisk(t *testing.T) {
	for _, kind := range []string{"pebble", "journal"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			onAFullDisk(t, kind)
		})
	}
}

func onAFullDisk(t *testing.T, kind string) {
	if dir := os.Getenv("COMMIT_SMALL_FS"); dir != "" {
		fullDisk(t, kind, dir)
		return
	}
	if os.Getenv("COMMIT_TEST_CHILD") != "" {
		dir := t.TempDir()
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", smallFS)); err != nil {
			fmt.Printf("cannot mount: %v\n", err)
			return
		}
		fullDisk(t, kind, dir)
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestD4_26_AFullDisk$/^"+kind+"$", "-test.v")
	cmd.Env = append(os.Environ(), "COMMIT_TEST_CHILD=1")
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	why := ""
	switch {
	case errors.Is(err, syscall.EPERM):
		why = "no mount namespace: " + err.Error()
	case strings.Contains(string(out), "cannot mount"):
		why = "no file system of its own: " + string(out)
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	}
	if why == "" {
		t.Logf("%s", out)
		return
	}
	skip.Test(t, why)
}

// ledger is what a client would remember: the records that were acknowledged.
type ledger struct {
	mu     sync.Mutex
	acked  map[int]bool
	acks   atomic.Int64
	failed atomic.Int64
}

func fullDisk(t *testing.T, kind, dir string) {
	dir = filepath.Join(dir, kind)
	ballast := filepath.Join(filepath.Dir(dir), "ballast")
	o := engine.Options{Log: slog.New(slog.DiscardHandler), Now: func() lease.Time { return lease.Time(time.Now().Unix()) }}
	s, err := engine.Open(kind+":"+dir, o)
	if err != nil {
		t.Fatal(err)
	}
	l := &ledger{acked: make(map[int]bool)}
	held := 0
	c := New(Config[*replies]{
		Store:   s,
		Replies: func() *replies { return &replies{} },
		Done: func(g *Group[*replies], err error) {
			if err != nil {
				l.failed.Add(1)
				return
			}
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, n := range g.Replies.list {
				l.acked[n] = true
			}
			l.acks.Add(int64(len(g.Replies.list)))
		},
		Rebuild: func(s store.Store, _ uint64) error {
			held = 0
			_, err := s.Load(func(*lease.Binding) error { held++; return nil })
			return err
		},
		Limit:   256,
		Log:     slog.New(slog.NewTextHandler(os.Stdout, nil)),
		Metrics: NewMetrics(prometheus.NewRegistry(), s),
	})

	// The load: new clients, no more than the small disk holds, then the same ones again.
	stop, refused := make(chan struct{}), atomic.Int64{}
	var load sync.WaitGroup
	load.Go(func() {
		for n := 0; ; {
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Microsecond):
			}
			g := c.LockGroup()
			if g == nil {
				refused.Add(1)
				continue
			}
			for i := 0; i < 16 && !c.Full(g); i++ {
				n = (n + 1) & 0x7fff
				g.Records.Add(&lease.Binding{ID: lease.ID{Addr: addr(n)}, State: lease.Bound, Client: make([]byte, 16), Point: make([]byte, 60)})
				g.Replies.list = append(g.Replies.list, n)
			}
			c.UnlockAndWake(g)
		}
	})
	await := func(what string, cond func() bool) time.Duration {
		began := time.Now()
		for !cond() {
			if time.Since(began) > time.Minute {
				t.Fatalf("%s: not within a minute", what)
			}
			time.Sleep(time.Millisecond)
		}
		return time.Since(began)
	}
	goroutines := 0
	for round := range 3 {
		seen := l.acks.Load()
		await("first acknowledgement", func() bool { return l.acks.Load() > seen+200 })
		if round == 1 {
			goroutines = runtime.NumGoroutine()
		}
		f, err := os.Create(ballast)
		if err != nil {
			t.Fatal(err)
		}
		await("failure", func() bool { // others may write what is freed
			_, _ = f.Write(make([]byte, 64<<10))
			return c.Failed()
		})
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, 4096))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		during, asked := l.acks.Load(), refused.Load()
		await("queries that are refused", func() bool { return refused.Load() > asked+500 })
		// Opening the store removes tables that are not needed any more, so
		// there may be a little space again; fill that too.
		_, _ = f.Write(make([]byte, 1<<20))
		if n := l.acks.Load() - during; n != 0 {
			t.Errorf("round %d: %d acknowledgements on a full disk", round, n)
		}
		if err := errors.Join(f.Close(), os.Remove(ballast)); err != nil {
			t.Fatal(err)
		}
		seen = l.acks.Load()
		took := await("recovery", func() bool { return l.acks.Load() > seen })
		t.Logf("round %d: first acknowledgement %v after space came back; %d acknowledged, %d groups failed, %d refused",
			round, took.Round(time.Millisecond), l.acks.Load(), l.failed.Load(), refused.Load())
	}
	if n := runtime.NumGoroutine(); n > goroutines+3 {
		t.Errorf("%d goroutines, before there were %d", n, goroutines)
	}
	close(stop)
	load.Wait()
	c.Close()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	s, err = engine.Open(kind+":"+dir, o)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[int]bool)
	if _, err := s.Load(func(b *lease.Binding) error {
		a := b.Addr.As4()
		found[int(a[2])<<8|int(a[3])] = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for n := range l.acked {
		if !found[n] {
			t.Errorf("record %d was acknowledged and is lost", n)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
