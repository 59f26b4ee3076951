// Package document reads the YAML documents of an operator's configuration.
//
// It owns what all documents have in common: where a value stands, the mistakes with line, column
// and path, aliases, unknown and repeated keys. The package of a document knows what its keys mean.
// JSON is YAML.
package document

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
	"github.com/dhcp4o6/dhcp4o6/shared/spelling"
)

// Mistake is one thing that is wrong with a document.
type Mistake struct {
	Line, Column int    // from 1; 0 if not known
	Path         string // such as subnets[3].pools[0], empty for the whole document
	Problem      string // what is wrong and what to do
}

// Error says where the mistake is, and what it is.
func (m Mistake) Error() string {
	var b strings.Builder
	if m.Line > 0 {
		fmt.Fprintf(&b, "line %d", m.Line)
		if m.Column > 0 {
			fmt.Fprintf(&b, ", column %d", m.Column)
		}
		b.WriteString(": ")
	}
	if m.Path != "" {
		b.WriteString(m.Path + ": ")
	}
	return b.String() + m.Problem
}

// Mistakes is everything that is wrong with a document.
type Mistakes []Mistake

// Error returns one line per mistake.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// sorted returns mistakes in the order of the document, each once.
func (ms Mistakes) sorted() Mistakes {
	slices.SortStableFunc(ms, func(a, b Mistake) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.Compact(ms)
}

// Value is a node of a document and how it is reached.
type Value struct {
	*yaml.Node
	up    *Value
	key   string // key in up, or
	index int    // in up, where key is empty
}

// Within returns the value of a key of a mapping, whose node is given.
func (v *Value) Within(key string, n *yaml.Node) *Value { return &Value{Node: n, up: v, key: key} }

// Path says how the value is reached from the top, such as subnets[3].pools[0].
func (v *Value) Path() string {
	if v == nil || v.up == nil {
		return ""
	}
	up := v.up.Path()
	switch {
	case v.key == "":
		return up + "[" + strconv.Itoa(v.index) + "]"
	case up == "":
		return v.key
	}
	return up + "." + v.key
}

// Get returns the value of a key of a mapping, nil if it is not there.
func (v *Value) Get(key string) *Value {
	for i := 0; i+1 < len(v.Content); i += 2 {
		if v.Content[i].Kind == yaml.ScalarNode && v.Content[i].Value == key {
			return v.Within(key, v.Content[i+1])
		}
	}
	return nil
}

// Reader collects the mistakes while a document is read.
type Reader struct {
	Mistakes Mistakes
	Warnings Mistakes // what is valid and yet probably not meant
	lines    []string
}

// Fail reports a mistake at a value.
func (r *Reader) Fail(v *Value, format string, args ...any) {
	r.FailAt(v.Node, v.Path(), fmt.Sprintf(format, args...))
}

// FailAt reports a mistake at a node.
func (r *Reader) FailAt(n *yaml.Node, path, problem string) {
	r.Mistakes = append(r.Mistakes, Mistake{n.Line, n.Column, path, problem})
}

// FailInside reports a mistake at an octet of a scalar's text.
func (r *Reader) FailInside(v *Value, offset int, problem string) {
	line, column := position(r.lines, v.Node, offset)
	r.Mistakes = append(r.Mistakes, Mistake{line, column, v.Path(), problem})
}

// Warn says of a value that it is probably not what was meant.
func (r *Reader) Warn(v *Value, format string, args ...any) {
	r.Warnings = append(r.Warnings, Mistake{v.Line, v.Column, v.Path(), fmt.Sprintf(format, args...)})
}

// Err returns the mistakes as [Mistakes], in the order of the document; nil if there are none.
func (r *Reader) Err() error {
	if len(r.Mistakes) == 0 {
		return nil
	}
	return r.Mistakes.sorted()
}

// Told returns the warnings as text, in the order of the document.
func (r *Reader) Told() (lines []string) {
	for _, m := range r.Warnings.sorted() {
		lines = append(lines, m.Error())
	}
	return lines
}

// Parse reads the one YAML document that text must be. It returns nil after a mistake. If the
// document is empty, the remedy says what to do.
func (r *Reader) Parse(text, remedy string) *Value {
	r.lines = strings.Split(text, "\n")
	broken := func(n *yaml.Node, problem string) *Value {
		r.FailAt(n, "", problem)
		return nil
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var root, second yaml.Node
	err := decoder.Decode(&root)
	empty := errors.Is(err, io.EOF)
	if err == nil {
		empty = len(root.Content) != 1 || root.Content[0].Tag == "!!null"
	}
	switch {
	case empty:
		return broken(&second, "the document is empty; "+remedy)
	case err != nil:
		var n yaml.Node
		problem := strings.TrimPrefix(err.Error(), "yaml: ")
		if _, scanned := fmt.Sscanf(problem, "line %d:", &n.Line); scanned == nil {
			_, problem, _ = strings.Cut(problem, ": ")
		}
		return broken(&n, "not readable as YAML: "+problem)
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		return broken(&second, "a second document starts; put everything into one")
	}
	if n := resolve(root.Content[0], map[*yaml.Node]bool{}); n != nil {
		return broken(n, fmt.Sprintf("the anchor %s contains itself", n.Anchor))
	}
	return &Value{Node: root.Content[0]}
}

// resolve puts the anchored nodes in the place of their aliases. It returns a node that contains
// itself, nil if there is none. The map says of an anchored node whether it is done.
func resolve(n *yaml.Node, done map[*yaml.Node]bool) *yaml.Node {
	for i, child := range n.Content {
		budget.Spend(1)
		if child.Kind == yaml.AliasNode {
			child = child.Alias
			n.Content[i] = child
		}
		if n.Kind == yaml.MappingNode && i%2 == 1 {
			positionEmpty(child, n.Content[i-1])
		}
		anchored := child.Anchor != ""
		if anchored {
			finished, seen := done[child]
			switch {
			case seen && !finished:
				return child
			case seen:
				continue
			}
			done[child] = false
		}
		if endless := resolve(child, done); endless != nil {
			return endless
		}
		if anchored {
			done[child] = true
		}
	}
	return nil
}

// positionEmpty gives a value without text the position of its key, if the key ends a line.
// Otherwise the position is in the next line, which may not be in the document.
func positionEmpty(value, key *yaml.Node) {
	if value.Kind == yaml.ScalarNode && value.Value == "" && value.Style == 0 && value.Line > key.Line {
		value.Line, value.Column = key.Line, key.Column
	}
}

// List returns the elements of a list.
func (r *Reader) List(v *Value, of string) []*Value {
	if v.Kind != yaml.SequenceNode {
		r.Fail(v, "must be a list of %s", of)
		return nil
	}
	values := make([]Value, len(v.Content)) // one allocation, because a list may be long
	elements := make([]*Value, len(v.Content))
	for i, n := range v.Content {
		values[i] = Value{Node: n, up: v, index: i}
		elements[i] = &values[i]
	}
	return elements
}

// Mapping reads a mapping whose keys have the given names. It calls read with the value of each
// key, and with the position of its name in names. Unknown and repeated keys are mistakes. It is
// not ok if the value is no mapping.
func (r *Reader) Mapping(v *Value, what string, names []string, read func(i int, v *Value)) (ok bool) {
	if v.Kind != yaml.MappingNode {
		r.Fail(v, "must be %s, a mapping of keys to values", what)
		return false
	}
	first := make(map[string]int, len(names)) // the line of each key
	for i := 0; i+1 < len(v.Content); i += 2 {
		budget.Spend(1)
		key, ok := r.Key(v, i, "a name")
		if !ok {
			continue
		}
		if line, twice := first[key.Value]; twice {
			r.Fail(key, "is there twice, first in line %d; leave one out", line)
			continue
		}
		first[key.Value] = key.Line
		at := slices.Index(names, key.Value)
		if at < 0 {
			r.Fail(key, "is no key of %s; %s", what, remedy(key.Value, names))
			continue
		}
		read(at, v.Within(key.Value, v.Content[i+1]))
	}
	return true
}

// Key returns the key at i of a mapping. If it is no text, that is a mistake.
func (r *Reader) Key(mapping *Value, i int, what string) (key *Value, ok bool) {
	key = mapping.Within(mapping.Content[i].Value, mapping.Content[i])
	if key.Kind != yaml.ScalarNode || key.Value == "" {
		key.key = "?"
		r.Fail(key, "a key must be %s", what)
		return nil, false
	}
	return key, true
}

// remedy is what to do about an unknown key.
func remedy(key string, names []string) string {
	plain := strings.ReplaceAll(strings.ToLower(key), "_", "-")
	for _, name := range names {
		if strings.HasPrefix(name, plain) || strings.HasPrefix(plain, name) {
			return "did you mean " + name + "?"
		}
	}
	if near := spelling.Nearest(plain, names, max(1, len(plain)/3)); near != "" {
		return "did you mean " + near + "?"
	}
	return "it has " + strings.Join(names, ", ")
}

// Scalar returns the text of a value as it stands in the document.
func (r *Reader) Scalar(v *Value, want string) (string, bool) {
	switch {
	case v.Kind != yaml.ScalarNode:
		r.Fail(v, "must be %s", want)
	case v.Value == "" || v.Tag == "!!null":
		r.Fail(v, "is empty; give %s or leave the key out", want)
	default:
		return v.Value, true
	}
	return "", false
}

// Boolean reads true or false.
func (r *Reader) Boolean(v *Value, into *bool) {
	switch s, ok := r.Scalar(v, "true or false"); {
	case !ok:
	case s == "true" || s == "false":
		*into = s == "true"
	default:
		r.Fail(v, "%q must be true or false", s)
	}
}
