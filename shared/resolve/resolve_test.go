package resolve

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// names is a resolver that knows the addresses of some names.
type names map[string][]netip.Addr

func (n names) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if host == "silent" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if found := n[network+" "+host]; found != nil {
		return found, nil
	}
	return nil, errors.New("no such host")
}

func TestAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := netip.MustParseAddr
		l := Lookup{
			Resolver: names{
				"ip two":      {a("2001:db8::2"), a("::ffff:192.0.2.1"), a("192.0.2.1"), a("2001:db8::1"), a("fe80::1")},
				"ip unusable": {a("fe80::1")},
				"ip4 four":    {a("192.0.2.1")},
			},
			Network: "ip", Usable: func(a netip.Addr) bool { return !a.IsLinkLocalUnicast() }, Wanted: "no such address",
		}
		began := time.Now()
		got := l.All(t.Context(), []string{"two", "unusable", "four", "silent"})
		if took := time.Since(began); took != timeout {
			t.Errorf("it took %v, want %v: a silent name server holds up the others", took, timeout)
		}
		if want := []netip.Addr{a("2001:db8::2"), a("192.0.2.1"), a("2001:db8::1")}; !slices.Equal(got["two"].Addrs, want) {
			t.Errorf("addresses %v, want %v", got["two"].Addrs, want)
		}
		for host, want := range map[string]string{
			"two": "<nil>", "unusable": "the name stands for no such address", "four": "no such host",
			"silent": context.DeadlineExceeded.Error(),
		} {
			text := "<nil>"
			if err := got[host].Err; err != nil {
				text = err.Error()
			}
			if text != want || (text != "<nil>" && got[host].Addrs != nil) {
				t.Errorf("%s: addresses %v, error %s, want %s", host, got[host].Addrs, text, want)
			}
		}
	})
}

func TestNote(t *testing.T) {
	var trouble Trouble
	failed := errors.New("no such host")
	now := time.Unix(1e9, 0)
	for i, step := range []struct {
		after time.Duration
		err   error
		want  News
	}{
		{0, nil, NoNews},
		{Every, failed, Fails},
		{Every, failed, NoNews},
		{LogAgain - 2*Every, failed, NoNews},
		{Every, failed, Fails},
		{Every, nil, Recovers},
		{Every, nil, NoNews},
		{Every, failed, Fails},
	} {
		now = now.Add(step.after)
		if got := trouble.Note(step.err, now); got != step.want {
			t.Errorf("step %d: news %d, want %d", i, got, step.want)
		}
	}
}
