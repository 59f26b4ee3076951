package netns_test

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dhcp4o6/dhcp4o6/test/netns/netnstest"
)

func TestConfinedProcessesStayOnTheirProcessors(t *testing.T) {
	l := netnstest.Lab(t)
	h := host(t, l, "a")
	if err := h.Confine(0); err != nil {
		t.Fatal(err)
	}
	p, err := h.Start(nil, "/bin/grep", "Cpus_allowed_list", "/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := p.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(p.Output(), ":")
	if _, err := strconv.Atoi(strings.TrimSpace(list)); err != nil {
		t.Errorf("the processors are %q, want one", list)
	}
	if err := h.Confine(100_000); err == nil {
		t.Error("a processor that is not there was found")
	}
}

func TestQuotaHoldsProcessesDown(t *testing.T) {
	l := netnstest.Lab(t)
	p, err := host(t, l, "a").Start(nil, "/bin/sh", "-c", "while :; do :; done")
	if err != nil {
		t.Fatal(err)
	}
	end := l.Quota(0.1, p)
	begun := time.Now()
	time.Sleep(time.Second)
	end()
	// Fields 14 and 15, after the name, in hundredths of a second.
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, fields, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(fields)
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	used, passed := time.Duration(user+system)*10*time.Millisecond, time.Since(begun)
	if used > passed/2 { // it is a tenth if nothing disturbs the test
		t.Errorf("it has used %v of %v", used, passed)
	}
	if f[0] == "T" {
		t.Error("it is still stopped after the end of the quota")
	}
}
