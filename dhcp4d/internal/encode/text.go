package encode

import "go.yaml.in/yaml/v3"

// CodeOfText returns the code of an option that can be configured, by its name or code. The problem
// says what is wrong and what to do; it is empty if nothing is.
func CodeOfText(name string) (code byte, problem string) {
	code, _ = Code(&yaml.Node{Kind: yaml.ScalarNode, Value: name},
		func(_ *yaml.Node, _, what string) { problem = what })
	return code, problem
}

// ValueOfText encodes one option, whose value is written on a line as it would be in the document.
// The problem is empty, or begins with the path of what is wrong in the value; at is its offset in
// the text.
func ValueOfText(name, text string) (wire []byte, at int, problem string) {
	var value yaml.Node
	if err := yaml.Unmarshal([]byte(text), &value); err != nil || len(value.Content) != 1 {
		return nil, 0, " has a value that cannot be read; write it as in the subnets document"
	}
	key := &yaml.Node{Kind: yaml.ScalarNode, Value: name}
	_, wire, _ = Option(key, value.Content[0], func(n *yaml.Node, path, what string) {
		if problem != "" {
			return // the first is told
		}
		problem = path + ": " + what
		if n.Line == 1 {
			at = min(n.Column-1, len(text))
		}
	})
	return wire, at, problem
}
