package docs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestLinksLeadSomewhere(t *testing.T) {
	broken, err := Broken("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range broken {
		t.Error(b)
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	dir := t.TempDir()
	text := "# A `b` c, d\n[ok](#a-b-c-d) [ok](https://example.com/x) `[no](link)`\n[1](none.md) [2](#none) [3](../x)\n"
	if err := os.WriteFile(filepath.Join(dir, "a.md"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	broken, err := Broken(dir)
	a := filepath.Join(dir, "a.md: ")
	if want := []string{a + "#none", a + "../x", a + "none.md"}; err != nil || !slices.Equal(broken, want) {
		t.Errorf("broken %q, %v, want %q", broken, err, want)
	}
}
