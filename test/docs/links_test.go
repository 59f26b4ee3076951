package docs

import (
	"errors"
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

func TestCommandsNameWhatThereIs(t *testing.T) {
	wrong, err := Commands("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range wrong {
		t.Error(w)
	}
}

func TestWrongCommandsAreFound(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"Makefile": "build: x ## y\n", "deploy/lab.mk": "lab-up:\n\tdocker\n", "docker-compose.yml": "x-a:\n  b: {}\nservices:\n  one:\n    image: x\n",
		"README.md": "make nothing of it\n\n    make build lab-up A=b   # make none\n    docker-compose exec one ls deploy/lab.mk\n" +
			"    docker-compose run --rm one ls\n    make biuld\n\n```sh\ndocker-compose kill two\nls deploy/lab.* deploy/none\n```\n",
	} {
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	wrong, err := Commands(dir)
	a := filepath.Join(dir, "README.md: ")
	want := []string{a + "make has no target biuld", a + "docker-compose.yml has no service two", a + "there is no deploy/none"}
	if err != nil || !slices.Equal(wrong, want) {
		t.Errorf("wrong %q, %v, want %q", wrong, err, want)
	}
}

func TestADocumentIsAScript(t *testing.T) {
	name := filepath.Join(t.TempDir(), "a.md")
	text := "# A\n\n    one\n    two # x\n\n`/etc/b`:\n\n```yaml\n- id: 1\n    c: d\n```\n\nOf `/etc/e`:\n\n    three\n\n`/etc/f`:\n\n    G=1\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := Script(name)
	want := "one\ntwo # x\ncat >/etc/b <<'END OF FILE'\n- id: 1\n    c: d\nEND OF FILE\nthree\ncat >/etc/f <<'END OF FILE'\nG=1\nEND OF FILE\n"
	if err != nil || got != want {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	text = "# A\n\n    zero\n\n## B\n\n    one\n\n### C\n\n    two\n\n## D\n\n    three\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for heading, want := range map[string]string{"B": "one\ntwo\n", "D": "three\n"} {
		if got, err := ScriptOf(name, heading); err != nil || got != want {
			t.Errorf("section %s: %q, %v, want %q", heading, got, err, want)
		}
	}
	if _, err := ScriptOf(name, "E"); err == nil {
		t.Error("a section that is not there is no mistake")
	}
}
