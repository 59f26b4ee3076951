package manual

import (
	"fmt"
	"strings"
)

// roff is a text in a manual page.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "…", "...", "–", `\(en`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return strings.ReplaceAll(s, "\n", "\n.br\n")
}

// columns is how long a line of a manual page may be, in octets, for mandoc to find no fault.
const columns = 80

// fold breaks long lines of text at blanks. A page fills its lines anew, so it looks the same.
func fold(page string) string {
	var b strings.Builder
	for line := range strings.Lines(page) {
		if len(line) <= columns || line[0] == '.' {
			b.WriteString(line)
			continue
		}
		n := 0
		for i, word := range strings.Fields(line) {
			switch {
			case i == 0:
			case n+1+len(word) <= columns:
				b.WriteByte(' ')
				n++
			default:
				b.WriteByte('\n')
				if n = 0; word[0] == '.' {
					word = `\&` + word // no macro
				}
			}
			b.WriteString(word)
			n += len(word)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// page is the manual page of a program, in the macros man(7).
func (p *Program) page() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(`.TH %s %d "" dhcp4o6 "DHCPv4 over DHCPv6"`, strings.ToUpper(p.Name), p.Section)
	line(".SH NAME")
	line(`%s \- %s`, roff(p.Name), roff(p.About))
	line(".SH SYNOPSIS")
	var calls []string
	if p.first() != nil {
		calls = append(calls, ".B "+roff(p.Name))
	}
	for _, s := range p.Switches {
		calls = append(calls, ".B "+roff(p.Name+" "+s.Name))
	}
	for i := range p.Commands {
		call := ".B " + roff(strings.TrimSpace(p.Name+" "+p.Commands[i].Words))
		if a := p.Commands[i].Arguments; a != "" {
			call += "\n" + roff(a)
		}
		calls = append(calls, call)
	}
	line("%s", strings.Join(calls, "\n.br\n"))
	line(".SH DESCRIPTION")
	for i, d := range p.Description {
		if i > 0 {
			line(".PP")
		}
		line("%s", roff(d))
	}
	if len(p.Switches) > 0 {
		line(".SH OPTIONS")
		for _, s := range p.Switches {
			line(".TP\n.B %s\n%s", roff(s.Name), roff(s.About))
		}
	}
	if p.first() != nil {
		line(".SH COMMANDS")
	} else {
		line(".SH OPTIONS")
	}
	for i := range p.Commands {
		c := &p.Commands[i]
		if c.Words != "" {
			line(".SS %s", roff(p.Name+" "+c.Words))
			line("%s.", roff(strings.TrimSuffix(c.About, ".")))
			if c.More != "" {
				line(".PP\n%s", roff(c.More))
			}
		}
		for _, f := range c.Flags {
			line(".TP")
			if f.Value == "" {
				line(`.B \-%s`, roff(f.Name))
			} else {
				line(`.BI \-%s " %s"`, roff(f.Name), roff(strings.ReplaceAll(f.Value, `"`, "")))
			}
			about := roff(f.About)
			if f.Default != "" && !strings.Contains(f.About, "default") {
				about += " (default " + roff(f.Default) + ")"
			}
			line("%s", about)
		}
	}
	if len(p.Variables) > 0 {
		line(".SH ENVIRONMENT")
		for _, v := range p.Variables {
			line(".TP\n.B %s", roff(v.Name))
			about := roff(v.About) + ". Value: " + roff(v.Kind)
			if v.Default != "" {
				about += "; default: " + roff(v.Default)
			}
			line("%s.", about)
		}
	}
	line(".SH EXIT STATUS")
	for _, s := range p.Statuses {
		line(".TP\n.B %d\n%s.", s.Code, roff(s.About))
	}
	return fold(b.String())
}
