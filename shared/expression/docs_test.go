package expression

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestDocs checks that every example in docs/expressions.md is a test, and that together they show
// every word of the language.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/expressions.md")
	if err != nil {
		t.Fatal(err)
	}
	v := names4(nil)
	v.Option = func(name string) (byte, bool) { return 12, name == "host-name" }
	v.Octets = true
	var examples []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(.*?)` \\|").FindAllStringSubmatch(string(b), -1) {
		text := strings.ReplaceAll(m[1], `\|`, "|")
		in := v
		if strings.HasPrefix(text, "lease.") {
			in = &Vocabulary{Lease: true}
		}
		if _, err := CompileTest(text, in); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		examples = append(examples, text)
	}
	all := strings.Join(examples, "\n")
	words := append(append([]string{"==", "and", "or", "exists", "hex", "text", "data", "enterprise", "peeraddr", "linkaddr", "relay6[-1]"}, leaders...), fieldNames[:]...)
	for _, word := range words {
		if !strings.Contains(all, word) {
			t.Errorf("no example shows %s", word)
		}
	}
}
