package document

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// seeds are documents with what YAML has.
var seeds = []string{
	"a: 1\nb: [x, 'y', \"z\"]\n",
	`{"links": [{"aftr-name": "a.example.net", "rules": []}]}`,
	"a: &x {b: [*y], c: &y 1}\nd: *x\n",
	"- &a [1, 2]\n- *a\n- [*a, *a]\n",
	"&a [*a]",
	"a: |\n  one\n  two\nb: >-\n  one\n  two\n? [1, 2]\n: c\n",
	"<<: {a: 1}\na: 2\na: 3\n--- \nb",
	"? a", // an empty value, which has no position of its own
	"# nothing",
}

// expanded is the most nodes that a document of the fuzzer may have with its aliases in place.
const expanded = 10_000

// written returns a node as JSON, and how many nodes it has left of so many.
func written(b *strings.Builder, n *yaml.Node, left int) int {
	if left--; left <= 0 {
		return 0
	}
	switch n.Kind {
	case yaml.ScalarNode:
		b.WriteByte('"')
		for _, r := range n.Value {
			if r < ' ' || r >= 0x7f || r == '"' || r == '\\' {
				fmt.Fprintf(b, `\U%08x`, r)
			} else {
				b.WriteRune(r)
			}
		}
		b.WriteByte('"')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, child := range n.Content {
			if i > 0 {
				b.WriteString(", ")
			}
			left = written(b, child, left)
		}
		b.WriteByte(']')
	case yaml.MappingNode:
		b.WriteByte('{')
		for i, child := range n.Content {
			switch {
			case i == 0:
				b.WriteString("? ")
			case i%2 == 0:
				b.WriteString(", ? ")
			default:
				b.WriteString(" : ")
			}
			left = written(b, child, left)
		}
		b.WriteByte('}')
	}
	return left
}

// same reports whether two nodes hold the same texts in the same order.
func same(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && slices.EqualFunc(a.Content, b.Content, same)
}

// read reads a document as those who own one do, to a few levels.
func read(r *Reader, v *Value, depth int) {
	if depth == 0 {
		return
	}
	r.Scalar(v, "a text")
	if v.Kind == yaml.SequenceNode {
		for _, e := range r.List(v, "values") {
			read(r, e, depth-1)
		}
		return
	}
	r.Mapping(v, "a value", []string{"a", "b", "links"}, func(_ int, v *Value) { read(r, v, depth-1) })
}

// FuzzParse: a document is read, or its mistakes have words and a position. What was read and is
// written again is read as the same.
func FuzzParse(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r := new(Reader)
		v := r.Parse(text, "write one")
		if (v == nil) != (r.Err() != nil) {
			t.Fatalf("%v and %v", v, r.Err())
		}
		if v == nil {
			if r.Err().Error() == "" {
				t.Fatal("a mistake without words")
			}
			return
		}
		var b strings.Builder
		if !utf8.ValidString(text) || written(&b, v.Node, expanded) == 0 {
			return
		}
		read(r, v, 4)
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u2028") + strings.Count(text, "\u2029") + strings.Count(text, "\u0085") + 1
		for _, m := range r.Mistakes {
			if m.Problem == "" || m.Line < 0 || m.Line > lines {
				t.Fatalf("%+v", m)
			}
		}
		again := new(Reader)
		w := again.Parse(b.String(), "")
		if w == nil {
			t.Fatalf("%q was written %q, which is %v", text, b.String(), again.Err())
		}
		if !same(v.Node, w.Node) {
			t.Fatalf("%q was written %q, which is something else", text, b.String())
		}
	})
}
