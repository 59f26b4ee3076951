package hook_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/drop"
	"github.com/dhcp4o6/dhcp4o6/shared/hook"
)

// variables are those of the hook that the tests configure.
type variables struct {
	Word string `env:"WORD" desc:"a word"`
	Size uint8  `env:"SIZE" envDefault:"3" desc:"a size"`
}

func (v *variables) Check(c *hook.Check) {
	if v.Word == "" && !c.Given("WORD") {
		c.Mistake("WORD", "no word", "set "+c.Name("WORD"))
	}
	if v.Word == "nothing" {
		c.Mistake("", "the hook keep has nothing to do", "")
	}
}

// keeper is a hook with state that outlives a reload.
type keeper struct {
	word   string
	seen   *int
	closed *[]string
}

func (k *keeper) Attach(a *hook.Attachment) {
	here.Run(a, func(e *event) drop.Reason {
		*k.seen++
		e.seen = append(e.seen, k.word)
		return hook.Continue
	})
}

func (k *keeper) Close() error {
	*k.closed = append(*k.closed, k.word)
	return nil
}

func keep(closed *[]string) hook.Kind {
	return hook.Define("keep", func(v *variables, _ hook.Env, before *keeper) (*keeper, error) {
		switch {
		case v.Word == "broken":
			return nil, errors.New("it is broken")
		case before == nil:
			return &keeper{v.Word, new(int), closed}, nil
		case before.word == v.Word:
			return before, nil
		}
		return &keeper{v.Word, before.seen, closed}, nil
	}, string(here))
}

func TestAReloadCarriesOverWhatAHookSaysAndClosesTheRest(t *testing.T) {
	var closed []string
	kinds := []hook.Kind{keep(&closed)}
	host := newBench().host(kinds...)
	use := func(word string) *hook.Set {
		t.Helper()
		s, err := host.Make(configured(t, kinds, "D_KEEP_WORD="+word))
		if err != nil {
			t.Fatal(err)
		}
		host.Use(s)
		return s
	}
	run := func(s *hook.Set) string {
		var e event
		l := here.List(s)
		l.Run(&e)
		return strings.Join(e.seen, " ")
	}
	first := use("a")
	if got := run(first); got != "a" || closed != nil {
		t.Errorf("runs %q, closed %q", got, closed)
	}
	if got := run(use("a")); got != "a" || closed != nil {
		t.Errorf("unchanged: runs %q, closed %q", got, closed)
	}
	second := use("b")
	if got := run(second); got != "b" || !slices.Equal(closed, []string{"a"}) {
		t.Errorf("changed: runs %q, closed %q", got, closed)
	}
	if got := run(first); got != "a" {
		t.Errorf("a snapshot that is still in use runs %q", got)
	}
	if _, err := host.Make(configured(t, kinds, "D_KEEP_WORD=broken")); err == nil || err.Error() != "hook keep: it is broken" {
		t.Errorf("error %v", err)
	}
	refused, err := host.Make(configured(t, kinds, "D_KEEP_WORD=c"))
	if err != nil {
		t.Fatal(err)
	}
	if host.Discard(refused); !slices.Equal(closed, []string{"a", "c"}) {
		t.Errorf("after a reload that failed elsewhere: closed %q", closed)
	}
	same, err := host.Make(configured(t, kinds, "D_KEEP_WORD=b"))
	if err != nil {
		t.Fatal(err)
	}
	if host.Discard(same); len(closed) != 2 {
		t.Errorf("what is in use is closed with a set that shares it: %q", closed)
	}
	none, err := host.Make(nil)
	if err != nil {
		t.Fatal(err)
	}
	if host.Use(none); !slices.Equal(closed, []string{"a", "c", "b"}) {
		t.Errorf("left out: closed %q", closed)
	}
	if l := here.List(none); !l.Empty() {
		t.Error("a hook that is not listed runs")
	}
	last := use("d")
	if host.Close(); closed[3] != "d" || run(last) != "d" {
		t.Errorf("at the end: closed %q", closed)
	}
}

func TestConfigure(t *testing.T) {
	kinds := []hook.Kind{keep(nil), filter("plain", hook.Continue)}
	for _, tt := range []struct{ name, environ, run, mistakes string }{
		{"nothing", "", "", ""},
		{"the order is the list's", "D_HOOKS=plain,keep D_KEEP_WORD=x", "plain keep", ""},
		{"unknown", "D_HOOKS=frob", "", "D_HOOKS: there is no hook frob; there are: keep, plain"},
		{"twice", "D_HOOKS=plain,plain", "plain", "D_HOOKS: plain is listed twice; remove one of them"},
		{"not listed", "D_KEEP_WORD=x D_KEEP_SIZE=4", "", "D_HOOKS: the hook keep is configured and not listed; add keep, or unset D_KEEP_WORD, D_KEEP_SIZE"},
		{"a check of the hook's own", "D_HOOKS=keep", "keep", "D_KEEP_WORD: no word; set D_KEEP_WORD"},
		{"a mistake in the list", "D_HOOKS=keep D_KEEP_WORD=nothing", "keep", "D_HOOKS: the hook keep has nothing to do"},
		{"a value of the wrong type", "D_HOOKS=keep D_KEEP_WORD=x D_KEEP_SIZE=300", "keep", "D_KEEP_SIZE: \"300\": value out of range; give a number"},
		{"an unknown variable of a hook", "D_HOOKS=keep D_KEEP_WORD=x D_KEEP_SISE=3", "keep", "D_KEEP_SISE: unknown variable; did you mean D_KEEP_SIZE?"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := config.New("D_", strings.Fields(tt.environ))
			var names []string
			for _, c := range hook.Configure(l, "D_", kinds) {
				names = append(names, c.Name())
			}
			got := ""
			if all, ok := errors.AsType[config.Mistakes](l.Err()); ok {
				got = all.Error()
			}
			if run := strings.Join(names, " "); run != tt.run || got != tt.mistakes {
				t.Errorf("runs %q, mistakes:\n%s\nwant %q\n%s", run, got, tt.run, tt.mistakes)
			}
		})
	}
	l := config.New("D_", nil)
	hook.Configure(l, "D_", kinds)
	if v := l.Variable("HOOKS"); v.Kind != "list of hooks: keep, plain" || !v.Reload {
		t.Errorf("HOOKS is %+v", v)
	}
	if v := l.Variable("KEEP_SIZE"); v.Default != "3" || v.Meaning != "a size" || !v.Reload {
		t.Errorf("KEEP_SIZE is %+v", v)
	}
}

func TestAHookRunsOnlyWhereItsKindSays(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("it runs elsewhere too")
		}
	}()
	elsewhere := hook.FilterPoint[event]("elsewhere")
	newBench().set(t, hook.Define("astray", func(*struct{}, hook.Env, *astray) (*astray, error) {
		return &astray{func(a *hook.Attachment) { elsewhere.Run(a, func(*event) drop.Reason { return hook.Drop }) }}, nil
	}, string(here)))
}

type astray struct{ attach func(*hook.Attachment) }

func (a *astray) Attach(to *hook.Attachment) { a.attach(to) }
