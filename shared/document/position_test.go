package document

import (
	"strings"
	"testing"
)

// TestPosition: an offset in a scalar is found again in the document.
func TestPosition(t *testing.T) {
	for _, doc := range []string{
		"a: one two three", "a: 'one two three'", "a: \"one two three\"", "a: >\n  one\n  two three", "a: |\n  one\n   two\n  three", "a:\n  one\n  two\n  three",
	} {
		r := new(Reader)
		root := r.Parse(doc, "")
		v := root.Content[1]
		lines := strings.Split(doc, "\n")
		for _, word := range []string{"one", "two", "three"} {
			line, column := position(lines, v, strings.Index(v.Value, word))
			if got := lines[line-1][column-1:]; !strings.HasPrefix(got, word) {
				t.Errorf("%q: %s is at %d:%d, %s", doc, word, line, column, got)
			}
		}
		for i := range len(v.Value) + 5 {
			if line, column := position(lines, v, i); line < 1 || column < 1 {
				t.Errorf("%q: offset %d is at %d:%d", doc, i, line, column)
			}
		}
	}
}
