// Package hooktest makes sets of hooks for tests.
package hooktest

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// Func is a hook without variables: it attaches itself.
type Func func(a *hook.Attachment)

type attaching struct{ attach Func }

func (f *attaching) Attach(a *hook.Attachment) { f.attach(a) }

// Kind is a hook of a name.
func Kind(name string, attach Func, points ...string) hook.Kind {
	return hook.Define(name, func(*struct{}, hook.Env, *attaching) (*attaching, error) {
		return &attaching{attach}, nil
	}, points...)
}

// Set makes a set of one hook, whose metrics go nowhere.
func Set(t testing.TB, attach Func) *hook.Set {
	t.Helper()
	return Of(t, prometheus.NewRegistry(), slog.New(slog.DiscardHandler), Kind("test", attach))
}

// Of makes a set of hooks, all of them listed.
func Of(t testing.TB, reg prometheus.Registerer, log *slog.Logger, kinds ...hook.Kind) *hook.Set {
	t.Helper()
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	l := config.New("X_", []string{"X_HOOKS=" + strings.Join(names, ",")})
	configured := hook.Configure(l, "X_", kinds)
	if err := l.Err(); err != nil {
		t.Fatal(err)
	}
	host := hook.NewHost(reg, drop.DHCP6D, prometheus.NewCounter(prometheus.CounterOpts{Name: "panics"}), log, kinds)
	s, err := host.Make(configured)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
