package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mistake is one thing that is wrong with the subnets document.
type Mistake struct {
	Line, Column int    // from 1; 0 if not known
	Path         string // such as subnets[3].pools[0], empty for the whole document
	Problem      string // what is wrong and what to do
}

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
		b.WriteString(m.Path)
		b.WriteString(": ")
	}
	b.WriteString(m.Problem)
	return b.String()
}

// compare orders mistakes by where they are in the document.
func (m Mistake) compare(o Mistake) int {
	return cmp.Or(cmp.Compare(m.Line, o.Line), cmp.Compare(m.Column, o.Column))
}

// Mistakes is everything that is wrong with a document, in its order.
type Mistakes []Mistake

// Error gives one line per mistake.
func (ms Mistakes) Error() string {
	lines := make([]string, len(ms))
	for i, m := range ms {
		lines[i] = m.Error()
	}
	return strings.Join(lines, "\n")
}

// value is a node of the document and how it is reached.
type value struct {
	*yaml.Node
	up    *value
	key   string // key in up, or
	index int    // place in up where key is empty
}

func (v *value) path() string {
	if v == nil || v.up == nil {
		return ""
	}
	up := v.up.path()
	switch {
	case v.key == "":
		return up + "[" + strconv.Itoa(v.index) + "]"
	case up == "":
		return v.key
	}
	return up + "." + v.key
}

// reader collects the mistakes while a document is read.
type reader struct {
	mistakes Mistakes
	warnings Mistakes // what is valid and yet probably not meant
	warnedOf map[*value]bool
	source   source
}

// fail reports a mistake at a value.
func (r *reader) fail(v *value, format string, args ...any) {
	r.failAt(v.Node, v.path(), fmt.Sprintf(format, args...))
}

// warn says of a value that it is probably not what was meant.
func (r *reader) warn(v *value, problem string) {
	r.warnings = append(r.warnings, Mistake{v.Line, v.Column, v.path(), problem})
}

func (r *reader) failAt(n *yaml.Node, path, problem string) {
	r.mistakes = append(r.mistakes, Mistake{n.Line, n.Column, path, problem})
}

// err returns the mistakes in the order of the document, nil if there are none.
func (r *reader) err() error {
	if len(r.mistakes) == 0 {
		return nil
	}
	slices.SortStableFunc(r.mistakes, Mistake.compare)
	return slices.Compact(r.mistakes)
}

// told returns the warnings as text, in the order of the document.
func (r *reader) told() (lines []string) {
	slices.SortStableFunc(r.warnings, Mistake.compare)
	for _, m := range r.warnings {
		lines = append(lines, m.Error())
	}
	return lines
}

// parse reads the one YAML document that doc must be. JSON is YAML.
func (r *reader) parse(doc []byte) *value {
	r.source = strings.Split(string(doc), "\n")
	decoder := yaml.NewDecoder(strings.NewReader(string(doc)))
	var root, second yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF) || (err == nil && (len(root.Content) != 1 || root.Content[0].Tag == "!!null")):
		r.mistakes = append(r.mistakes, Mistake{Problem: "the document is empty; give a list of subnets"})
		return nil
	case err != nil:
		r.mistakes = append(r.mistakes, syntaxMistake(err))
		return nil
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		r.failAt(&second, "", "a second document starts; put everything into one")
		return nil
	}
	if !r.resolve(root.Content[0], map[*yaml.Node]bool{}) {
		return nil
	}
	return &value{Node: root.Content[0]}
}

// syntaxMistake takes the line out of the parser's message.
func syntaxMistake(err error) Mistake {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if n, _ := fmt.Sscanf(text, "line %d:", &line); n == 1 {
		_, text, _ = strings.Cut(text, ": ")
	}
	return Mistake{Line: line, Problem: "not readable as YAML: " + text}
}

// resolve puts the anchored nodes in the place of their aliases, and reports
// whether that is possible: a node that contains itself has no end. The map
// says of a node whether it is done.
func (r *reader) resolve(n *yaml.Node, done map[*yaml.Node]bool) bool {
	for i, child := range n.Content {
		if child.Kind == yaml.AliasNode {
			child = child.Alias
			n.Content[i] = child
		}
		if child.Anchor != "" || len(child.Content) > 0 {
			finished, seen := done[child]
			if seen && !finished {
				r.failAt(child, "", fmt.Sprintf("the anchor %s contains itself", child.Anchor))
				return false
			}
			if seen {
				continue
			}
			if child.Anchor != "" {
				done[child] = false
			}
			if !r.resolve(child, done) {
				return false
			}
			if child.Anchor != "" {
				done[child] = true
			}
		}
	}
	return true
}

// list returns the elements of a list.
func (r *reader) list(v *value, of string) []*value {
	if v.Kind != yaml.SequenceNode {
		r.fail(v, "must be a list of %s", of)
		return nil
	}
	values := make([]value, len(v.Content))
	elements := make([]*value, len(v.Content))
	for i, n := range v.Content {
		values[i] = value{Node: n, up: v, index: i}
		elements[i] = &values[i]
	}
	return elements
}

// field is a key that a mapping may have. The tables of fields are read by
// the decoder and by the documentation.
type field[T any] struct {
	name    string
	kind    string // what its value looks like
	meaning string
	read    func(r *reader, v *value, into *T)
}

// mapping reads the keys of a mapping into a struct. Unknown and repeated keys
// are mistakes.
func mapping[T any](r *reader, v *value, what string, fields []field[T], into *T) bool {
	if v.Kind != yaml.MappingNode {
		r.fail(v, "must be %s, a mapping of keys to values", what)
		return false
	}
	for i := 0; i+1 < len(v.Content); i += 2 {
		key, ok := r.key(v, i, "a name")
		if !ok {
			continue
		}
		if first := firstUse(v.Node, i); first != nil {
			r.fail(key, "is there twice, first in line %d; leave one out", first.Line)
			continue
		}
		at := slices.IndexFunc(fields, func(f field[T]) bool { return f.name == key.Value })
		if at < 0 {
			r.fail(key, "is no key of %s; %s", what, remedy(key.Value, fields))
			continue
		}
		if fields[at].read != nil {
			fields[at].read(r, &value{Node: v.Content[i+1], up: v, key: key.Value}, into)
		}
	}
	return true
}

// key returns the key at i of a mapping. If it is no text, that is a mistake.
func (r *reader) key(mapping *value, i int, what string) (key *value, ok bool) {
	key = &value{Node: mapping.Content[i], up: mapping, key: mapping.Content[i].Value}
	if key.Kind != yaml.ScalarNode || key.Value == "" {
		key.key = "?"
		r.fail(key, "a key must be %s", what)
		return nil, false
	}
	return key, true
}

// firstUse returns an earlier key of a mapping that equals the key at i.
func firstUse(mapping *yaml.Node, i int) *yaml.Node {
	for j := 0; j < i; j += 2 {
		if mapping.Content[j].Value == mapping.Content[i].Value && mapping.Content[j].Kind == yaml.ScalarNode {
			return mapping.Content[j]
		}
	}
	return nil
}

func remedy[T any](key string, fields []field[T]) string {
	plain := strings.ReplaceAll(strings.ToLower(key), "_", "-")
	var all []string
	for _, f := range fields {
		if f.name == plain || strings.HasPrefix(f.name, plain) || strings.HasPrefix(plain, f.name) {
			return "did you mean " + f.name + "?"
		}
		all = append(all, f.name)
	}
	return "it has " + strings.Join(all, ", ")
}
