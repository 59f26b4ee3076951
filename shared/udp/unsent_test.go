package udp

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// refuser is a writer whose kernel refuses packets by interface.
type refuser map[int]error

func (r refuser) Write(ps []Packet) (sent int) {
	for i := range ps {
		if ps[i].Err = r[ps[i].Interface]; ps[i].Err == nil {
			sent++
		}
	}
	return sent
}

func TestWhatTheKernelRefusesToSendIsTold(t *testing.T) {
	to := netip.MustParseAddrPort("[fe80::1]:546")
	at := time.Unix(1_700_000_000, 0)
	var text bytes.Buffer
	u := NewUnsent(slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug})))
	u.now, u.name = func() time.Time { return at }, func(int) string { return "eth1" }
	kernel := refuser{1: unix.EADDRNOTAVAIL, 2: unix.EADDRNOTAVAIL, 3: net.ErrClosed}
	w := u.Writer(kernel)
	told := func(t *testing.T, interfaces ...int) (lines []string) {
		t.Helper()
		text.Reset()
		var ps []Packet
		for _, i := range interfaces {
			ps = append(ps, Packet{Peer: to, Interface: i})
		}
		w.Write(ps)
		for line := range strings.Lines(text.String()) {
			lines = append(lines, line)
		}
		return lines
	}
	count := func(lines []string, part string) (n int) {
		for _, l := range lines {
			if strings.Contains(l, part) {
				n++
			}
		}
		return n
	}
	t.Run("nothing, if all is sent", func(t *testing.T) {
		if l := told(t, 0, 0); len(l) != 0 {
			t.Error(l)
		}
	})
	t.Run("each, and one warning per kind", func(t *testing.T) {
		l := told(t, 1, 0, 1, 2, 2, 2)
		if len(l) != 5 || count(l, "level=WARN") != 2 || count(l, "level=DEBUG") != 3 ||
			count(l, "cannot assign requested address") != 5 || count(l, "to=[fe80::1]:546") != 5 || count(l, "interface=eth1") != 5 || count(l, "remedy=") != 2 {
			t.Error(l)
		}
	})
	t.Run("again after a minute, with how many there were", func(t *testing.T) {
		at = at.Add(59 * time.Second)
		if l := told(t, 1); count(l, "level=WARN") != 0 {
			t.Error(l)
		}
		at = at.Add(time.Second)
		if l := told(t, 1); count(l, "level=WARN") != 1 || count(l, "more_since_the_last_warning=2") != 1 {
			t.Error(l)
		}
	})
	t.Run("nothing of a socket that was closed", func(t *testing.T) {
		if l := told(t, 3); len(l) != 0 {
			t.Error(l)
		}
	})
	t.Run("memory is bounded", func(t *testing.T) {
		for i := range 10 * unsentKinds {
			kernel[100+i] = unix.EPERM
			told(t, 100+i)
		}
		if len(u.kinds) > unsentKinds {
			t.Errorf("%d kinds are remembered", len(u.kinds))
		}
	})
}

func TestAWriterThatTellsAllocatesNothing(t *testing.T) {
	w := NewUnsent(slog.New(slog.DiscardHandler)).Writer(refuser{})
	ps := make([]Packet, 4)
	if n := testing.AllocsPerRun(100, func() { w.Write(ps) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
