package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/shared/config"
	"github.com/dhcp4o6/dhcp4o6/shared/spelling"
)

// value is a node of a document and how it is reached.
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

// mistake is what is wrong with a value, and what to do.
type mistake struct {
	line, column int // from 1; 0 if not known
	path, text   string
}

func (m mistake) String() string {
	var b strings.Builder
	if m.line > 0 {
		fmt.Fprintf(&b, "line %d", m.line)
		if m.column > 0 {
			fmt.Fprintf(&b, ", column %d", m.column)
		}
		b.WriteString(": ")
	}
	if m.path != "" {
		b.WriteString(m.path + ": ")
	}
	return b.String() + m.text
}

// reader collects the mistakes while a document is read.
type reader struct {
	text     string
	mistakes []mistake
	warnings []mistake // what is valid and yet probably not meant
}

// fail reports a mistake at a value.
func (r *reader) fail(v *value, format string, args ...any) {
	r.mistakes = append(r.mistakes, mistake{v.Line, v.Column, v.path(), fmt.Sprintf(format, args...)})
}

// warn says of a value that it is probably not what was meant.
func (r *reader) warn(v *value, format string, args ...any) {
	r.warnings = append(r.warnings, mistake{v.Line, v.Column, v.path(), fmt.Sprintf(format, args...)})
}

// sorted returns mistakes in the order of the document.
func sorted(all []mistake) []mistake {
	slices.SortStableFunc(all, func(a, b mistake) int {
		return cmp.Or(cmp.Compare(a.line, b.line), cmp.Compare(a.column, b.column))
	})
	return slices.Compact(all)
}

// parse reads the one YAML document that text must be. It returns nil after a mistake.
func (r *reader) parse(text string) *value {
	r.text = text
	broken := func(n *yaml.Node, problem string) *value {
		r.mistakes = append(r.mistakes, mistake{line: n.Line, column: n.Column, text: problem})
		return nil
	}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var root, second yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF) || (err == nil && (len(root.Content) != 1 || root.Content[0].Tag == "!!null")):
		return broken(&second, "the document is empty; give links: and a list, or unset the variable")
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
	return &value{Node: root.Content[0]}
}

// resolve puts the anchored nodes in the place of their aliases. It returns a node that contains
// itself, nil if there is none. The map says of an anchored node whether it is done.
func resolve(n *yaml.Node, done map[*yaml.Node]bool) *yaml.Node {
	for i, child := range n.Content {
		if child.Kind == yaml.AliasNode {
			child = child.Alias
			n.Content[i] = child
		}
		finished, seen := done[child]
		switch {
		case seen && !finished:
			return child
		case seen:
			continue
		}
		if child.Anchor != "" {
			done[child] = false
		}
		if endless := resolve(child, done); endless != nil {
			return endless
		}
		if child.Anchor != "" {
			done[child] = true
		}
	}
	return nil
}

// list returns the elements of a list.
func (r *reader) list(v *value, of string) (elements []*value) {
	if v.Kind != yaml.SequenceNode {
		r.fail(v, "must be a list of %s", of)
		return nil
	}
	for i, n := range v.Content {
		elements = append(elements, &value{Node: n, up: v, index: i})
	}
	return elements
}

// key is a key that a mapping may have. The tables of keys are read by the decoder and by the
// documentation.
type key[T any] struct {
	name    string
	kind    string // what its value looks like
	meaning string
	read    func(r *reader, v *value, into *T)
}

// mapping reads the keys of a mapping into a struct, and returns the values by key. Unknown and
// repeated keys are mistakes. It is not ok if the value is no mapping.
func mapping[T any](r *reader, v *value, what string, keys []key[T], into *T) (at map[string]*value, ok bool) {
	if v.Kind != yaml.MappingNode {
		r.fail(v, "must be %s, a mapping of keys to values", what)
		return nil, false
	}
	at = map[string]*value{}
	for i := 0; i+1 < len(v.Content); i += 2 {
		name := v.Content[i].Value
		named := &value{Node: v.Content[i], up: v, key: name}
		if named.Kind != yaml.ScalarNode || name == "" {
			named.key = "?"
			r.fail(named, "a key must be a name")
			continue
		}
		if first, found := at[name]; found {
			r.fail(named, "is there twice, first in line %d; leave one out", first.Line)
			continue
		}
		of := slices.IndexFunc(keys, func(k key[T]) bool { return k.name == name })
		if of < 0 {
			r.fail(named, "is no key of %s; %s", what, suggestion(name, keys))
			continue
		}
		at[name] = &value{Node: v.Content[i+1], up: v, key: name}
		keys[of].read(r, at[name], into)
	}
	return at, true
}

// suggestion is what to do about an unknown key.
func suggestion[T any](name string, keys []key[T]) string {
	plain := strings.ReplaceAll(strings.ToLower(name), "_", "-")
	var all []string
	for _, k := range keys {
		all = append(all, k.name)
	}
	if near := spelling.Nearest(plain, all, max(1, len(plain)/3)); near != "" {
		return "did you mean " + near + "?"
	}
	return "it has " + strings.Join(all, ", ")
}

// scalar returns the text of a value as it stands in the document.
func (r *reader) scalar(v *value, want string) (string, bool) {
	switch {
	case v.Kind != yaml.ScalarNode:
		r.fail(v, "must be %s", want)
	case v.Value == "" || v.Tag == "!!null":
		r.fail(v, "is empty; give %s or leave the key out", want)
	default:
		return v.Value, true
	}
	return "", false
}

func (r *reader) boolean(v *value, into *bool) {
	s, ok := r.scalar(v, "true or false")
	if ok && s != "true" && s != "false" {
		r.fail(v, "%q must be true or false", s)
	}
	*into = s == "true"
}

// number reads a number, also a hexadecimal one such as 0x34.
func (r *reader) number(v *value, most uint64) (uint64, bool) {
	s, ok := r.scalar(v, "a number")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(s, 0, 32)
	if err != nil || n > most {
		r.fail(v, "%q must be a number from 0 to %d", s, most)
		return 0, false
	}
	return n, true
}

// prefix reads an IPv6 prefix, or an IPv4 prefix. An address alone is a prefix of all its bits.
func (r *reader) prefix(v *value, family int, into *netip.Prefix) {
	example := map[int]string{6: "2001:db8::/40", 4: "192.0.2.0/24"}[family]
	s, ok := r.scalar(v, fmt.Sprintf("an IPv%d prefix such as %s", family, example))
	if !ok {
		return
	}
	p, err := netip.ParsePrefix(s)
	if a, errAddr := netip.ParseAddr(s); errAddr == nil && a.Zone() == "" {
		p, err = netip.PrefixFrom(a, a.BitLen()), nil
	}
	switch {
	case err != nil || p.Addr().Is4() != (family == 4) || p.Addr().Is4In6():
		r.fail(v, "%q must be an IPv%d prefix such as %s", s, family, example)
	case p != p.Masked():
		r.fail(v, "%s has bits set behind its length; did you mean %s?", p, p.Masked())
	case config.NoHost(p) || p.Addr().IsMulticast() || config.LinkLocal(p):
		r.fail(v, "%s holds no address that a host beyond the link can have", p)
	default:
		*into = p
	}
}

// address6 reads a unicast IPv6 address of a host.
func (r *reader) address6(v *value) (netip.Addr, bool) {
	s, ok := r.scalar(v, "an IPv6 address")
	if !ok {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s)
	if err != nil || !isHost(a) || a.IsLinkLocalUnicast() {
		r.fail(v, "%q is no IPv6 address that a host beyond the link can have", s)
		return netip.Addr{}, false
	}
	return a, true
}

// positionOf returns line and column of an octet of a scalar's text: that of the scalar itself
// where YAML has folded or escaped the text.
func (r *reader) positionOf(n *yaml.Node, offset int) (line, column int) {
	lines := strings.Split(r.text, "\n")
	at := n.Column - 1
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		at++
	}
	if n.Line < 1 || n.Line > len(lines) || at+len(n.Value) > len(lines[n.Line-1]) || lines[n.Line-1][at:at+len(n.Value)] != n.Value {
		return n.Line, n.Column
	}
	return n.Line, at + offset + 1
}
