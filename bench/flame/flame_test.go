package flame

import (
	"strings"
	"testing"
)

const stacks = `dhcp4d
          b7a3 github.com/x/dhcp4d/internal/table.(*Table).Look
          b7a1 github.com/x/dhcp4d/internal/server.(*Server).serve

dhcp4d
          c001 udpv6_sendmsg
          b7a1 github.com/x/dhcp4d/internal/server.(*Server).serve

dhcp4d
          b7a1 github.com/x/dhcp4d/internal/server.(*Server).serve
`

func TestStacksAreFoldedFromTheOutermostFunction(t *testing.T) {
	root, err := Read(strings.NewReader(stacks), "dhcp4d")
	if err != nil {
		t.Fatal(err)
	}
	serve := root.Calls["server.(*Server).serve"]
	if root.Samples != 3 || serve == nil || serve.Samples != 3 || len(root.Calls) != 1 {
		t.Fatalf("%+v", root)
	}
	for name, want := range map[string]int{"table.(*Table).Look": 1, "udpv6_sendmsg": 1} {
		if c := serve.Calls[name]; c == nil || c.Samples != want {
			t.Errorf("%s: %+v, want %d samples", name, c, want)
		}
	}
}

func TestABoxIsAsWideAsItsShare(t *testing.T) {
	root, err := Read(strings.NewReader(stacks), "dhcp4d <1>")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := root.Draw(&b, "a title & more"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"a title &amp; more, 3 samples", "<title>dhcp4d &lt;1&gt;, 100.0 %</title>",
		`<title>table.(*Table).Look, 33.3 %</title><rect x="0.0" y="30" width="400.0"`,
		`<title>udpv6_sendmsg, 33.3 %</title><rect x="400.0" y="30" width="400.0"`,
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %s in\n%s", want, b.String())
		}
	}
}

func TestWhatIsTooNarrowToSeeIsLeftOut(t *testing.T) {
	root, err := Read(strings.NewReader(strings.Repeat("p\n 1 often\n\n", 999)+"p\n 1 seldom\n\n"), "p")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := root.Draw(&b, ""); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); !strings.Contains(s, "often") || strings.Contains(s, "seldom") {
		t.Error(s)
	}
}
