package document

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// position returns line and column of the octet at an offset in the text of a scalar. The lines are
// those of the document. Where YAML has changed the text beyond blanks and quotes, it is the
// position of the scalar.
func position(s []string, n *yaml.Node, offset int) (line, column int) {
	line, column = n.Line, n.Column
	if line < 1 || line > len(s) {
		return line, column
	}
	at := column - 1
	quote := byte(0)
	switch n.Style &^ yaml.TaggedStyle {
	case yaml.LiteralStyle, yaml.FoldedStyle:
		line, at = line+1, 0
	case yaml.SingleQuotedStyle:
		quote, at = '\'', at+1
	case yaml.DoubleQuotedStyle:
		quote, at = '"', at+1
	}
	blank := func(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }
	rest := func() string {
		for line <= len(s) && (at >= len(s[line-1]) || strings.TrimSpace(s[line-1][at:]) == "") {
			line, at = line+1, 0
		}
		if line > len(s) {
			return ""
		}
		for blank(s[line-1][at]) {
			at++
		}
		return s[line-1][at:]
	}
	for i := 0; ; i++ {
		for i < offset && i < len(n.Value) && blank(n.Value[i]) {
			i++
		}
		raw := rest()
		switch {
		case i >= offset || i >= len(n.Value):
			if i < len(n.Value) && raw == "" {
				return n.Line, n.Column
			}
			return line, at + 1
		case raw == "":
			return n.Line, n.Column
		case quote == '\'' && strings.HasPrefix(raw, "''"),
			quote == '"' && (strings.HasPrefix(raw, `\"`) || strings.HasPrefix(raw, `\\`)):
			raw = raw[1:]
			at++
		}
		if raw[0] != n.Value[i] {
			return n.Line, n.Column
		}
		at++
	}
}
