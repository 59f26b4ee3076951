package config

import (
	"fmt"
	"io"
	"strings"
)

// WriteHelp writes the table that -h prints.
func WriteHelp(w io.Writer, vs []Variable) error {
	var b strings.Builder
	for _, v := range vs {
		fmt.Fprintf(&b, "  %s\n      %s\n      %s\n", v.Name, v.Meaning, strings.Join(v.properties(), ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (v *Variable) properties() []string {
	p := []string{v.Kind}
	switch {
	case v.Required:
		p = append(p, "required")
	case v.Default != "":
		p = append(p, "default "+v.Default)
	default:
		p = append(p, "unset by default")
	}
	if v.Reload {
		p = append(p, "reloadable")
	}
	if v.Secret {
		p = append(p, "secret")
	}
	return p
}

// WriteEffective writes the configuration in effect in a form that a shell can read. It hides
// secrets.
func WriteEffective(w io.Writer, vs []Variable) error {
	var b strings.Builder
	for _, v := range vs {
		origin := v.Source
		switch {
		case v.Value == "":
			fmt.Fprintf(&b, "# %s is unset\n", v.Name)
			continue
		case origin == "":
			origin = "default"
		case origin == v.Name:
			origin = "environment"
		}
		value := v.Value
		if v.Secret {
			value = "(hidden)"
		}
		fmt.Fprintf(&b, "%s=%s # %s\n", v.Name, quote(value), origin)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// quote returns a value as one shell word.
func quote(s string) string {
	plain := func(r rune) bool {
		return (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') ||
			strings.ContainsRune("-_.,:/@%+=", r)
	}
	if strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
