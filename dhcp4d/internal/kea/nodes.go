package kea

import (
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/dhcp4o6/dhcp4o6/shared/budget"
)

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode} }

// put adds a key to a mapping. From is the part of Kea's configuration that it comes from.
func (c *converter) put(m *yaml.Node, key string, v *yaml.Node, from *value) {
	m.Content = append(m.Content, scalar(key), v)
	if from != nil {
		c.origin[v] = from
	}
}

func child(n *yaml.Node, step string) *yaml.Node {
	if n.Kind == yaml.SequenceNode {
		if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
		return nil
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == step {
			return n.Content[i+1]
		}
	}
	return nil
}

// emptied reports whether nothing is left of a mapping.
func emptied(n *yaml.Node) bool { return len(n.Content) == 0 && n.Kind == yaml.MappingNode }

// remove removes nodes from the one that they are in, all in one pass: there may be thousands.
func remove(from *yaml.Node, gone map[*yaml.Node]bool) {
	budget.Spend(len(from.Content))
	kept := from.Content[:0]
	for i, n := range from.Content {
		of := n // of a key its value
		if from.Kind == yaml.MappingNode && i%2 == 0 && i+1 < len(from.Content) {
			of = from.Content[i+1]
		}
		if !gone[of] {
			kept = append(kept, n)
		}
	}
	clear(from.Content[len(kept):])
	from.Content = kept
}

func str(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// scalar is a value that needs no quotes.
func scalar(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Value: s} }

func strs(all []string) (nodes []*yaml.Node) {
	for _, s := range all {
		nodes = append(nodes, str(s))
	}
	return nodes
}

// flow is a list in one line.
func flow(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle, Content: items}
}

// copied is a copy of a node. Parts are taken out of the document by themselves.
func copied(n *yaml.Node) *yaml.Node {
	twin := *n
	twin.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		twin.Content[i] = copied(child)
	}
	return &twin
}
